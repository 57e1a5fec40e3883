import { type FormEvent, useEffect, useState } from "react";
import { GONE, Problem } from "../../api/client";
import * as api from "../../api/curate";
import { useAsked } from "../../lib/ask";
import { count } from "../../lib/format";
import { useKeys } from "../../lib/keys";
import { useSettings, useWordsOf } from "../../lib/settings";
import { Dialog } from "../../parts/Dialog";
import { Icon } from "../../parts/Icon";
import { Notice, ProblemNotice } from "../../parts/Notice";
import { Segments } from "../../parts/Segments";
import { Thumb } from "../../parts/Thumb";
import type { Update } from "./CurateView";
import { type CurateState, LISTS, type List } from "./state";
import { findingOf } from "./subject";
import { taskOf } from "./tasks";
import { onArrived } from "./unsent";
import { Head } from "./Work";
import { WORDS } from "./words";

/** Of several decisions that were still on their way the list is asked for once. */
const ARRIVED_MS = 150;

interface DecisionsProps {
  state: CurateState;
  reader: boolean;
  update: Update;
}

/** All subjects of a queue and what was decided, by verdict. */
export function Decisions({ state, reader, update }: DecisionsProps) {
  const t = useWordsOf(WORDS);
  const { queue, list } = state;
  const [round, setRound] = useState(() => Date.now()); // each visit asks anew
  const [using, setUsing] = useState(false);
  const counts = useAsked(`queues ${round}`, api.queues);
  const mine = counts.data?.find((each) => each.queue === queue);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const stop = onArrived((review) => {
      if (review.queue !== queue) return;
      clearTimeout(timer);
      timer = setTimeout(() => setRound(Date.now()), ARRIVED_MS);
    });
    return () => {
      clearTimeout(timer);
      stop();
    };
  }, [queue]);
  useKeys({
    l: () => !reader && update({ list: "", at: "" }),
    Escape: () => update({ queue: "", at: "", list: "" }),
  });
  return (
    <>
      <Head state={state} counts={mine} update={update} />
      {reader && (
        <Notice kind="info" title={t.readOnly}>
          {t.readOnlyText}
        </Notice>
      )}
      <div className="list-tools">
        <Segments
          label={t.columns[1] ?? ""}
          value={list}
          options={LISTS.filter(Boolean).map((each) => [each, t.lists[each]])}
          onChange={(value) => {
            setRound(Date.now());
            update({ list: LISTS.find((each) => each === value) ?? "all" });
          }}
        />
        <span className="list-acts">
          {!reader && (
            <button
              type="button"
              className="button"
              disabled={!mine?.accept}
              title={mine?.accept ? undefined : t.nobody}
              onClick={() => setUsing(true)}
            >
              <Icon name="send" size={16} /> {t.use}
            </button>
          )}
          {!reader && (
            <a className="button" href={api.exportUrl(queue)} download title={t.exportTitle}>
              <Icon name="download" size={16} /> {t.export}
            </a>
          )}
        </span>
      </div>
      <Table key={`${list} ${round}`} queue={queue} list={list} round={round} update={update} />
      {using && <Use queue={queue} onClose={() => setUsing(false)} />}
    </>
  );
}

interface TableProps {
  queue: string;
  list: List;
  round: number;
  update: Update;
}

function Table({ queue, list, round, update }: TableProps) {
  const t = useWordsOf(WORDS);
  const [cursors, setCursors] = useState([""]);
  return (
    <table className="decisions">
      <thead>
        <tr>
          {t.columns.map((column) => (
            <th key={column} scope="col">
              {column}
            </th>
          ))}
        </tr>
      </thead>
      {cursors.map((cursor, at) => (
        <Rows
          key={cursor}
          queue={queue}
          list={list}
          cursor={cursor}
          round={round}
          update={update}
          onMore={at === cursors.length - 1 ? (next) => setCursors([...cursors, next]) : undefined}
        />
      ))}
    </table>
  );
}

interface RowsProps extends TableProps {
  cursor: string;
  onMore: ((cursor: string) => void) | undefined;
}

const PAGE = 50;

function Rows({ queue, list, cursor, round, update, onMore }: RowsProps) {
  const t = useWordsOf(WORDS);
  const state = list === "all" ? "" : list;
  const asked = useAsked(`reviews ${queue} ${list} ${cursor} ${round}`, (signal) =>
    api.reviews({ queue, state, cursor, limit: PAGE }, signal),
  );
  if (asked.error)
    return (
      <tbody>
        <tr>
          <td colSpan={5}>
            <ProblemNotice problem={asked.error} retry={asked.retry} />
          </td>
        </tr>
      </tbody>
    );
  if (!asked.data)
    return (
      <tbody aria-busy="true">
        {["a", "b", "c", "d", "e", "f"].map((each) => (
          <tr key={each}>
            <td colSpan={5}>
              <span className="bone row-bone" />
            </td>
          </tr>
        ))}
      </tbody>
    );
  const { rows, cursor: next } = asked.data;
  return (
    <tbody>
      {rows.map((review) => (
        <Row key={review.subject} review={review} update={update} />
      ))}
      {!rows.length && (
        <tr>
          <td colSpan={5} className="nothing">
            <strong>{t.nothing}.</strong> {t.nothingDo}
          </td>
        </tr>
      )}
      {next && onMore && (
        <tr>
          <td colSpan={5}>
            <button type="button" className="button" onClick={() => onMore(next)}>
              {t.more}
            </button>
          </td>
        </tr>
      )}
    </tbody>
  );
}

