import { useRef } from "react";
import type { Hit, Item, Schemas, SearchAnswer } from "../../api/client";
import * as api from "../../api/client";
import * as compare from "../../api/compare";
import * as files from "../../api/files";
import { type Asked, useAsked } from "../../lib/ask";
import { held } from "../search/files";
import { filterOf, type SearchState } from "../search/state";
import { Frames } from "./frames";
import type { Look } from "./look";
import type { CompareState, Region } from "./state";

/** One that can be on the right: of the search, of a region, or kept. */
export interface Candidate {
  item: Item | Hit;
  hit?: Hit;
  region?: compare.RegionFound;
  /** Its place among the hits; null of a prior and of what was kept. */
  place: number | null;
}

/** What is on the left: an item, dropped files by their number, or nothing that has a picture. */
export interface Left {
  id: string;
  file: string;
}

export const isThere = ({ id, file }: Left): boolean => id !== "" || file !== "";

/** The item of the query's first liked part that has one, the one that was put there, or a kept one. */
export function leftOf(state: CompareState, answer: SearchAnswer | undefined): Left {
  if (state.left) return { id: state.left, file: "" };
  const { parts, kept } = state.search;
  const file = parts.find((part) => part.kind === "file" && part.weight > 0 && held(part.value));
  if (file) return { id: "", file: file.value };
  const asked = answer?.queries.find((query) => query.item && query.weight > 0);
  return { id: asked?.item ?? (parts.length ? "" : (kept[0] ?? "")), file: "" };
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

/** Hits of a region of the left picture, under the filter of the search. */
export function useRegion(
  left: Left,
  region: Region | undefined,
  search: SearchState,
): Asked<compare.RegionsFound> {
  const filter = filterOf(search.choices, search.filter);
  const body = region &&
    isThere(left) && {
      box: [region.x, region.y, region.width, region.height] satisfies number[] as [
        number,
        number,
        number,
        number,
      ],
      number: region.slice ?? null,
      k: ASKED,
      candidates: ASKED,
      filter,
    };
  return useAsked(
    body ? `region ${left.id || left.file} ${JSON.stringify(body)}` : null,
    (signal) => {
      if (!body) throw new Error("no region");
      return left.file
        ? files.searchRegionOfFiles(held(left.file) ?? [], body, signal)
        : compare.searchRegion({ uid: left.id, ...body }, signal);
    },
  );
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

export function useMatching(left: Left, right: string, active: boolean): Asked<compare.Matched> {
  const wanted = active && isThere(left) && right;
  return useAsked(wanted ? `matching ${left.id || left.file} ${right}` : null, (signal) =>
    left.file
      ? files.matchFiles(held(left.file) ?? [], right, signal)
      : compare.matching(left.id, right, signal),
  );
}

const SIZE = 1024;
const SMALLEST = 16;
const AROUND = 16;
const frames = new Frames();

/**
 * A frame of the dropped files: a slice, 0 for the middle one, in a window. The first comes alone,
 * to be there soon; with each one that is asked for later come those around it.
 *
 * @param rested the slice where looking last rested: files are sent for that, and not for `slice`.
 */
export function useFileLook(
  { file }: Left,
  slice: number,
  rested: number,
  window: Look["window"],
): Asked<files.FileLook> {
  const drawn = window ? ([window.center, window.width] as [number, number]) : null;
  const of = `${file} ${drawn}`;
  const known = frames.any(of);
  const asked = {
    slice: rested || null,
    window: drawn,
    size: known ? sizeOf(known) : SIZE,
    around: known && known.slices > 1 ? AROUND : 0,
  };
  const there = frames.get(of, slice) ?? frames.get(of, rested);
  const look = useAsked(
    file && !frames.get(of, rested) ? `look ${file} ${JSON.stringify(asked)}` : null,
    async (signal) => {
      const found = await files.lookAt(held(file) ?? [], asked, signal);
      frames.keep(of, found, rested);
      return found;
    },
    true,
  );
  const shown = useRef<{ file: string; look: files.FileLook | undefined }>(undefined);
  if (there || shown.current?.file !== file) shown.current = { file, look: there };
  return { ...look, data: shown.current?.look };
}

/** Slices are not drawn larger than they are: many come at once. */
const sizeOf = ({ frame }: files.FileLook): number =>
  Math.min(SIZE, Math.max(SMALLEST, Math.round(frame.rows * frame.aspect), frame.columns));

export const useFrame = (id: string, active: boolean): Asked<compare.Frame> =>
  useAsked(active && id ? `frame ${id}` : null, (signal) => compare.frame(id, signal));
