import { useEffect, useRef, useState } from "react";
import type * as api from "../../api/curate";
import { count, plain, shortUid } from "../../lib/format";
import { useKeys } from "../../lib/keys";
import { imageName } from "../../lib/names";
import { useSettings, useWordsOf } from "../../lib/settings";
import { useWhileShown } from "../../lib/shown";
import { Icon } from "../../parts/Icon";
import { ProblemNotice } from "../../parts/Notice";
import { Segments } from "../../parts/Segments";
import type { Update } from "./CurateView";
import { type Deciding, useDeciding } from "./deciding";
import { type Deck, useDeck } from "./deck";
import { Fields, Near, Said, Suggestion } from "./Said";
import { frameUrl, Screens } from "./Screens";
import { Shares } from "./Start";
import { type CurateState, LOOKS, type Look } from "./state";
import { findingOf, labelsOf, type Seen, useSeen } from "./subject";
import { labelOf, TASKS, type Task, taskOf } from "./tasks";
import { Comment, Values, Verdicts } from "./Verdict";
import { WORDS } from "./words";

interface WorkProps {
  state: CurateState;
  me: string;
  update: Update;
}

/** Going through a queue, one subject at a time. */
export function Work({ state, me, update }: WorkProps) {
  const goTo = useWhileShown((at: string, how: "push" | "replace") => update({ at }, how));
  const deck = useDeck(state.queue, state.at, me, goTo);
  const deciding = useDeciding(deck, me, (at) => goTo(at, "push"));
  usePrefetched(deck.coming);
  useKeys({
    j: () => deck.move(1),
    k: () => deck.move(-1),
    u: deciding.undo,
    l: () => update({ list: "all", at: "" }),
    Escape: () => {
      const field = document.activeElement;
      if (field instanceof HTMLElement && field.matches("textarea, input")) field.blur();
      else update({ queue: "", at: "" });
    },
  });
  return (
    <>
      <Head state={state} counts={deck.counts} update={update} />
      {deck.error && <ProblemNotice problem={deck.error} retry={deck.retry} />}
      {deciding.problem && <ProblemNotice problem={deciding.problem} retry={deciding.undo} />}
      {deck.ended ? (
        <Ended deck={deck} update={update} />
      ) : (
        <Subject
          key={state.at}
          deck={deck}
          deciding={deciding}
          state={state}
          me={me}
          update={update}
        />
      )}
    </>
  );
}

interface HeadProps {
  state: CurateState;
  counts: api.QueueCounts | undefined;
  update: Update;
}

/** Which queue it is, and how far it is. */
export function Head({ state, counts, update }: HeadProps) {
  const t = useWordsOf(WORDS);
  const task = taskOf(state.queue);
  const label = labelOf(state.queue);
  return (
    <header className="work-head">
      <button
        type="button"
        className="button quiet"
        aria-label={t.toStart}
        title="Esc"
        onClick={() => update({ queue: "", at: "", list: "" })}
      >
        <Icon name="left" />
      </button>
      <h1>
        {task ? t.tasks[task] : state.queue}
        {task && label && <small> {plain(label)}</small>}
      </h1>
      {counts ? <Shares counts={counts} /> : <span className="bone shares-bone" />}
      <Segments
        label={t.decisions}
        value={state.list ? "list" : "work"}
        options={[
          ["work", t.work],
          ["list", t.decisions, `${t.decisions} (l)`],
        ]}
        onChange={(value) => update({ list: value === "list" ? "all" : "", at: "" })}
      />
    </header>
  );
}

interface SubjectProps {
  deck: Deck;
  deciding: Deciding;
  state: CurateState;
  me: string;
  update: Update;
}

const isTask = (said: string | undefined): Task | undefined => TASKS.find((each) => each === said);

