import { formatSearch, parseSearch, type SearchState } from "../search/state";
import { AS_IS, formatLook, type Look, parseLook } from "./look";

/** A part of the left picture, in pixels of its frame; of a volume on one slice. */
export interface Region {
  x: number;
  y: number;
  width: number;
  height: number;
  slice: number | undefined;
}

/** By what slices of two volumes belong together, if they do. */
export type Link = "match" | "position" | "off";
export type Tab = "both" | "ours" | "theirs";

/** All that the view shows; all of it is in the address. */
export interface CompareState {
  /** Whose hits are gone through; its `hit` is on the right, its `kept` can be, too. */
  search: SearchState;
  /** The item on the left, if it is not that of the query. */
  left: string;
  /** What is gone through. */
  of: "hits" | "kept";
  region: Region | undefined;
  link: Link;
  overlay: boolean;
  /** Also fields that are the same. */
  all: boolean;
  /** What a narrow screen shows. */
  tab: Tab;
  ours: Look;
  theirs: Look;
}

function regionOf(said: string): Region | undefined {
  const [x = -1, y = -1, width = 0, height = 0, slice] = said.split(",").map(Number);
  const whole = [x, y, width, height, slice ?? 1].every(Number.isInteger);
  if (!whole || x < 0 || y < 0 || width < 1 || height < 1 || (slice ?? 1) < 1) return undefined;
  return { x, y, width, height, slice };
}

export const formatRegion = ({ x, y, width, height, slice }: Region): string =>
  [x, y, width, height, slice].filter((each) => each !== undefined).join(",");

/** The state that an address tells; what it does not tell, or tells wrongly, is as usual. */
export function parseCompare(params: URLSearchParams): CompareState {
  const link = params.get("link");
  const tab = params.get("tab");
  return {
    search: parseSearch(params),
    left: params.get("left") ?? "",
    of: params.get("of") === "kept" ? "kept" : "hits",
    region: regionOf(params.get("box") ?? ""),
    link: link === "position" || link === "off" ? link : "match",
    overlay: params.has("overlay"),
    all: params.has("all"),
    tab: tab === "ours" || tab === "theirs" ? tab : "both",
    ours: parseLook(params.get("a") ?? ""),
    theirs: parseLook(params.get("b") ?? ""),
  };
}

/** The state as an address has it; `parseCompare` reads it back. */
export function formatCompare(state: CompareState): URLSearchParams {
  const params = formatSearch(state.search);
  const told: [string, string | false][] = [
    ["left", state.left],
    ["of", state.of === "kept" && "kept"],
    ["box", state.region ? formatRegion(state.region) : ""],
    ["link", state.link !== "match" && state.link],
    ["overlay", state.overlay && "1"],
    ["all", state.all && "1"],
    ["tab", state.tab !== "both" && state.tab],
    ["a", formatLook(state.ours)],
    ["b", formatLook(state.theirs)],
  ];
  for (const [name, said] of told) if (said) params.set(name, said);
  return params;
}

/** Another one on the right: how it is looked at stays, but for the slice, which is its own. */
export function withHit(state: CompareState, hit: string): CompareState {
  return {
    ...state,
    search: { ...state.search, hit },
    ours: { ...state.ours, slice: state.region?.slice ?? 0 },
    theirs: { ...state.theirs, slice: 0 },
  };
}

/** Another one on the left, as it is; a region was on the one before. */
export function withLeft(state: CompareState, left: string): CompareState {
  return { ...state, left, region: undefined, ours: AS_IS, theirs: AS_IS };
}
