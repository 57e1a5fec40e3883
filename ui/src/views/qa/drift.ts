import type { Schemas } from "../../api/client";

/** Studies of a window, of all or of one group. */
export interface Part {
  group: string;
  studies: number;
  patients: number;
  flagged: number | null;
  low: number | null;
  high: number | null;
  differs: boolean | null;
  sentences: string[];
}

export interface Window_ {
  name: string;
  first: string;
  last: string;
  whole: Part;
  groups: Part[];
}

/** The moving average after a window. */
export interface Step {
  cases: number;
  mean: number | null;
  level: number;
  limit: number;
  alarm: boolean;
}

/** One detector over all windows, of all studies or of a group. */
export interface Watch {
  detector: string;
  group: string;
  first: number | null;
  since: number | null;
  lasting: boolean;
  reference: number;
  own: boolean;
  steps: Step[];
}

/** What a job says of a drift report beside its rows. */
export interface Summary {
  reference: string;
  filter: string;
  by: string;
  alarm: number;
  changed: boolean;
  headline: string;
  sentences: string[];
  notes: string[];
  held_out: number;
  patients: number;
}

export interface Report {
  windows: Window_[];
  watches: Watch[];
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null;
const isWindow = (value: unknown): value is Window_ =>
  isObject(value) && typeof value.name === "string" && isObject(value.whole);
const isWatch = (value: unknown): value is Watch =>
  isObject(value) && typeof value.detector === "string" && Array.isArray(value.steps);
export const isSummary = (value: unknown): value is Summary =>
  isObject(value) && typeof value.headline === "string" && Array.isArray(value.notes);

/** The rows of a job of this kind: windows, oldest first, then watches. */
export function reportOf(rows: Schemas["ResultRows"]["rows"]): Report {
  return {
    windows: rows.map((row) => row.window).filter(isWindow),
    watches: rows.map((row) => row.watch).filter(isWatch),
  };
}

export const detectorsOf = (report: Report): string[] => [
  ...new Set(report.watches.map((watch) => watch.detector)),
];

/** What came in a window of a group; nothing where nothing did. */
export const partOf = (window: Window_, group: string): Part | undefined =>
  group === "" ? window.whole : window.groups.find((each) => each.group === group);

export const watchOf = (report: Report, group: string, detector: string): Watch | undefined =>
  report.watches.find((watch) => watch.group === group && watch.detector === detector);

/** How far a watch has been beyond its limits, in limits. */
function reach(watch: Watch): number {
  return Math.max(
    0,
    ...watch.steps.map((step) => (step.limit > 0 ? Math.abs(step.level) / step.limit : 0)),
  );
}

/** All studies, which is "", then those groups first whose averages left their limits furthest. */
export function groupsOf(report: Report): string[] {
  const far = new Map<string, number>();
  for (const watch of report.watches)
    far.set(watch.group, Math.max(far.get(watch.group) ?? 0, reach(watch)));
  const isAll = (group: string) => Number(group === "");
  return [...far]
    .sort(([one, a], [other, b]) => isAll(other) - isAll(one) || b - a)
    .map(([group]) => group);
}

/** The detector whose average left its limits furthest, of any group. */
export function furthest(report: Report): string {
  const [first] = [...report.watches].sort((a, b) => reach(b) - reach(a));
  return first?.detector ?? "";
}

/** The first alarm of a group by any detector, and the window in which it is likely to have begun. */
export function onset(report: Report, group: string): { alarm: number; began: number } | undefined {
  const alarms = report.watches.flatMap((watch) =>
    watch.group === group && watch.first !== null
      ? [{ alarm: watch.first, began: watch.since ?? watch.first }]
      : [],
  );
  return alarms.sort((a, b) => a.alarm - b.alarm || a.began - b.began)[0];
}
