import { useEffect, useState } from "react";
import { useKeys } from "../../lib/keys";
import { useWordsOf } from "../../lib/settings";
import { Notice, ProblemNotice } from "../../parts/Notice";
import { Segments } from "../../parts/Segments";
import { useCounts, useScores, useWide } from "./asking";
import { Counts, TooSmall } from "./Counts";
import { JudgeForm } from "./Forms";
import { useJobs } from "./following";
import { JobLine } from "./JobLine";
import { Narrow } from "./Narrow";
import type { PlaceProps } from "./QaView";
import { useReviewing } from "./reviewing";
import { ScoreRow } from "./ScoreRow";
import { StudyPanel } from "./StudyPanel";
import { SHOWN } from "./state";
import { WORDS } from "./words";

const STEP = 50;
const MOST = 500;

/** Studies as they were judged, and what is decided about them. */
export function Incoming({ state, reference, update }: PlaceProps) {
  const w = useWordsOf(WORDS);
  const wide = useWide();
  const [limit, setLimit] = useState(STEP);
  const [asking, setAsking] = useState(false);
  const reviewing = useReviewing(reference.name);
  const listed = useScores(state, reference.name, limit);
  const counts = useCounts(state, reference.name, reviewing.round);
  const judging = useJobs("ood-score", reference.name).data?.[0];
  const rows = listed.data?.rows ?? [];
  const shown = state.study || (wide ? (rows[0]?.study_instance_uid ?? "") : "");
  const at = rows.findIndex((row) => row.study_instance_uid === shown);
  const row = rows[at];

  const open = (study: string, how: "push" | "replace" = "push") =>
    update({ study, item: "" }, how);
  function step(by: number): void {
    const next = rows[at < 0 ? 0 : at + by];
    if (next) open(next.study_instance_uid, state.study ? "replace" : "push");
  }
  useKeys({
    j: () => step(1),
    k: () => step(-1),
    f: () => {
      const next = SHOWN[(SHOWN.indexOf(state.show) + 1) % SHOWN.length] ?? "flagged";
      update({ show: next, study: "", item: "" });
    },
    Escape: () => state.study && update({ study: "", item: "" }),
  });
  useReveal(shown);

  const nothing = counts.data?.studies === 0 && !state.choices.length && !state.filter;
  return (
    <div className={`incoming${shown ? " with-study" : ""}`}>
      <section className="incoming-list" aria-label={w.list} aria-busy={listed.loading}>
        <Counts counts={counts.data} reference={reference} />
        {counts.error && <ProblemNotice problem={counts.error} retry={counts.retry} />}
        <TooSmall reference={reference} />
        {judging && <JobLine key={judging.id} job={judging} title={w.judge} />}
        {!nothing && (
          <div className="incoming-tools">
            <Segments
              label={w.show}
              value={state.show}
              options={SHOWN.map((each) => [each, w.shown[each]])}
              onChange={(said) =>
                update({
                  show: SHOWN.find((each) => each === said) ?? "flagged",
                  study: "",
                  item: "",
                })
              }
            />
            <Narrow state={state} update={update} />
          </div>
        )}
        {listed.error && <ProblemNotice problem={listed.error} retry={listed.retry} />}
        {nothing && (
          <Notice
            kind="info"
            title={w.noneJudged}
            actions={
              <button type="button" className="button accent" onClick={() => setAsking(true)}>
                {w.judgeNow}
              </button>
            }
          >
            {w.noneJudgedDo}
          </Notice>
        )}
        {!nothing && listed.data && rows.length === 0 && (
          <Notice
            kind="info"
            title={w.nonePass}
            actions={
              state.show !== "all" && (
                <button type="button" className="button" onClick={() => update({ show: "all" })}>
                  {w.showAll}
                </button>
              )
            }
          >
            {w.nonePassDo[state.show]}
          </Notice>
        )}
        <ol className={`scores${listed.loading ? " stale" : ""}`}>
          {!listed.data && listed.loading && <Bones />}
          {rows.map((each) => (
            <ScoreRow
              key={each.study_instance_uid}
              score={each}
              review={reviewing.of(each.study_instance_uid, each.review)}
              selected={each.study_instance_uid === shown}
              onOpen={() => open(each.study_instance_uid)}
            />
          ))}
        </ol>
        {listed.data?.cursor && limit < MOST && (
          <button
            type="button"
            className="button more"
            onClick={() => setLimit(Math.min(MOST, limit + STEP))}
          >
            {w.more}
          </button>
        )}
      </section>
      {shown ? (
        <StudyPanel
          key={shown}
          study={shown}
          score={row}
          state={state}
          reference={reference}
          reviewing={reviewing}
          update={update}
          onStep={step}
          onOpen={(study) => open(study)}
        />
      ) : (
        wide && rows.length > 0 && <p className="none">{w.pick}</p>
      )}
      {asking && <JudgeForm reference={reference} onClose={() => setAsking(false)} />}
    </div>
  );
}

/** Keeps the chosen row in sight. */
function useReveal(study: string): void {
  useEffect(() => {
    if (study)
      document
        .querySelector(`[data-study="${CSS.escape(study)}"]`)
        ?.scrollIntoView({ block: "nearest" });
  }, [study]);
}

function Bones() {
  return Array.from({ length: 8 }, (_, at) => (
    // biome-ignore lint/suspicious/noArrayIndexKey: they are all alike
    <li key={at} className="score-row" aria-hidden="true">
      <span className="open">
        <span className="thumb bone" />
        <span className="score-words">
          <span className="bone line" />
          <span className="bone" />
        </span>
      </span>
    </li>
  ));
}
