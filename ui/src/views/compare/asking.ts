import type { Hit, Item, Schemas, SearchAnswer } from "../../api/client";
import * as api from "../../api/client";
import * as compare from "../../api/compare";
import { type Asked, useAsked } from "../../lib/ask";
import { previewOf } from "../search/files";
import { filterOf, type SearchState } from "../search/state";
import type { CompareState, Region } from "./state";

/** One that can be on the right: of the search, of a region, or kept. */
export interface Candidate {
  item: Item | Hit;
  hit?: Hit;
  region?: compare.RegionFound;
  /** Its place among the hits; null of a prior and of what was kept. */
  place: number | null;
}

/** What is on the left: an item, a dropped picture, or nothing that has a picture. */
export interface Left {
  id: string;
  preview: string;
}

/** The item of the query's first liked part that has one, the one that was put there, or a kept one. */
export function leftOf(state: CompareState, answer: SearchAnswer | undefined): Left {
  if (state.left) return { id: state.left, preview: "" };
  const asked = answer?.queries.find((query) => query.item && query.weight > 0);
  if (asked) return { id: asked.item, preview: "" };
  const file = state.search.parts.find((part) => part.kind === "file");
  const preview = file ? previewOf(file.value) : "";
  const id = state.search.parts.length ? "" : (state.search.kept[0] ?? "");
  return { id, preview };
}

export function candidatesOf(answer: SearchAnswer | undefined): Candidate[] {
  const hits = answer?.hits ?? [];
  const priors = answer?.priors ?? [];
  return [
    ...hits.map((hit, at) => ({ item: hit, hit, place: at + 1 })),
    ...priors.map((hit) => ({ item: hit, hit, place: null })),
  ];
}

/** Kept items; those that are not there any more are left out. */
export function useKept(ids: readonly string[], active: boolean): Asked<Candidate[]> {
  const key = active && ids.length ? `kept ${ids.join(" ")}` : null;
  return useAsked(key, async (signal) => {
    const found = await Promise.allSettled(ids.map((id) => api.item(id, signal)));
    const failed = found.find((each) => each.status === "rejected");
    const rows = found.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
    if (!rows.length && failed) throw failed.reason;
    return rows.map((item) => ({ item, place: null }));
  });
}

const ASKED = 20;

/** Hits of a region of the left item, under the filter of the search. */
export function useRegion(
  left: string,
  region: Region | undefined,
  search: SearchState,
): Asked<compare.RegionsFound> {
  const filter = filterOf(search.choices, search.filter);
  const body = region &&
    left !== "" && {
      uid: left,
      box: [region.x, region.y, region.width, region.height] satisfies number[] as [
        number,
        number,
        number,
        number,
      ],
      number: region.slice ?? null,
      k: ASKED,
      filter,
    };
  return useAsked(body ? `region ${JSON.stringify(body)}` : null, (signal) => {
    if (!body) throw new Error("no region");
    return compare.searchRegion(body, signal);
  });
}

export const regionCandidates = (found: compare.RegionsFound | undefined): Candidate[] =>
  (found?.hits ?? []).map((region, at) => ({
    item: region.hit,
    region,
    place: at + 1,
  }));

export type StudyDetails = Schemas["StudyDetails"];
export type SeriesDetails = StudyDetails["series"][number];

/** An item with the study and the series that it is of. */
export interface Side {
  id: string;
  study: StudyDetails;
  series: SeriesDetails;
  item: SeriesDetails["items"][number];
}

export function useSide(id: string): Asked<Side> {
  return useAsked(id ? `side ${id}` : null, async (signal) => {
    const study = await api.study(id, signal);
    for (const series of study.series) {
      const item = series.items.find((each) => each.id === id);
      if (item) return { id, study, series, item };
    }
    throw new api.Problem(404, "not_found", id);
  });
}

/** What was asked for one item is not shown for another, while that is waited for. */
export const ofNow = (asked: Asked<Side>, id: string): Side | undefined =>
  asked.data?.id === id ? asked.data : undefined;

export function useMatching(ours: string, theirs: string, active: boolean): Asked<compare.Matched> {
  return useAsked(active && ours && theirs ? `matching ${ours} ${theirs}` : null, (signal) =>
    compare.matching(ours, theirs, signal),
  );
}

export const useFrame = (id: string, active: boolean): Asked<compare.Frame> =>
  useAsked(active && id ? `frame ${id}` : null, (signal) => compare.frame(id, signal));
