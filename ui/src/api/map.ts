import { client, type Item, Problem, type Schemas, told } from "./client";
import { askFor as ask, type Job } from "./jobs";

export { cancelJob, type Job } from "./jobs";

export type MapTold = Schemas["Map"];
export type Run = Schemas["Run"];
export type SavedSet = Schemas["SavedSet"];

/** Which map: that of a space, in a version; null for the newest. */
export interface Which {
  encoder: string;
  version: number | null;
}

/** The points of a map: positions are among those that have this tag; "" where it is not known. */
export interface Of extends Which {
  tag: string;
}

const query = ({ encoder, version }: Which) => ({
  encoder,
  ...(version === null ? {} : { version }),
});
const among = (of: Of) => ({ ...query(of), ...(of.tag && { points: of.tag }) });

/** An answer that is no JSON, of which the document of the API knows but its kind. */
async function packed(
  asked: Promise<{ data?: unknown; error?: unknown; response: Response }>,
): Promise<ArrayBuffer> {
  const data = await told(asked);
  if (!(data instanceof ArrayBuffer)) throw new Error("no packed numbers");
  return data;
}

export const maps = (encoder: string, signal: AbortSignal): Promise<MapTold[]> =>
  told(client.GET("/v1/maps", { params: { query: { encoder } }, signal }));

export const spaces = (signal: AbortSignal): Promise<Schemas["Space"][]> =>
  told(client.GET("/v1/spaces", { signal }));

export const runs = (signal: AbortSignal): Promise<Run[]> =>
  told(client.GET("/v1/clusters", { signal }));

export interface Points {
  /** x and y of each. */
  places: Float32Array;
  of: Of;
}

export async function points(which: Which, signal: AbortSignal): Promise<Points> {
  const params = { query: query(which) };
  const asked = client.GET("/v1/maps/points", { params, parseAs: "arrayBuffer", signal });
  const places = new Float32Array(await packed(asked));
  return { places, of: { ...which, tag: tagOf((await asked).response) } };
}

