import { useRef, useState } from "react";
import type { RunDetails } from "../../api/clusters";
import { exportUrl } from "../../api/clusters";
import { count } from "../../lib/format";
import { useKeys } from "../../lib/keys";
import { useSettings, useWords, useWordsOf } from "../../lib/settings";
import { Icon } from "../../parts/Icon";
import { Notice, ProblemNotice } from "../../parts/Notice";
import { focused } from "../search/moving";
import { type Firmness, useFirmness, useRun, useRuns } from "./asking";
import { ClusterRow, NoiseRow, RowBones } from "./ClusterRow";
import { NOISE } from "./flows";
import { arranged, day, part } from "./names";
import { Place } from "./Place";
import { Stability } from "./Stability";
import { type ClustersState, ORDERS } from "./state";
import { WORDS } from "./words";

interface RunPageProps {
  state: ClustersState;
  update: (change: Partial<ClustersState>, how?: "push" | "replace") => void;
}

export const mapHref = (run: string): string =>
  `#/map?${new URLSearchParams({ colour: `cluster:${run}` })}`;

/** One clustering: how good it is, and its clusters. */
export function RunPage({ state, update }: RunPageProps) {
  const t = useWords();
  const w = useWordsOf(WORDS);
  const asked = useRun(state.run);
  const firmness = useFirmness(asked.data?.run);
  const others = (useRuns().data ?? []).filter((each) => each.name !== state.run);
  const other = others.at(-1)?.name;
  const compare = () => other && update({ against: other });
  const details = asked.data?.run.name === state.run ? asked.data : undefined;
  useKeys({
    m: () => {
      window.location.hash = mapHref(state.run);
    },
    c: () => compare(),
  });
  return (
    <>
      <Place>
        <a className="button" href={mapHref(state.run)} title="m">
          <Icon name="map" size={16} /> {w.onMap}
        </a>
        <Exports run={state.run} />
        <button
          type="button"
          className="button"
          disabled={!other}
          title={other ? "c" : w.onlyOne}
          onClick={compare}
        >
          <Icon name="compare" size={16} /> {w.compare}
        </button>
      </Place>
      <h1>{state.run}</h1>
      {asked.error ? (
        <ProblemNotice problem={asked.error} retry={asked.retry} />
      ) : (
        <>
          <Facts details={details} />
          {!firmness.error && <Stability run={details?.run} firmness={firmness.data} />}
          <Clusters details={details} firmness={firmness.data} state={state} update={update} />
        </>
      )}
      <footer>{t.research}</footer>
    </>
  );
}

/** Links that bring a clustering, or one cluster of it, as a table. */
export function Exports({ run, number = null }: { run: string; number?: number | null }) {
  const w = useWordsOf(WORDS);
  return (
    <span className="exports">
      <a className="button" href={exportUrl(run, number, "csv")} download>
        <Icon name="download" size={16} /> {w.exportCsv}
      </a>
      <a className="button" href={exportUrl(run, number, "parquet")} download>
        {w.exportParquet}
      </a>
    </span>
  );
}

function Facts({ details }: { details: RunDetails | undefined }) {
  const w = useWordsOf(WORDS);
  const { language } = useSettings();
  const figure = (name: string, said: string, title?: string) => (
    <div title={title}>
      <dt>{name}</dt>
      <dd>{details ? said : <span className="bone" />}</dd>
    </div>
  );
  const run = details?.run;
  const { silhouette, confidence } = details ?? {};
  return (
    <>
      <dl className="figures facts">
        {figure(w.clusters, count(details?.n_clusters ?? 0, language))}
        {figure(w.items, count(run?.left ?? 0, language))}
        {figure(w.noise, part((run?.noise ?? 0) / Math.max(1, run?.left ?? 1)))}
        {figure(
          w.silhouette,
          silhouette ? silhouette.value.toFixed(2) : "—",
          w.silhouetteTitle(count(silhouette?.items ?? 0, language)),
        )}
        {figure(
          w.confidence,
          confidence ? confidence.mean.toFixed(2) : "—",
          w.confidenceTitle(part(confidence?.unsure_share ?? 0)),
        )}
        {figure(w.method, run?.method ?? "")}
        {figure(w.encoder, run?.encoder ?? "")}
        {figure(w.made, day(run?.created_at ?? "", language))}
      </dl>
      {details && <Made details={details} />}
    </>
  );
}

function Made({ details }: { details: RunDetails }) {
  const w = useWordsOf(WORDS);
  const { run, notes } = details;
  return (
    <details className="made">
      <summary>
        {w.aboutRun}
        {notes.length > 0 && ` · ${w.notes(notes.length)}`}
      </summary>
      {notes.length > 0 && (
        <ul>
          {notes.map((note) => (
            <li key={note}>{note}</li>
          ))}
        </ul>
      )}
      <p>
        <code>
          {Object.entries(run.parameters)
            .filter(([, value]) => value !== null)
            .map(([name, value]) => `${name}=${value}`)
            .join(" ")}
        </code>{" "}
        · {w.seconds(run.seconds.toFixed(1))} · Syntopy {run.version}
        {run.filter && (
          <>
            {" "}
            · {w.filter} <code>{run.filter}</code>
          </>
        )}
      </p>
    </details>
  );
}

interface ListProps extends RunPageProps {
  details: RunDetails | undefined;
  firmness: Firmness | undefined;
}

function Clusters({ details, firmness, state, update }: ListProps) {
  const w = useWordsOf(WORDS);
  const field = useRef<HTMLInputElement>(null);
  const [editing, setEditing] = useState<number>();
  useKeys({
    "/": () => field.current?.focus(),
    Escape: () => field.current?.blur(),
    e: () => {
      const id = focused();
      if (id !== undefined) setEditing(Number(id));
    },
  });
  if (!details) return <RowBones />;
  const firm = firmness?.clusters ?? new Map();
  const shown = arranged(details.clusters, state.find, state.order, firm, w);
  const noise = details.clusters.find((each) => each.cluster === NOISE && each.size > 0);
  const largest = Math.max(1, ...details.clusters.map((each) => each.size));
  const orders = ORDERS.filter((each) => each !== "firm" || firm.size > 0);
  return (
    <>
      <div className="toolbar">
        <input
          ref={field}
          type="text"
          className="find"
          placeholder={w.find}
          aria-label={w.find}
          value={state.find}
          onChange={(event) => update({ find: event.target.value }, "replace")}
        />
        <p className="found" role="status">
          {w.nClusters(shown.length, String(shown.length))}
        </p>
        <label className="pick">
          <span className="sr">{w.order}</span>
          <select
            value={state.order}
            onChange={(event) =>
              update(
                { order: orders.find((each) => each === event.target.value) ?? "size" },
                "replace",
              )
            }
          >
            {orders.map((each) => (
              <option key={each} value={each}>
                {w.orders[each]}
              </option>
            ))}
          </select>
        </label>
      </div>
      {!shown.length && state.find && (
        <Notice kind="info" title={w.noMatch}>
          {w.noMatchDo}
        </Notice>
      )}
      <ol className="cluster-list">
        {shown.map((cluster) => (
          <ClusterRow
            key={cluster.cluster}
            run={state.run}
            cluster={cluster}
            all={details.run.items}
            largest={largest}
            firm={firm.get(cluster.cluster)}
            editing={editing === cluster.cluster}
            onEdit={(yes) => setEditing(yes ? cluster.cluster : undefined)}
          />
        ))}
      </ol>
      {noise && !state.find && (
        <NoiseRow run={state.run} cluster={noise} all={details.run.items} largest={largest} />
      )}
    </>
  );
}
