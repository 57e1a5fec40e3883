/** When somebody was here last, kept by this browser alone. */
export interface Visits {
  /** Of this visit, when it was last seen; ms. */
  last: number;
  /** The end of the visit before; 0 if this is the first. */
  before: number;
}

/** A visit ends when nobody was here for so long. */
export const PAUSE_MS = 45 * 60_000;
const NAME = "syntopy.map.visits";

/** The visits, when somebody is here now. */
export function visited(kept: Visits | null, now: number): Visits {
  if (!kept) return { last: now, before: 0 };
  return now - kept.last > PAUSE_MS
    ? { last: now, before: kept.last }
    : { last: now, before: kept.before };
}

function read(): Visits | null {
  try {
    const found: unknown = JSON.parse(window.localStorage.getItem(NAME) ?? "null");
    if (typeof found !== "object" || !found || !("last" in found) || !("before" in found))
      return null;
    const { last, before } = found;
    return typeof last === "number" && typeof before === "number" ? { last, before } : null;
  } catch {
    return null; // no storage, or what is in it is no visit
  }
}

/** Note that somebody is here; when the visit before ended, ISO, "" if there was none. */
export function visit(): string {
  const now = visited(read(), Date.now());
  try {
    window.localStorage.setItem(NAME, JSON.stringify(now));
  } catch {
    // then every visit is the first
  }
  return now.before ? new Date(now.before).toISOString() : "";
}
