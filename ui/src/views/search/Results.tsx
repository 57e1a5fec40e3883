import { type ReactNode, useEffect, useState } from "react";
import type { Hit, SearchAnswer } from "../../api/client";
import type { Asked } from "../../lib/ask";
import { count, decimal, percent, plain } from "../../lib/format";
import { fieldName } from "../../lib/names";
import { useSettings, useWords } from "../../lib/settings";
import { Icon } from "../../parts/Icon";
import { Notice } from "../../parts/Notice";
import { Segments } from "../../parts/Segments";
import { type HitActs, HitCard } from "./HitCard";
import { votesOf } from "./said";
import { MOST, type SearchState, STEP } from "./state";

interface ResultsProps {
  state: SearchState;
  asked: Asked<SearchAnswer>;
  acts: HitActs;
  onChange: (change: Partial<SearchState>) => void;
}

/** Two lanes: other patients, and the priors of the query's own. */
export function Results({ state, asked, acts, onChange }: ResultsProps) {
  const t = useWords();
  const late = useLate(asked.loading);
  const answer = asked.data;
  if (!answer) return asked.loading ? <ResultSkeleton dense={state.dense} /> : null;
  const card = (hit: Hit, place: number | null) => (
    <HitCard
      key={hit.id}
      hit={hit}
      place={place}
      answer={answer}
      selected={hit.id === state.hit}
      kept={state.kept.includes(hit.id)}
      acts={acts}
    />
  );
  const more = answer.hits.length >= state.k && state.k < MOST;
  return (
    <div
      className={`lanes${asked.loading ? " stale" : ""}${late ? " late" : ""}`}
      aria-busy={asked.loading}
    >
      <section className="lane" aria-label={t.others}>
        <Votes answer={answer} />
        {answer.hits.length ? (
          <ol className={state.dense ? "hits dense" : "hits"}>
            {answer.hits.map((hit, at) => card(hit, at + 1))}
          </ol>
        ) : (
          <Notice
            kind="info"
            title={t.noHits}
            actions={
              state.choices.length > 0 || state.filter ? (
                <button
                  type="button"
                  className="button"
                  onClick={() => onChange({ choices: [], filter: "" })}
                >
                  {t.clearFilters}
                </button>
              ) : undefined
            }
          >
            {t.noHitsDo}
          </Notice>
        )}
        {more && (
          <button
            type="button"
            className="button more"
            onClick={() => onChange({ k: Math.min(MOST, state.k + STEP) })}
          >
            {t.showMore(Math.min(STEP, MOST - state.k))}
          </button>
        )}
      </section>
      {answer.priors.length > 0 && (
        <section className="lane priors" aria-label={t.priors}>
          <h2>
            {t.priors} <span className="quantity">{answer.priors.length}</span>
          </h2>
          <ol className={state.dense ? "hits dense" : "hits"}>
            {answer.priors.map((hit) => card(hit, null))}
          </ol>
        </section>
      )}
    </div>
  );
}

const LATE_MS = 250;

/** Whether it is waited for so long that what is shown should look old; quick answers never are. */
function useLate(waiting: boolean): boolean {
  const [late, setLate] = useState(false);
  useEffect(() => {
    if (!waiting) return;
    const timer = setTimeout(() => setLate(true), LATE_MS);
    return () => {
      clearTimeout(timer);
      setLate(false);
    };
  }, [waiting]);
  return waiting && late;
}

interface ToolbarProps {
  state: SearchState;
  asked: Asked<SearchAnswer>;
  onChange: (change: Partial<SearchState>) => void;
  onRequest: () => void;
  filters: ReactNode;
}

/** What was found, and how it is shown. */
export function Toolbar({ state, asked, onChange, onRequest, filters }: ToolbarProps) {
  const t = useWords();
  const { language } = useSettings();
  const answer = asked.data;
  const hits = answer?.hits.length ?? 0;
  const said = count(hits, language);
  return (
    <div className="toolbar">
      {filters}
      <p className="found" role="status">
        {answer && !asked.loading ? (
          <>
            <strong>
              {state.group === "patient" ? t.patients(hits, said) : t.studies(hits, said)}
            </strong>{" "}
            {t.outOf(count(answer.candidates, language))}
            <span className="took"> · {t.took(decimal(answer.seconds, 2, language))}</span>
          </>
        ) : (
          asked.loading && t.searching
        )}
      </p>
      <Segments
        label={t.group}
        value={state.group}
        options={[
          ["study", t.groupStudy],
          ["patient", t.groupPatient],
        ]}
        onChange={(group) => onChange({ group: group === "patient" ? "patient" : "study" })}
      />
      <Segments
        label={t.density}
        value={state.dense ? "list" : "cards"}
        options={[
          ["cards", <Icon key="cards" name="cards" />, t.cards],
          ["list", <Icon key="list" name="list" />, t.list],
        ]}
        onChange={(value) => onChange({ dense: value === "list" })}
      />
      <button
        type="button"
        className="button quiet"
        aria-label={t.asRequest}
        title={`${t.asRequest} (y)`}
        onClick={onRequest}
      >
        <Icon name="code" />
      </button>
    </div>
  );
}

/** Of each label the values that the nearest have, by their weighted share of the votes. */
function Votes({ answer }: { answer: SearchAnswer }) {
  const t = useWords();
  const all = votesOf(answer);
  const names = [...new Set(all.map((vote) => vote.name))].slice(0, 3);
  if (!names.length) return null;
  return (
    <section className="votes" aria-label={t.vote}>
      <h2>{t.vote}</h2>
      {names.map((name) => {
        const votes = all
          .filter((vote) => vote.name === name && vote.share > 0)
          .sort((a, b) => b.share - a.share)
          .slice(0, 3);
        return (
          <div key={name} className="vote" title={t.voteTitle(votes[0]?.voters ?? 0)}>
            <h3>
              {fieldName(`label:${name}`, t)}
              <span className="voters">{t.voters(votes[0]?.voters ?? 0)}</span>
            </h3>
            <ol>
              {votes.map((vote) => (
                <li key={vote.value}>
                  <span className="vote-value" title={plain(vote.value)}>
                    {plain(vote.value)}
                  </span>
                  <span className="vote-share">
                    {t.voteShare(percent(vote.share))}
                    {typeof vote.probability === "number" && (
                      <span className="calibrated">
                        {` · ${t.voteCalibrated(percent(vote.probability))}`}
                      </span>
                    )}
                  </span>
                  <span className="vote-bar" style={{ width: `${100 * vote.share}%` }} />
                </li>
              ))}
            </ol>
          </div>
        );
      })}
    </section>
  );
}

export function ResultSkeleton({ dense }: { dense: boolean }) {
  const t = useWords();
  return (
    <div className="lanes">
      <section className="lane" aria-busy="true" aria-label={t.searching}>
        <ol className={dense ? "hits dense" : "hits"} aria-hidden="true">
          {Array.from({ length: 12 }, (_, at) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: they are all alike
            <li key={at} className="hit bones">
              <span className="thumb bone" />
              <span className="hit-body">
                <span className="bone" />
                <span className="bone short" />
              </span>
            </li>
          ))}
        </ol>
      </section>
    </div>
  );
}