function Subject({ deck, deciding, state, me, update }: SubjectProps) {
  const t = useWordsOf(WORDS);
  const { current } = deck;
  const seen = useSeen(current);
  const [depth, setDepth] = useState(0.5);
  const comment = useRef<HTMLTextAreaElement>(null);
  const finding = current ? findingOf(current) : {};
  const task = isTask(finding.task) ?? taskOf(state.queue);
  const parts = seen.data ?? [];
  const [only] = parts;
  const pair = parts.length > 1;
  const slices = Math.max(1, ...parts.map((each) => each.slices));
  const names = namesOf(task, finding.split, finding.other_split, [t.first, t.second]);
  const label = finding.label ?? "";
  const scroll = (by: number) =>
    slices > 1 && setDepth((now) => Math.min(1, Math.max(0, now + by / (slices - 1))));
  const accept = () => {
    if (task === "selection") return;
    deciding.decide("accept", task === "labels" ? (finding.suggested ?? "").split(" + ") : []);
  };
  const lookAs = (look: Look) =>
    pair && update({ look: state.look === look ? "side" : look }, "replace");
  const ready = current !== undefined;
  const values = label && only && (
    <Values
      label={label}
      now={current?.labels.length ? current.labels : labelsOf(only, label)}
      disabled={!ready}
      onGive={(given) => deciding.decide("accept", given)}
    />
  );
  useKeys({
    a: accept,
    r: () => deciding.decide("reject"),
    s: () => deciding.decide("skip"),
    c: () => comment.current?.focus(),
    b: () => lookAs("blink"),
    o: () => lookAs("difference"),
    ArrowUp: () => scroll(-1),
    ArrowDown: () => scroll(1),
  });
  return (
    <div className="work" aria-busy={!ready || (!seen.data && !seen.error)}>
      <section className="stage" aria-label={only ? titleOf(only) : ""}>
        <div className="stage-head">
          <h2>{only ? titleOf(only) : <span className="bone line" />}</h2>
          {current && <Standing review={current} me={me} />}
          {pair && (
            <Segments
              label={t.lookOf}
              value={state.look}
              options={LOOKS.map((each) => [each, t[each]])}
              onChange={(look) =>
                update({ look: LOOKS.find((each) => each === look) ?? "side" }, "replace")
              }
            />
          )}
        </div>
        {seen.error ? (
          <ProblemNotice problem={seen.error} retry={seen.retry} />
        ) : seen.data ? (
          <Screens seen={parts} look={state.look} depth={depth} onDepth={setDepth} names={names} />
        ) : (
          <div className="screens bone" />
        )}
      </section>
      <aside className="bench" aria-label={t.decisions}>
        <div className="finding">
          <Suggestion finding={finding} seen={only} />
          <Said finding={finding} />
        </div>
        {task === "selection" && values}
        <Verdicts
          task={task}
          verdict={current?.verdict ?? ""}
          disabled={!ready}
          onDecide={(verdict) => (verdict === "accept" ? accept() : deciding.decide(verdict))}
          onUndo={deciding.undo}
          onMove={deck.move}
        />
        <p className="consequence">{task ? t.accepting[task] : t.acceptingAny}</p>
        <Comment field={comment} value={deciding.comment} onChange={deciding.setComment} />
        {task !== "selection" && values}
        <Fields seen={parts} names={names} />
        {only && !pair && <Near seen={only} finding={finding} />}
        {only && (
          <p className="ways">
            <a className="link" href={`#/search?study=${only.study.study_instance_uid}`}>
              {t.search}
            </a>
            {parts[1] && (
              <a
                className="link"
                href={`#/compare?study=${only.study.study_instance_uid}&hit=${parts[1].id}`}
              >
                {t.compare}
              </a>
            )}
          </p>
        )}
      </aside>
    </div>
  );
}

const titleOf = ({ series, study }: Seen): string =>
  imageName(series) || shortUid(study.study_instance_uid);

/** What the two of a pair are called: by their split where that is what it is about. */
const namesOf = (
  task: Task | undefined,
  split: string | undefined,
  other: string | undefined,
  usual: string[],
): string[] => (task === "leakage" && split && other ? [split, other] : usual);

/** Who decided what, or who is at it just now. */
function Standing({ review, me }: { review: api.Review; me: string }) {
  const t = useWordsOf(WORDS);
  const who = (name: string) => (name === me ? t.you : name);
  if (review.verdict)
    return (
      <span className={`standing is-${review.verdict}`}>
        {t.decided(who(review.by), t.verdicts[review.verdict] ?? "")}
      </span>
    );
  if (review.claimed_by && review.claimed_by !== me)
    return <span className="standing taken">{t.at(review.claimed_by)}</span>;
  return null;
}

function Ended({ deck, update }: { deck: Deck; update: Update }) {
  const t = useWordsOf(WORDS);
  const { language } = useSettings();
  const { counts } = deck;
  return (
    <section className="ended">
      <Icon name="check" size={40} />
      <h2>{t.ended}</h2>
      <p>{t.endedText(counts?.open ?? 0)}</p>
      {counts && counts.skip > 0 && <p>{t.endedSkip(count(counts.skip, language))}</p>}
      <div className="ended-acts">
        <button type="button" className="button accent" onClick={() => update({ list: "all" })}>
          {t.toList}
        </button>
        <button type="button" className="button" onClick={() => update({ queue: "", at: "" })}>
          {t.toStart}
        </button>
      </div>
    </section>
  );
}

/** What is known of the next one, and its pictures, before they are asked for. */
function usePrefetched(coming: api.Review | undefined): void {
  const seen = useSeen(coming);
  useEffect(() => {
    for (const each of seen.data ?? []) new Image().src = frameUrl(each, 0.5);
  }, [seen.data]);
}