const tagOf = (response: Response): string =>
  response.headers.get("etag")?.replace(/^W\//, "").replaceAll('"', "") ?? "";

/** So many positions, or ids, the service takes at once. */
const AT_ONCE = 5000;

/** Ids of the items at some positions, `AT_ONCE` at most. */
export async function itemsAt(
  of: Of,
  at: readonly number[],
  signal?: AbortSignal,
): Promise<string[]> {
  const params = { query: among(of) };
  const asked = client.POST("/v1/maps/items", {
    params,
    body: { at: [...at] },
    ...(signal && { signal }),
  });
  return (await told(asked)).items;
}

/** The position of an item; null where it is not on the map. */
export async function placeOf(of: Of, item: string, signal: AbortSignal): Promise<number | null> {
  const params = { query: { ...among(of), item } };
  return (await told(client.GET("/v1/maps/place", { params, signal }))).at;
}

export interface Values {
  of: Of;
  legend: Schemas["MapLegend"];
  packed: ArrayBuffer;
}

const TRIES = 3;

/** What points are coloured by. Where it changes between legend and values, both are asked again. */
export async function values(of: Of, by: string, signal: AbortSignal): Promise<Values> {
  const params = { query: { ...among(of), by } };
  for (let turn = 1; ; turn += 1) {
    const legend = await told(client.GET("/v1/maps/legend", { params, signal }));
    const asked = client.GET("/v1/maps/values", { params, parseAs: "arrayBuffer", signal });
    const content = await packed(asked);
    if (tagOf((await asked).response) === legend.tag || turn === TRIES)
      return { of, legend, packed: content };
  }
}

export interface Mask {
  of: Of;
  bits: Uint8Array;
}

/** One bit a point: which pass a filter, and came at a time or later. */
export async function mask(
  of: Of,
  asked: { filter: string; since: string },
  signal: AbortSignal,
): Promise<Mask> {
  const said = { filter: asked.filter, ...(asked.since ? { since: asked.since } : {}) };
  const params = { query: { ...among(of), ...said } };
  const answer = client.GET("/v1/maps/mask", { params, parseAs: "arrayBuffer", signal });
  return { of, bits: new Uint8Array(await packed(answer)) };
}

export const missing = (which: Which, signal: AbortSignal): Promise<Schemas["MapMissing"]> =>
  told(client.GET("/v1/maps/missing", { params: { query: query(which) }, signal }));

// -- what is done with chosen items

/** Many items, whose ids come part by part each time they are walked through. */
export interface Many {
  count: number;
  parts: () => AsyncGenerator<string[]>;
}

/** Items at positions of a map. */
export function manyAt(of: Of, at: Uint32Array): Many {
  async function* parts() {
    for (let from = 0; from < at.length; from += AT_ONCE)
      yield await itemsAt(of, [...at.subarray(from, from + AT_ONCE)]).catch(otherPoints);
  }
  return { count: at.length, parts };
}

/** That the map has other points is not that a set has changed, which is 412, too. */
function otherPoints(error: unknown): never {
  if (error instanceof Problem && error.status === 412)
    throw new Problem(409, "other_points", error.message, error.requestId);
  throw error;
}

/** A new set of these items. Refused with 412 where there is one of this name. */
export async function makeSet(name: string, items: Many): Promise<SavedSet> {
  const rest = items.parts();
  const first = await rest.next();
  const made = await told(
    client.PUT("/v1/sets/{name}", {
      params: { path: { name } },
      headers: { "If-None-Match": "*" },
      body: { note: "", items: which(first.value ?? []), filter: "", search: null },
    }),
  );
  return add(made, rest);
}

export const set = (name: string): Promise<SavedSet> =>
  told(client.GET("/v1/sets/{name}", { params: { path: { name } } }));

/** These items, too, in a set as it is now. */
export async function addToSet(name: string, items: Many): Promise<SavedSet> {
  return add(await set(name), items.parts());
}

async function add(stored: SavedSet, rest: AsyncGenerator<string[]>): Promise<SavedSet> {
  let now = stored;
  for await (const ids of rest)
    now = await told(
      client.PATCH("/v1/sets/{name}", {
        params: { path: { name: now.name } },
        headers: { "If-Match": `"${now.version}"` },
        body: { add: which(ids), remove: null, note: null },
      }),
    );
  return now;
}

const which = (ids: string[]) => ({ ids, filter: "", cluster: "" });

/** Tag items, or take the tag away; how many it changed. */
export async function changeTag(name: string, items: Many, remove: boolean): Promise<number> {
  let changed = 0;
  for await (const part of items.parts()) {
    const params = { path: { name } };
    const body = { ...which(part), remove };
    changed += (await told(client.POST("/v1/tags/{name}/items", { params, body }))).changed;
  }
  return changed;
}

/** Give items a label, or take it away; how many it changed. */
export async function changeLabel(
  label: { name: string; value: string },
  items: Many,
  remove: boolean,
): Promise<number> {
  let changed = 0;
  for await (const part of items.parts()) {
    const lines = part.map((uid) => ({ uid, ...label }));
    changed += (await told(client.POST("/v1/labels", { body: { lines, remove } }))).changed;
  }
  return changed;
}

// -- jobs

export const askFor = (kind: "map" | "map-place", which: Which): Promise<Job> => {
  const { encoder, version } = which;
  const parameters = kind === "map" ? { encoder } : { encoder, version };
  return ask(kind, parameters);
};

/** The newest job of a kind that has not ended, if there is one. */
export async function running(kind: "map" | "map-place", signal: AbortSignal): Promise<Job | null> {
  const asked = client.GET("/v1/jobs", { params: { query: { kind, limit: 5 } }, signal });
  const { rows } = await told(asked);
  return rows.find((job) => ["queued", "running"].includes(job.state)) ?? null;
}

export type { Item };
