import { useEffect } from "react";
import type { SearchAnswer } from "../../api/client";
import { renderedUrl } from "../../api/client";
import type { Frame, Matched } from "../../api/compare";
import type { FileLook } from "../../api/files";
import type { Asked } from "../../lib/ask";
import { type Hindrance, hindranceOf, useSearch } from "../search/asking";
import {
  type Candidate,
  candidatesOf,
  isThere,
  type Left,
  leftOf,
  ofNow,
  regionCandidates,
  type Side,
  useFileLook,
  useFrame,
  useKept,
  useMatching,
  useRegion,
  useSide,
} from "./asking";
import type { Look, Pair } from "./look";
import { type Stacks, shownSlices } from "./slices";
import type { CompareState } from "./state";

/** All that is asked of the service for a state, and what follows from the answers. */
export interface Comparison {
  hindrance: Hindrance;
  answer: SearchAnswer | undefined;
  /** What brings those that can be on the right. */
  source: Asked<unknown>;
  left: Left;
  candidates: Candidate[];
  /** The item on the right; the candidate that it is, if it is one. */
  right: string;
  candidate: Candidate | undefined;
  ours: Side | undefined;
  theirs: Side | undefined;
  sides: { ours: Asked<Side>; theirs: Asked<Side> };
  region: ReturnType<typeof useRegion>;
  matching: Asked<Matched>;
  matched: Matched | undefined;
  /** Of dropped files, the frame of them that is on the left. */
  dropped: Asked<FileLook>;
  frame: Asked<Frame>;
  stacks: Stacks;
  slices: Pair;
}

/**
 * @param rested how the left is looked at, as it was when looking last rested: of dropped files a
 *   frame is sent for.
 */
export function useComparison(state: CompareState, rested: Look, drawing: boolean): Comparison {
  const { search } = state;
  const hindrance = hindranceOf(search.parts);
  const asked = useSearch(search);
  const answer = hindrance || asked.loading ? undefined : asked.data;
  const left = leftOf(state, answer);
  const region = useRegion(left, state.region, search);
  const ofKept = state.of === "kept" || (hindrance === "empty" && !state.region);
  const kept = useKept(search.kept, ofKept);
  // The left picture is that of the search, so a region waits for it.
  const source = ofKept ? kept : state.region && isThere(left) ? region : asked;
  const candidates = candidatesIn(state, ofKept, answer, kept, region).filter(
    (each) => each.item.id !== left.id,
  );
  const right = search.hit || (candidates[0]?.item.id ?? "");
  const candidate = candidates.find((each) => each.item.id === right);
  const sides = { ours: useSide(left.id), theirs: useSide(right) };
  const [ours, theirs] = [ofNow(sides.ours, left.id), ofNow(sides.theirs, right)];
  const matching = useMatching(left, right, state.overlay);
  const matched =
    state.overlay && matching.data?.query.id === left.id && matching.data.hit.id === right
      ? matching.data
      : undefined;
  const frame = useFrame(left.id, drawing || state.region !== undefined);
  const pair = pairOf(state, candidate, matched);
  const first = pair?.ours ?? 0;
  const dropped = useFileLook(
    left,
    state.ours.slice || first,
    rested.slice || first,
    rested.window,
  );
  const stacks: Stacks = {
    ours: ours?.item.slices ?? dropped.data?.slices ?? 1,
    theirs: theirs?.item.slices ?? 1,
    pair,
    begin: dropped.data?.slice ?? undefined,
    link: state.link,
  };
  useAhead(state, candidates, right);
  return {
    hindrance,
    answer,
    source,
    left,
    candidates,
    right,
    candidate,
    ours,
    theirs,
    sides,
    region,
    matching,
    matched,
    dropped,
    frame: left.file ? { ...dropped, data: dropped.data?.frame } : frame,
    stacks,
    slices: shownSlices(state, stacks),
  };
}

/** Whether windows of a side are in Hounsfield units. */
export function inHu(found: Comparison, side: keyof Pair): boolean {
  const modality =
    found[side]?.series.modality ?? (side === "ours" && found.dropped.data?.modality);
  return modality === "CT";
}

function candidatesIn(
  state: CompareState,
  ofKept: boolean,
  answer: SearchAnswer | undefined,
  kept: Asked<Candidate[]>,
  region: Comparison["region"],
): Candidate[] {
  if (ofKept) return (!kept.loading && kept.data) || [];
  if (state.region) return regionCandidates(region.loading ? undefined : region.data);
  return candidatesOf(answer);
}

/** Slices that are known to match: compared place by place, of a region, or as the search found. */
function pairOf(
  state: CompareState,
  candidate: Candidate | undefined,
  matched: Matched | undefined,
): Pair | undefined {
  if (matched && (matched.query.slice !== null || matched.hit.slice !== null))
    return { ours: matched.query.slice ?? 1, theirs: matched.hit.slice ?? 1 };
  const found = candidate?.region;
  if (found && (state.region?.slice || found.slice_number))
    return { ours: state.region?.slice ?? 1, theirs: found.slice_number ?? 1 };
  const match = state.left ? null : candidate?.hit?.match;
  return match?.query_slice ? { ours: match.query_slice, theirs: match.number } : undefined;
}

const AHEAD_MS = 400;

/** The picture of the next hit is fetched while somebody looks at this one. */
function useAhead(state: CompareState, candidates: Candidate[], right: string): void {
  const at = candidates.findIndex((each) => each.item.id === right);
  const next = candidates[at + 1];
  const match = next?.hit?.match ?? undefined;
  const known = next && (next.item.kind !== "volume" || match);
  const url = known
    ? renderedUrl(next.item.id, {
        slice: match?.number,
        window: next.item.modality === "CT" ? state.theirs.window : undefined,
        size: state.theirs.zoom > 1.5 ? 1536 : 768,
      })
    : "";
  useEffect(() => {
    if (!url) return;
    const timer = setTimeout(() => {
      new Image().src = url;
    }, AHEAD_MS);
    return () => clearTimeout(timer);
  }, [url]);
}
