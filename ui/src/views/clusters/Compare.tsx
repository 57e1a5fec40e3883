import type { ComparedRuns } from "../../api/clusters";
import * as api from "../../api/clusters";
import { useAsked } from "../../lib/ask";
import { count } from "../../lib/format";
import { useSettings, useWords, useWordsOf } from "../../lib/settings";
import { Icon } from "../../parts/Icon";
import { Notice, ProblemNotice } from "../../parts/Notice";
import { useRuns } from "./asking";
import { FlowRow } from "./FlowRow";
import { flowsOf, namesOf, newOnes } from "./flows";
import { part } from "./names";
import { Place } from "./Place";
import { useRound } from "./rounds";
import { type ClustersState, hrefOf } from "./state";
import { WORDS } from "./words";

interface CompareProps {
  state: ClustersState;
  update: (change: Partial<ClustersState>, how?: "push" | "replace") => void;
}

/** Two clusterings: how far they agree, and where the images of each cluster went. */
export function Compare({ state, update }: CompareProps) {
  const t = useWords();
  const w = useWordsOf(WORDS);
  const { run: first, against: second } = state;
  const round = useRound();
  const names = (useRuns().data ?? []).map((run) => run.name);
  const asked = useAsked(`compare ${round} ${JSON.stringify([first, second])}`, (signal) =>
    api.compare(first, second, signal),
  );
  const told = asked.data?.first === first && asked.data.second === second ? asked.data : undefined;
  const choice = (label: string, value: string, other: "run" | "against") => (
    <label className="pick">
      {label}
      <select
        value={value}
        onChange={(event) => update({ [other]: event.target.value, from: null, to: null })}
      >
        {!names.includes(value) && <option>{value}</option>}
        {names.map((each) => (
          <option key={each}>{each}</option>
        ))}
      </select>
    </label>
  );
  return (
    <>
      <Place within={[first, hrefOf({ run: first })]} />
      <h1 className="sr">{w.compareTitle(first, second)}</h1>
      <div className="compared">
        {choice(w.first, first, "run")}
        <button
          type="button"
          className="button"
          aria-label={w.swap}
          title={w.swap}
          onClick={() => update({ run: second, against: first, from: null, to: null })}
        >
          <span aria-hidden="true">⇄</span>
        </button>
        {choice(w.second, second, "against")}
      </div>
      {asked.error ? (
        <ProblemNotice problem={asked.error} retry={asked.retry} />
      ) : (
        <Figures told={told} />
      )}
      {told && <Flows told={told} state={state} update={update} />}
      {!told && asked.loading && <span className="bone portrait-bone" aria-busy="true" />}
      <footer>{t.research}</footer>
    </>
  );
}

function Figures({ told }: { told: ComparedRuns | undefined }) {
  const w = useWordsOf(WORDS);
  const { language } = useSettings();
  const figure = (name: string, said: string, title?: string) => (
    <div title={title}>
      <dt>{name}</dt>
      <dd>{told ? said : <span className="bone" />}</dd>
    </div>
  );
  const items = told?.items ?? 0;
  const moved = told?.moved ?? 0;
  return (
    <>
      <dl className="figures facts">
        {figure(w.ari, (told?.ari ?? 0).toFixed(2), w.ariTitle)}
        {figure(w.nmi, (told?.nmi ?? 0).toFixed(2), w.nmiTitle)}
        {figure(w.inBoth, count(items, language))}
        {figure(
          w.moved,
          `${count(moved, language)} · ${part(moved / Math.max(1, items))}`,
          w.movedTitle,
        )}
      </dl>
      {told && (told.only_first > 0 || told.only_second > 0) && (
        <p className="none">
          {told.only_first > 0 && w.onlyFirst(count(told.only_first, language))}
          {told.only_first > 0 && told.only_second > 0 && " · "}
          {told.only_second > 0 && w.onlySecond(count(told.only_second, language))}
        </p>
      )}
    </>
  );
}

function Flows({ told, state, update }: CompareProps & { told: ComparedRuns }) {
  const w = useWordsOf(WORDS);
  const [, names] = namesOf(told);
  const flows = flowsOf(told);
  const largest = Math.max(1, ...flows.map((flow) => flow.items));
  const extra = newOnes(told);
  return (
    <section aria-label={w.flows}>
      <div className="toolbar">
        <h2>{w.flows}</h2>
        <p className="found">{w.flowsHint}</p>
      </div>
      {told.moved === 0 && <Notice kind="info" title={w.equal} />}
      <ol className="flows">
        {flows.map((flow) => (
          <FlowRow
            key={flow.from}
            runs={[told.first, told.second]}
            flow={flow}
            names={names}
            largest={largest}
            open={state.from === flow.from}
            to={state.from === flow.from ? state.to : null}
            onOpen={(open) => update({ from: open ? flow.from : null, to: null }, "replace")}
            onTo={(to) => update({ from: flow.from, to }, "replace")}
          />
        ))}
      </ol>
      {extra.length > 0 && (
        <p className="new-ones">
          <Icon name="info" size={15} /> {w.newClusters}:{" "}
          {extra.map((number, at) => (
            <span key={number}>
              {at > 0 && ", "}
              <a href={hrefOf({ run: told.second, cluster: number })}>
                {names.get(number) || String(number)}
              </a>
            </span>
          ))}
        </p>
      )}
    </section>
  );
}
