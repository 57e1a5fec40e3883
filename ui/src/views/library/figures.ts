import type { Job, Now } from "../../api/library";

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];

/** Bytes in units of a thousand, two digits or three: `1.3 MB`, `742 kB`. */
export function bytes(value: number, language: string): string {
  let unit = 0;
  let left = value;
  while (left >= 999.5 && unit < UNITS.length - 1) {
    left /= 1000;
    unit += 1;
  }
  const digits = unit > 0 && left < 9.95 ? 1 : 0;
  const said = new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(left);
  return `${said} ${UNITS[unit]}`;
}

/** A time of the service as a day and a minute of whoever reads it; nothing where there is none. */
export function when(iso: string, language: string): string {
  const at = new Date(iso);
  if (!iso || Number.isNaN(at.getTime())) return "";
  const where = language === "en" ? "en-GB" : language;
  return new Intl.DateTimeFormat(where, { dateStyle: "medium", timeStyle: "short" }).format(at);
}

export function day(iso: string, language: string): string {
  const at = new Date(iso);
  if (!iso || Number.isNaN(at.getTime())) return "";
  const where = language === "en" ? "en-GB" : language;
  return new Intl.DateTimeFormat(where, { dateStyle: "medium" }).format(at);
}

/** A length of time in its two largest units: `2 h 5 min`, `48 s`. */
export function lasting(seconds: number): string {
  if (seconds < 1) return "< 1 s";
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return `${Math.round(hours / 24)} d`;
}

export const between = (from: string, to: string): number =>
  Math.max(0, (Date.parse(to) - Date.parse(from)) / 1000) || 0;

export interface Pace {
  /** Of what is done, or null where it is not known. */
  share: number | null;
  perSecond: number | null;
  /** Seconds, if it goes on so. */
  left: number | null;
}

/** How fast a job goes, by the times that the service told. */
export function paceOf(job: Job): Pace {
  const share = job.total > 0 ? Math.min(1, job.done / job.total) : null;
  const seconds = between(job.started_at, job.updated_at);
  const perSecond = job.done > 0 && seconds >= 1 ? job.done / seconds : null;
  const left = perSecond && share !== null && share < 1 ? (job.total - job.done) / perSecond : null;
  return { share, perSecond, left };
}

/** Changes when a job was asked for, begins or ends, and not with its progress. */
export const jobsToken = (now: Now | undefined): string => JSON.stringify(now?.jobs ?? {});

/** Changes when files came in, or what is known of them has changed. */
export const rowsToken = (now: Now | undefined): string =>
  now ? JSON.stringify([now.last_run, now.rows, now.files]) : "";

/** Whether a value of JSON is worth a line. */
export const saysSomething = (value: unknown): boolean =>
  value !== null && value !== "" && !(typeof value === "object" && Object.keys(value).length === 0);

/** A value of JSON in one line, as a person reads it. */
export function inWords(value: unknown): string {
  if (Array.isArray(value)) return value.map(inWords).join(", ");
  if (typeof value === "object" && value !== null)
    return Object.entries(value)
      .map(([name, each]) => `${name} ${inWords(each)}`)
      .join(" · ");
  return value === null || value === "" ? "–" : String(value);
}
