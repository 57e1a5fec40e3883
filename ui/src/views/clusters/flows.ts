import type { ComparedRuns } from "../../api/clusters";

export const NOISE = -1;

/** Items of a cluster of the first clustering that are in a cluster of the second. */
export interface Part {
  to: number;
  items: number;
  /** It is the cluster that matches. */
  matched: boolean;
}

/** Where the items of a cluster of the first clustering are in the second. */
export interface Flow {
  from: number;
  name: string;
  items: number;
  /** The cluster of the second that matches, null where there is none. */
  match: number | null;
  jaccard: number;
  /** The largest first, but the matching one before all. */
  parts: Part[];
}

/** `3 lungs` is `lungs`: names come with their number before them. */
export const bare = (name: string | null): string => (name ?? "").replace(/^\d+ ?/, "");

/** Names of the clusters of each clustering, by number. */
export function namesOf(told: ComparedRuns): [Map<number, string>, Map<number, string>] {
  const first = new Map<number, string>();
  const second = new Map<number, string>();
  for (const { first: one, second: other, match } of told.clusters) {
    if (match.first !== null) first.set(match.first, bare(one));
    if (match.second !== null) second.set(match.second, bare(other));
  }
  return [first, second];
}

/** Of each cluster of the first clustering where its items went; largest first, noise last. */
export function flowsOf(told: ComparedRuns): Flow[] {
  const matches = new Map(
    told.clusters.flatMap(({ match }) => (match.first === null ? [] : [[match.first, match]])),
  );
  const [names] = namesOf(told);
  const parts = new Map<number, Part[]>();
  for (const [from, to, items] of told.confusion) {
    const match = from === NOISE ? NOISE : (matches.get(from)?.second ?? null);
    const part = { to, items, matched: to === match };
    parts.set(from, [...(parts.get(from) ?? []), part]);
  }
  const flows = [...parts].map(([from, each]) => ({
    from,
    name: names.get(from) ?? "",
    items: each.reduce((sum, part) => sum + part.items, 0),
    match: from === NOISE ? NOISE : (matches.get(from)?.second ?? null),
    jaccard: matches.get(from)?.jaccard ?? 0,
    parts: each.sort((a, b) => Number(b.matched) - Number(a.matched) || b.items - a.items),
  }));
  return flows.sort(
    (a, b) => Number(a.from === NOISE) - Number(b.from === NOISE) || b.items - a.items,
  );
}

/** Clusters of the second clustering that match none of the first. */
export const newOnes = (told: ComparedRuns): number[] =>
  told.clusters.flatMap(({ match }) =>
    match.first === null && match.second !== null ? [match.second] : [],
  );
