import type { Window } from "./frame";

/** All that the viewer shows of a study; where one has zoomed in is not part of it. */
export interface ViewerState {
  study: string;
  /** Nothing for the first one with pictures. */
  series: string;
  /** The frame, from one; 0 for where one begins. */
  at: number;
  /** Nothing for the one of the file. */
  window: Window | undefined;
  invert: boolean;
  /** Left and right are exchanged. */
  across: boolean;
  /** Top and bottom are exchanged. */
  down: boolean;
}

export const EMPTY: ViewerState = {
  study: "",
  series: "",
  at: 0,
  window: undefined,
  invert: false,
  across: false,
  down: false,
};

function windowOf(said: string): Window | undefined {
  const [center, width] = said.split(",").map(Number);
  const known = center !== undefined && width !== undefined && Number.isFinite(center);
  return known && width > 0 && Number.isFinite(width) ? { center, width } : undefined;
}

/** The state that an address tells; what it tells wrongly is as usual. */
export function parseViewer(params: URLSearchParams): ViewerState {
  const at = Number(params.get("at") ?? 0);
  const flip = params.get("flip") ?? "";
  return {
    study: params.get("study") ?? "",
    series: params.get("series") ?? "",
    at: Number.isSafeInteger(at) && at > 0 ? at : 0,
    window: windowOf(params.get("window") ?? ""),
    invert: params.get("invert") === "1",
    across: flip.includes("h"),
    down: flip.includes("v"),
  };
}

/** The state as an address has it; `parseViewer` reads it back. */
export function formatViewer(state: ViewerState): URLSearchParams {
  const params = new URLSearchParams();
  if (state.study) params.set("study", state.study);
  if (state.series) params.set("series", state.series);
  if (state.at) params.set("at", String(state.at));
  if (state.window) params.set("window", `${state.window.center},${state.window.width}`);
  if (state.invert) params.set("invert", "1");
  const flip = `${state.across ? "h" : ""}${state.down ? "v" : ""}`;
  if (flip) params.set("flip", flip);
  return params;
}
