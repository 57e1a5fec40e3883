import type { Cluster, Recurrence } from "../../api/clusters";
import { count } from "../../lib/format";
import { useSettings, useWordsOf } from "../../lib/settings";
import { Icon } from "../../parts/Icon";
import { Thumb } from "../../parts/Thumb";
import { aboutOf } from "./about";
import { NameField } from "./NameField";
import { called, part } from "./names";
import { hrefOf } from "./state";
import { TraitChips } from "./Traits";
import { WORDS } from "./words";

interface RowProps {
  run: string;
  cluster: Cluster;
  /** Items of the whole clustering. */
  all: number;
  /** Items of its largest cluster. */
  largest: number;
}

interface ClusterRowProps extends RowProps {
  firm: Recurrence | undefined;
  editing: boolean;
  onEdit: (editing: boolean) => void;
}

const SHOWN = 6;

/** A cluster in the list: what it is called, how large, what it has, what it looks like. */
export function ClusterRow(props: ClusterRowProps) {
  const { run, cluster, firm, editing, onEdit } = props;
  const w = useWordsOf(WORDS);
  const about = aboutOf(cluster);
  const name = called(cluster, w);
  return (
    <li className="hit cluster-row">
      <div className="cluster-told">
        <NameField run={run} cluster={cluster} editing={editing} onEdit={onEdit}>
          <span className="number">{cluster.cluster}</span>
          <a
            className="cluster-name"
            data-hit={cluster.cluster}
            href={hrefOf({ run, cluster: cluster.cluster })}
            title={name}
          >
            {name}
          </a>
        </NameField>
        <Size {...props} />
        {firm && <Firm firm={firm} />}
        <TraitChips about={about} most={4} />
        {about.warnings.map((warning) => (
          <span key={warning} className="warning">
            <Icon name="warn" size={14} /> {warning}
          </span>
        ))}
      </div>
      <Thumbs ids={about.exemplars} />
    </li>
  );
}

/** What is in no cluster, and why that is so. */
export function NoiseRow(props: RowProps) {
  const { run, cluster } = props;
  const w = useWordsOf(WORDS);
  return (
    <section className="hit cluster-row noise" aria-label={w.noiseName}>
      <div className="cluster-told">
        <a
          className="cluster-name"
          data-hit={cluster.cluster}
          href={hrefOf({ run, cluster: cluster.cluster })}
        >
          {called(cluster, w)}
        </a>
        <Size {...props} />
        <p className="none">
          {w.noiseWhy} {w.noiseLook}
        </p>
      </div>
    </section>
  );
}

function Size({ cluster, all, largest }: RowProps) {
  const w = useWordsOf(WORDS);
  const { language } = useSettings();
  return (
    <span className="size">
      <span>
        <strong>{w.nItems(cluster.size, count(cluster.size, language))}</strong> ·{" "}
        {w.share(part(cluster.size / Math.max(1, all)))}
      </span>
      <span className="share-bar" aria-hidden="true">
        <span style={{ width: `${(100 * cluster.size) / largest}%` }} />
      </span>
    </span>
  );
}

/** How surely a cluster comes back. */
export function Firm({ firm }: { firm: Recurrence }) {
  const w = useWordsOf(WORDS);
  return (
    <span
      className={firm.mean < 0.6 ? "firm weak" : "firm"}
      title={w.comesBackTitle(firm.repetitions, part(firm.lowest))}
    >
      {w.comesBack(part(firm.mean))}
    </span>
  );
}

function Thumbs({ ids }: { ids: string[] }) {
  return (
    <span className="thumbs" aria-hidden="true">
      {ids.slice(0, SHOWN).map((id) => (
        <Thumb key={id} id={id} />
      ))}
    </span>
  );
}

export function RowBones() {
  return (
    <ol className="cluster-list" aria-busy="true">
      {Array.from({ length: 6 }, (_, at) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: they are all alike
        <li key={at} className="hit cluster-row" aria-hidden="true">
          <div className="cluster-told">
            <span className="bone line" />
            <span className="bone line short" />
          </div>
          <span className="thumbs">
            {Array.from({ length: SHOWN }, (_, place) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: they are all alike
              <span key={place} className="thumb bone" />
            ))}
          </span>
        </li>
      ))}
    </ol>
  );
}
