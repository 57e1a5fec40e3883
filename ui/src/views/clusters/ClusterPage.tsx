import { useState } from "react";
import type { Cluster, RunDetails } from "../../api/clusters";
import { count } from "../../lib/format";
import { useKeys } from "../../lib/keys";
import { useSettings, useWords, useWordsOf } from "../../lib/settings";
import { Icon } from "../../parts/Icon";
import { Notice, ProblemNotice } from "../../parts/Notice";
import { type About, aboutOf } from "./about";
import { type Firmness, useFirmness, useRun } from "./asking";
import { Firm } from "./ClusterRow";
import { NOISE } from "./flows";
import { Members } from "./Members";
import { NameField } from "./NameField";
import { arranged, called, part } from "./names";
import { Place } from "./Place";
import { Exports, mapHref } from "./RunPage";
import { Strip } from "./Strip";
import { type ClustersState, hrefOf } from "./state";
import { Traits } from "./Traits";
import { WORDS } from "./words";

interface ClusterPageProps {
  state: ClustersState;
  number: number;
  update: (change: Partial<ClustersState>, how?: "push" | "replace") => void;
}

/** One cluster: what it is, what it looks like, all that is in it; the others are beside it. */
export function ClusterPage({ state, number, update }: ClusterPageProps) {
  const t = useWords();
  const w = useWordsOf(WORDS);
  const asked = useRun(state.run);
  const firmness = useFirmness(asked.data?.run);
  const details = asked.data?.run.name === state.run ? asked.data : undefined;
  const cluster = details?.clusters.find((each) => each.cluster === number);
  const order = details ? ordered(details, state, firmness.data, w) : [];
  const at = order.findIndex((each) => each.cluster === number);
  const go = (by: number) => {
    const next = order[at + by];
    if (next) update({ cluster: next.cluster, item: "" });
  };
  useKeys({
    "[": () => go(-1),
    "]": () => go(1),
    m: () => {
      window.location.hash = mapHref(state.run);
    },
  });
  const step = (by: number, label: string, icon: "left" | "right", key: string) => (
    <button
      type="button"
      className="button"
      aria-label={label}
      title={`${label} (${key})`}
      disabled={!order[at + by]}
      onClick={() => go(by)}
    >
      <Icon name={icon} size={16} />
    </button>
  );
  return (
    <>
      <Place within={[state.run, hrefOf({ run: state.run, order: state.order, find: state.find })]}>
        {step(-1, w.previous, "left", "[")}
        {step(1, w.next, "right", "]")}
        <a className="button" href={mapHref(state.run)} title="m">
          <Icon name="map" size={16} /> {w.onMap}
        </a>
        <Exports run={state.run} number={number} />
      </Place>
      {asked.error && <ProblemNotice problem={asked.error} retry={asked.retry} />}
      {details && !cluster && (
        <Notice kind="error" title={t.missingTitle}>
          {state.run} · {number}
        </Notice>
      )}
      <div className="beside">
        <Others clusters={order} state={state} />
        <div className="cluster">
          {!details && !asked.error && <HeadBones />}
          {details && cluster && (
            <>
              <Head
                key={number}
                run={details}
                cluster={cluster}
                firmness={firmness.data}
                onLook={(item) => update({ item })}
              />
              <Members
                key={`members ${number}`}
                run={state.run}
                cluster={cluster}
                state={state}
                update={update}
              />
            </>
          )}
        </div>
      </div>
      <footer>{t.research}</footer>
    </>
  );
}

function ordered(
  details: RunDetails,
  state: ClustersState,
  firmness: Firmness | undefined,
  w: (typeof WORDS)["en"],
): Cluster[] {
  const shown = arranged(
    details.clusters,
    state.find,
    state.order,
    firmness?.clusters ?? new Map(),
    w,
  );
  return [...shown, ...details.clusters.filter((each) => each.cluster === NOISE && each.size > 0)];
}

/** All clusters in few words, to go from one to the next. */
function Others({ clusters, state }: { clusters: Cluster[]; state: ClustersState }) {
  const w = useWordsOf(WORDS);
  const { language } = useSettings();
  return (
    <nav className="others" aria-label={w.clusters}>
      <ol>
        {clusters.map((each) => (
          <li key={each.cluster}>
            <a
              href={hrefOf({ ...state, cluster: each.cluster, item: "" })}
              aria-current={each.cluster === state.cluster ? "page" : undefined}
              title={called(each, w)}
            >
              <span>{called(each, w)}</span>
              <span className="quantity">{count(each.size, language)}</span>
            </a>
          </li>
        ))}
      </ol>
    </nav>
  );
}

interface HeadProps {
  run: RunDetails;
  cluster: Cluster;
  firmness: Firmness | undefined;
  onLook: (id: string) => void;
}

function Head({ run, cluster, firmness, onLook }: HeadProps) {
  const w = useWordsOf(WORDS);
  const { language } = useSettings();
  const [editing, setEditing] = useState(false);
  const isNoise = cluster.cluster === NOISE;
  useKeys({ e: () => setEditing(!isNoise) });
  const about = aboutOf(cluster);
  const firm = firmness?.clusters.get(cluster.cluster);
  const name = called(cluster, w);
  return (
    <>
      {editing && <h1 className="sr">{name}</h1>}
      {isNoise ? (
        <h1>{name}</h1>
      ) : (
        <NameField run={run.run.name} cluster={cluster} editing={editing} onEdit={setEditing}>
          <h1>{name}</h1>
        </NameField>
      )}
      <p className="cluster-figures">
        <strong>{w.nItems(cluster.size, count(cluster.size, language))}</strong> ·{" "}
        {w.share(part(cluster.size / Math.max(1, run.run.items)))}
        {cluster.given_name && cluster.name && <> · {w.foundName(cluster.name)}</>}
        {firm && (
          <>
            {" "}
            · <Firm firm={firm} />
          </>
        )}
      </p>
      {about.warnings.map((warning) => (
        <Notice key={warning} kind="warn" title={warning} />
      ))}
      {isNoise ? (
        <p className="lead">
          {w.noiseWhy} {w.noiseLook}
        </p>
      ) : (
        <Portrait about={about} onLook={onLook} />
      )}
    </>
  );
}

function Portrait({ about, onLook }: { about: About; onLook: (id: string) => void }) {
  const w = useWordsOf(WORDS);
  return (
    <div className="portrait">
      <section aria-label={w.traits}>
        <h2>{w.traits}</h2>
        <Traits about={about} />
      </section>
      <div>
        <Strip title={w.typical} ids={about.exemplars} onLook={onLook} />
        <Strip
          title={w.borderline}
          hint={w.borderlineTitle}
          ids={about.borderline}
          onLook={onLook}
        />
      </div>
    </div>
  );
}

function HeadBones() {
  return (
    <div aria-busy="true">
      <span className="bone head-bone" />
      <span className="bone portrait-bone" />
    </div>
  );
}
