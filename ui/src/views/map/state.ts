import type { Camera, Place } from "./camera";

/** All that the map shows; all of it is in the address. */
export interface MapState {
  /** Whose space; empty for the library's first. */
  encoder: string;
  /** Of its map; null for the newest. */
  version: number | null;
  /** `field:NAME`, `cluster:RUN`, `score:REFERENCE`, `none`; empty for what tells most. */
  colour: string;
  /** In the filter language. */
  filter: string;
  /** Only what came then or later stands out; ISO, or empty. */
  since: string;
  /** Values of the legend that are not shown, or the only ones that are. */
  legend: { only: boolean; keys: string[] };
  /** Corners of what was chosen by hand, in units of the map. */
  lasso: Place[];
  /** The item whose details are open, or nothing. */
  item: string;
  /** What part is looked at; null for all. */
  camera: Camera | null;
}

export const EMPTY: MapState = {
  encoder: "",
  version: null,
  colour: "",
  filter: "",
  since: "",
  legend: { only: false, keys: [] },
  lasso: [],
  item: "",
  camera: null,
};

/** Corners that a lasso in an address may have. */
export const MOST_CORNERS = 48;
const DIGITS = 7;

/** Seven digits: finer than a pixel, however closely one looks. */
export const rounded = (value: number): number => Number(value.toPrecision(DIGITS));

function numbers(said: string): number[] | undefined {
  const found = said.split(",").map((each) => (each.trim() === "" ? Number.NaN : Number(each)));
  return found.every(Number.isFinite) ? found : undefined;
}

function lassoOf(said: string): Place[] {
  const corners: Place[] = [];
  for (const each of said.split(";")) {
    const [x, y, ...more] = numbers(each) ?? [];
    if (x === undefined || y === undefined || more.length) return [];
    corners.push([x, y]);
  }
  return corners.length < 3 || corners.length > 1000 ? [] : corners;
}

function cameraOf(said: string): Camera | null {
  const [x, y, zoom, ...more] = numbers(said) ?? [];
  if (x === undefined || y === undefined || !zoom || zoom < 0 || more.length) return null;
  return { x, y, zoom };
}

const isTime = (said: string): boolean => !Number.isNaN(Date.parse(said));

/** The state that an address tells; what it does not tell, or tells wrongly, is as usual. */
export function parseMap(params: URLSearchParams): MapState {
  const version = Number(params.get("version") ?? "");
  const since = params.get("since") ?? "";
  const only = params.getAll("only").filter(Boolean);
  const hidden = params.getAll("hide").filter(Boolean);
  return {
    encoder: params.get("encoder") ?? "",
    version: Number.isInteger(version) && version > 0 ? version : null,
    colour: params.get("colour") ?? "",
    filter: params.get("filter") ?? "",
    since: isTime(since) ? since : "",
    legend: only.length ? { only: true, keys: only } : { only: false, keys: hidden },
    lasso: lassoOf(params.get("lasso") ?? ""),
    item: params.get("item") ?? "",
    camera: cameraOf(params.get("at") ?? ""),
  };
}

/** The state as an address has it; `parseMap` reads it back. */
export function formatMap(state: MapState): URLSearchParams {
  const params = new URLSearchParams();
  if (state.encoder) params.set("encoder", state.encoder);
  if (state.version !== null) params.set("version", String(state.version));
  if (state.colour) params.set("colour", state.colour);
  if (state.filter) params.set("filter", state.filter);
  if (state.since) params.set("since", state.since);
  for (const key of state.legend.keys) params.append(state.legend.only ? "only" : "hide", key);
  if (state.lasso.length)
    params.set("lasso", state.lasso.map((corner) => corner.map(rounded).join(",")).join(";"));
  if (state.item) params.set("item", state.item);
  const { camera } = state;
  if (camera) params.set("at", [camera.x, camera.y, camera.zoom].map(rounded).join(","));
  return params;
}

type Chosen = MapState["legend"];

/** Shown if it was hidden, else hidden; of "only these" one more or one less. */
export function toggled({ only, keys }: Chosen, key: string): Chosen {
  const next = keys.includes(key) ? keys.filter((each) => each !== key) : [...keys, key];
  return { only: only && next.length > 0, keys: next };
}

/** Nothing but this one; all again if it was so already. */
export function alone({ only, keys }: Chosen, key: string): Chosen {
  const already = only && keys.length === 1 && keys[0] === key;
  return already ? EMPTY.legend : { only: true, keys: [key] };
}

export const isShown = ({ only, keys }: Chosen, key: string): boolean =>
  keys.includes(key) === only;

/** Whether anything but the whole map is asked for. */
export const narrowed = (state: MapState): boolean =>
  state.filter !== "" ||
  state.since !== "" ||
  state.legend.keys.length > 0 ||
  state.lasso.length > 0;