function Row({ review, update }: { review: api.Review; update: Update }) {
  const t = useWordsOf(WORDS);
  const { language } = useSettings();
  const when = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" });
  const { given, suggested } = findingOf(review);
  const about = review.labels.length
    ? review.labels.join(", ")
    : given && suggested
      ? `${given} → ${suggested}`
      : "";
  return (
    <tr>
      <td>
        <button
          type="button"
          className="row-open"
          aria-label={`${t.look}: ${t.verdicts[review.verdict]}, ${review.subject}`}
          onClick={() => update({ at: review.subject, list: "" })}
        >
          {review.parts.map((part) => (
            <Thumb key={part.uid} id={part.uid} />
          ))}
        </button>
      </td>
      <td>
        <span className={`standing is-${review.verdict}`}>{t.verdicts[review.verdict]}</span>
        {about && <span className="row-about">{about.replaceAll("_", " ")}</span>}
      </td>
      <td>{review.comment}</td>
      <td>{review.verdict ? review.by : review.claimed_by ? t.at(review.claimed_by) : ""}</td>
      <td>{review.at ? when.format(new Date(`${review.at}Z`)) : ""}</td>
    </tr>
  );
}

type Which = "first" | "second" | "both";

/** A set or a tag of what was accepted. */
function Use({ queue, onClose }: { queue: string; onClose: () => void }) {
  const t = useWordsOf(WORDS);
  const { language } = useSettings();
  const task = taskOf(queue);
  const pairs = task === "duplicates" || task === "leakage";
  const [kind, setKind] = useState("tag");
  const [name, setName] = useState(queue.replaceAll(/[:/]/g, "-"));
  const [which, setWhich] = useState<Which>("second");
  const [busy, setBusy] = useState(false);
  const [made, setMade] = useState<number | undefined>();
  const [problem, setProblem] = useState<Problem | undefined>();

  async function submit(event: FormEvent): Promise<void> {
    event.preventDefault();
    setBusy(true);
    setProblem(undefined);
    setMade(undefined);
    try {
      const accepted = await api.allReviews(queue, "accept");
      const ids = [...new Set(accepted.flatMap((each) => chosen(each, pairs ? which : "both")))];
      if (kind === "set") await api.addToSet(name.trim(), ids, t.ofQueue(queue));
      else await api.tagItems(name.trim(), ids);
      setMade(ids.length);
    } catch (error) {
      setProblem(error instanceof Problem ? error : new Problem(0, GONE, ""));
    }
    setBusy(false);
  }

  return (
    <Dialog title={t.use} onClose={onClose}>
      <form className="find-form" onSubmit={(event) => void submit(event)}>
        <p>{t.useText}</p>
        <div className="find-row">
          <span>{t.useAs}</span>
          <Segments
            label={t.useAs}
            value={kind}
            options={[
              ["tag", t.asTag],
              ["set", t.asSet],
            ]}
            onChange={setKind}
          />
        </div>
        <label>
          {t.name}
          <input
            type="text"
            required
            maxLength={64}
            value={name}
            onChange={(event) => setName(event.target.value)}
          />
          {kind === "tag" && <small>{t.tagHint(name.trim())}</small>}
        </label>
        {pairs && (
          <label>
            {t.which}
            <select value={which} onChange={(event) => setWhich(whichOf(event.target.value))}>
              <option value="second">{t.onlySecond}</option>
              <option value="first">{t.onlyFirst}</option>
              <option value="both">{t.both}</option>
            </select>
          </label>
        )}
        {problem && <ProblemNotice problem={problem} />}
        {made !== undefined && (
          <Notice kind="info" title={t.applied(count(made, language), name.trim())} />
        )}
        <button type="submit" className="button accent" disabled={busy || !name.trim()}>
          {t.apply}
        </button>
      </form>
    </Dialog>
  );
}

const whichOf = (said: string): Which => (said === "first" || said === "both" ? said : "second");

/** The left or the right one of a pair as it was shown. */
function chosen(review: api.Review, which: Which): string[] {
  const { first } = findingOf(review);
  const uids = review.parts.map((part) => part.uid);
  const [left = "", right = ""] = first && uids[1] === first ? [...uids].reverse() : uids;
  if (which === "both" || !right) return uids;
  return [which === "first" ? left : right];
}
