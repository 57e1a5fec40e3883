import type { Reference } from "../../api/qa";

export interface Separation {
  auroc: number;
  auroc_interval?: [number, number];
  fpr95: number;
}

/** A stratum of a reference as its report tells it. */
export interface Stratum {
  stratum: string;
  fitted: number;
  held_out: number;
  patients: number;
  least_alarm: number;
  notes: string[];
  against_other_items: Record<string, Separation>;
  against_corruptions: Record<string, Record<string, number>>;
}

export interface Refused {
  stratum: string;
  cases: number;
  patients: number;
  why: string;
}

const listOf = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);
const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
type Told = Omit<Stratum, "against_other_items" | "against_corruptions"> & Partial<Stratum>;
const isStratum = (value: unknown): value is Told =>
  isObject(value) && typeof value.stratum === "string" && typeof value.held_out === "number";
const isRefused = (value: unknown): value is Refused =>
  isObject(value) && typeof value.stratum === "string" && typeof value.why === "string";

/** What was not measured has no place in a report; here it is empty. */
export const strataOf = (reference: Reference): Stratum[] =>
  listOf(reference.report.strata)
    .filter(isStratum)
    .map((each) => ({ against_other_items: {}, against_corruptions: {}, ...each }));

/** The least rate that any stratum can judge at; 0 where that is not told. */
export const leastAlarm = (reference: Reference): number => {
  const rates = strataOf(reference).map((each) => each.least_alarm);
  return rates.length ? Math.min(...rates) : 0;
};

export const refusedOf = (reference: Reference): Refused[] =>
  listOf(reference.report.refused).filter(isRefused);

export const notesOf = (reference: Reference): string[] =>
  listOf(reference.report.notes).filter((each) => typeof each === "string");

/** How many patches a reference draws heat by; none where none were fitted. */
export function patchesOf(reference: Reference): number {
  return listOf(reference.heat?.strata).reduce<number>(
    (sum, each) => sum + (isObject(each) && typeof each.patches === "number" ? each.patches : 0),
    0,
  );
}

/** The detectors of a reference, in the order of its report. */
export function detectorsOf(strata: readonly Stratum[]): string[] {
  const names = strata.flatMap((each) => [
    ...Object.keys(each.against_other_items),
    ...Object.values(each.against_corruptions).flatMap((kind) => Object.keys(kind)),
  ]);
  return [...new Set(names)];
}
