import { client, type Item, type Schemas, told } from "./client";
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

const query = ({ encoder, version }: Which) => ({
  encoder,
  ...(version === null ? {} : { version }),
});

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

export const mapItems = (which: Which, signal: AbortSignal): Promise<Schemas["MapItems"]> =>
  told(client.GET("/v1/maps/items", { params: { query: query(which) }, signal }));

/** x and y of each point. */
export async function points(which: Which, signal: AbortSignal): Promise<Float32Array> {
  const params = { query: query(which) };
  const answer = client.GET("/v1/maps/points", { params, parseAs: "arrayBuffer", signal });
  return new Float32Array(await packed(answer));
}

export interface Values {
  legend: Schemas["MapLegend"];
  packed: ArrayBuffer;
}

const TRIES = 3;

/** What points are coloured by. Where it changes between legend and values, both are asked again. */
export async function values(which: Which, by: string, signal: AbortSignal): Promise<Values> {
  const params = { query: { ...query(which), by } };
  for (let turn = 1; ; turn += 1) {
    const legend = await told(client.GET("/v1/maps/legend", { params, signal }));
    const asked = client.GET("/v1/maps/values", { params, parseAs: "arrayBuffer", signal });
    const content = await packed(asked);
    const tag = (await asked).response.headers.get("etag")?.replaceAll('"', "");
    if (tag === legend.tag || turn === TRIES) return { legend, packed: content };
  }
}

/** One bit a point: which pass a filter, and came at a time or later. */
export async function mask(
  which: Which,
  asked: { filter: string; since: string },
  signal: AbortSignal,
): Promise<Uint8Array> {
  const said = { filter: asked.filter, ...(asked.since ? { since: asked.since } : {}) };
  const params = { query: { ...query(which), ...said } };
  const answer = client.GET("/v1/maps/mask", { params, parseAs: "arrayBuffer", signal });
  return new Uint8Array(await packed(answer));
}

export const missing = (which: Which, signal: AbortSignal): Promise<Schemas["MapMissing"]> =>
  told(client.GET("/v1/maps/missing", { params: { query: query(which) }, signal }));

// -- what is done with chosen items

/** So many fit well into one body that the service takes. */
const AT_ONCE = 5000;

function* parts(ids: readonly string[]): Generator<string[]> {
  for (let at = 0; at < ids.length; at += AT_ONCE) yield ids.slice(at, at + AT_ONCE);
}

/** A new set of these items. Refused with 412 where there is one of this name. */
export async function makeSet(name: string, ids: readonly string[]): Promise<SavedSet> {
  const [first = [], ...rest] = parts(ids);
  const made = await told(
    client.PUT("/v1/sets/{name}", {
      params: { path: { name } },
      headers: { "If-None-Match": "*" },
      body: { note: "", items: which(first), filter: "", search: null },
    }),
  );
  return add(made, rest);
}

export const set = (name: string): Promise<SavedSet> =>
  told(client.GET("/v1/sets/{name}", { params: { path: { name } } }));

/** These items, too, in a set as it is now. */
export async function addToSet(name: string, ids: readonly string[]): Promise<SavedSet> {
  return add(await set(name), [...parts(ids)]);
}

async function add(stored: SavedSet, rest: readonly string[][]): Promise<SavedSet> {
  let now = stored;
  for (const ids of rest)
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
export async function changeTag(
  name: string,
  ids: readonly string[],
  remove: boolean,
): Promise<number> {
  let changed = 0;
  for (const part of parts(ids)) {
    const params = { path: { name } };
    const body = { ...which(part), remove };
    changed += (await told(client.POST("/v1/tags/{name}/items", { params, body }))).changed;
  }
  return changed;
}

/** Give items a label, or take it away; how many it changed. */
export async function changeLabel(
  label: { name: string; value: string },
  ids: readonly string[],
  remove: boolean,
): Promise<number> {
  let changed = 0;
  for (const part of parts(ids)) {
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
