import { useEffect, useReducer, useRef } from "react";
import type { Reference, StudyScore, Verdict } from "../../api/qa";
import { useKeys } from "../../lib/keys";
import { useSettings, useWordsOf } from "../../lib/settings";
import { useWhileShown } from "../../lib/shown";
import { Icon } from "../../parts/Icon";
import { Notice, ProblemNotice } from "../../parts/Notice";
import { oneIn, when } from "./figures";
import { draftOf, keepDraft, type Reviewing } from "./reviewing";
import { Flag } from "./ScoreRow";
import { WORDS } from "./words";

interface VerdictBarProps {
  study: string;
  score: StudyScore | undefined;
  reference: Reference;
  reviewing: Reviewing;
  flagged: boolean | null;
  p: number | null;
  onStep: (by: number) => void;
  onOpen: (study: string) => void;
}

/** The flag in plain words, and the verdict of a person on it. */
export function VerdictBar(props: VerdictBarProps) {
  const { study, score, reviewing, flagged, p } = props;
  const w = useWordsOf(WORDS);
  const { language } = useSettings();
  const onStep = useWhileShown(props.onStep);
  const onOpen = useWhileShown(props.onOpen);
  const [, typed] = useReducer((n: number) => n + 1, 0);
  const field = useRef<HTMLTextAreaElement>(null);
  const takeBack = useRef(false);
  const review = reviewing.of(study, score?.review);
  const draft = draftOf(study, review);
  const unsaved = draft.trim() !== (review?.comment ?? "");

  async function decide(verdict: Verdict): Promise<void> {
    if (reviewing.busy) return;
    takeBack.current = false;
    const done = await reviewing.decide(study, verdict, review);
    if (!done) return;
    if (takeBack.current) await reviewing.undo(study, done);
    else onStep(1);
  }
  async function undo(): Promise<void> {
    takeBack.current = true; // also of a verdict that is on its way
    if (reviewing.busy) return;
    const back = await reviewing.undo(study, review);
    if (back && back !== study) onOpen(back);
  }
  useKeys({
    a: () => void decide("accept"),
    r: () => void decide("reject"),
    u: () => void undo(),
    c: () => field.current?.focus(),
  });
  useEffect(() => {
    const leave = (event: KeyboardEvent) => {
      if (event.key !== "Escape") return;
      event.preventDefault(); // it leaves the field, not the study
      field.current?.blur();
    };
    const element = field.current;
    element?.addEventListener("keydown", leave);
    return () => element?.removeEventListener("keydown", leave);
  }, []);
  const odd = p === null ? undefined : oneIn(p);
  const here = reviewing.trouble?.study === study ? reviewing.trouble : undefined;
  const conflict = reviewing.conflict?.study === study ? reviewing.conflict : undefined;
  return (
    <div className="verdict-bar">
      <p className="verdict-flag">
        <Flag flagged={flagged} p={p} />
        <span>{p !== null && (odd ? w.oddAs(String(odd)) : w.oddUsual)}</span>
        <span className="verdict-now" role="status">
          {review?.verdict
            ? w.decidedBy(w.verdicts[review.verdict], review.by, when(review.at, language))
            : w.noVerdict}
        </span>
      </p>
      <div className="verdict-acts">
        {act("accept", "check", w.accept, "a", review?.verdict === "accept", decide)}
        {act("reject", "close", w.reject, "r", review?.verdict === "reject", decide)}
        <button type="button" className="button quiet" title="u" onClick={undo}>
          <Icon name="undo" size={16} /> {w.undo} <kbd>u</kbd>
        </button>
      </div>
      <div className="comment">
        <textarea
          ref={field}
          rows={2}
          value={draft}
          maxLength={4000}
          aria-label={w.comment}
          placeholder={`${w.comment} (c). ${w.commentHint}`}
          onChange={(event) => {
            keepDraft(study, event.target.value);
            typed();
          }}
        />
        {unsaved && (
          <button
            type="button"
            className="button small"
            disabled={reviewing.busy}
            onClick={() => void reviewing.decide(study, review?.verdict ?? "", review)}
          >
            {w.saveComment}
          </button>
        )}
      </div>
      {conflict && (
        <Notice
          kind="warn"
          title={w.conflict}
          actions={
            <span className="verdict-acts">
              <button type="button" className="button small" onClick={reviewing.dismiss}>
                {w.keepTheirs}
              </button>
              <button
                type="button"
                className="button small"
                onClick={() => void decide(conflict.verdict)}
              >
                {w.mineAnyway}
              </button>
            </span>
          }
        >
          {w.conflictText(w.verdicts[review?.verdict ?? ""], review?.by ?? "")}
        </Notice>
      )}
      {here && <ProblemNotice problem={here.problem} retry={here.again} />}
    </div>
  );
}

function act(
  verdict: Verdict,
  icon: "check" | "close",
  label: string,
  key: string,
  pressed: boolean,
  decide: (verdict: Verdict) => Promise<void>,
) {
  return (
    <button
      type="button"
      className={`button ${verdict}`}
      aria-pressed={pressed}
      title={key}
      onClick={() => void decide(verdict)}
    >
      <Icon name={icon} size={16} /> {label} <kbd>{key}</kbd>
    </button>
  );
}
