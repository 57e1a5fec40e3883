import type { ReactNode } from "react";
import type { Job } from "../../api/library";
import { count, percent } from "../../lib/format";
import { useSettings, useWordsOf } from "../../lib/settings";
import { Copy } from "../../parts/Copy";
import { inWords, lasting, paceOf } from "./figures";
import { MOST, STEP } from "./state";
import { WORDS } from "./words";

interface PanelProps {
  title: string;
  aside?: ReactNode;
  busy?: boolean;
  children: ReactNode;
}

/** A part of a tab under its own heading. */
export function Panel({ title, aside, busy = false, children }: PanelProps) {
  return (
    <section className="panel" aria-label={title} aria-busy={busy}>
      <header>
        <h2>{title}</h2>
        {aside && <div className="panel-aside">{aside}</div>}
      </header>
      {children}
    </section>
  );
}

/** Where rows will be. */
export function Bones({ rows }: { rows: number }) {
  return (
    <div className="panel-bones" aria-hidden="true">
      {Array.from({ length: rows }, (_, at) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: they are all alike
        <span key={at} className="bone" />
      ))}
    </div>
  );
}

interface TableProps {
  label: string;
  columns: readonly string[];
  /** Numbers of the columns that hold numbers. */
  numbers?: readonly number[];
  children: ReactNode;
}

/** Rows under headings; where it is too narrow, each row becomes a card (by `data-of`). */
export function Table({ label, columns, numbers = [], children }: TableProps) {
  return (
    <table className="rows" aria-label={label}>
      <thead>
        <tr>
          {columns.map((each, at) => (
            <th key={each} scope="col" className={numbers.includes(at) ? "number" : undefined}>
              {each || <span className="sr">{label}</span>}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>{children}</tbody>
    </table>
  );
}

/** A command to be typed somewhere else. */
export function Command({ words }: { words: string }) {
  return (
    <span className="command">
      <code>{words}</code>
      <Copy words={words} label={words} />
    </span>
  );
}

export interface Share {
  name: string;
  value: number;
  said: string;
  tone: string;
}

/** Parts of a whole as one bar, each with its name and figure below. */
export function Stack({ shares }: { shares: readonly Share[] }) {
  const shown = shares.filter((each) => each.value > 0);
  const whole = shown.reduce((sum, each) => sum + each.value, 0);
  return (
    <div className="stack">
      <div className="stack-bar" aria-hidden="true">
        {shown.map((each) => (
          <span
            key={each.name}
            className={`tone-${each.tone}`}
            style={{ flexGrow: Math.max(each.value / whole, 0.004) }}
          />
        ))}
      </div>
      <ul>
        {shown.map((each) => (
          <li key={each.name}>
            <span className={`dot tone-${each.tone}`} aria-hidden="true" />
            <span>{each.name}</span>
            <span className="figure">{each.said}</span>
          </li>
        ))}
      </ul>
    </div>
  );
}

const TONES: Record<string, string> = {
  done: "good",
  running: "live",
  queued: "quiet",
  failed: "bad",
  refused: "bad",
  stopped: "warn",
  revoked: "quiet",
  expired: "warn",
};

/** How something stands, by word and colour. */
export function Tag({ state, said }: { state: string; said: string }) {
  return <span className={`tag tag-${TONES[state] ?? "plain"}`}>{said}</span>;
}

/** How far a job is, how fast it goes, and how long it may take. */
export function Progress({ job }: { job: Job }) {
  const t = useWordsOf(WORDS);
  const { language } = useSettings();
  const { share, perSecond, left } = paceOf(job);
  const far = [
    job.total
      ? t.ofFiles(count(job.done, language), count(job.total, language))
      : job.done
        ? count(job.done, language)
        : "",
    perSecond ? t.perSecond(count(Number(perSecond.toPrecision(2)), language)) : "",
    left ? t.left(lasting(left)) : "",
  ];
  return (
    <div className="progress">
      <progress
        max={1}
        {...(share !== null && { value: share })}
        aria-label={`${job.kind} ${share === null ? "" : percent(share)}`}
      />
      <p>
        <span>{job.what || t.jobStates[job.state]}</span>
        <span className="figure">{far.filter(Boolean).join(" · ")}</span>
      </p>
    </div>
  );
}

interface MoreProps {
  shown: number;
  more: boolean;
  n: number;
  onMore: (n: number) => void;
}

/** How many rows are shown, and the way to more of them. */
export function More({ shown, more, n, onMore }: MoreProps) {
  const t = useWordsOf(WORDS);
  const { language } = useSettings();
  if (!more && shown <= STEP) return null;
  return (
    <p className="more">
      <span>{more && n >= MOST ? t.most : t.rows(count(shown, language))}</span>
      {more && n < MOST && (
        <button
          type="button"
          className="button small"
          onClick={() => onMore(Math.min(MOST, n * 2))}
        >
          {t.more}
        </button>
      )}
    </p>
  );
}

/** Names and values, one below the other. */
export function Facts({ of }: { of: readonly (readonly [name: string, value: unknown])[] }) {
  return (
    <dl className="facts">
      {of.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{inWords(value)}</dd>
        </div>
      ))}
    </dl>
  );
}
