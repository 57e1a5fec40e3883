import { client, type Schemas, told } from "./client";
import type { Job } from "./jobs";

export { askFor, cancelJob, type Job, job } from "./jobs";

export type Run = Schemas["Run"];
export type RunDetails = Schemas["RunDetails"];
export type Cluster = Schemas["Cluster"];
export type Member = Schemas["Member"];
export type Item = Schemas["Item"];
export type Method = Schemas["Method"];
export type ComparedRuns = Schemas["ComparedRuns"];
export type ClusterName = Schemas["ClusterName"];

export interface Page<T> {
  rows: T[];
  cursor: string;
}

export const runs = (signal: AbortSignal): Promise<Run[]> =>
  told(client.GET("/v1/clusters", { signal }));

export const run = (name: string, signal: AbortSignal): Promise<RunDetails> =>
  told(client.GET("/v1/clusters/run", { params: { query: { run: name } }, signal }));

export const members = (
  query: { run: string; number: number; sort: string; cursor: string; limit: number },
  signal: AbortSignal,
): Promise<Page<Member>> => told(client.GET("/v1/clusters/items", { params: { query }, signal }));

export const methods = (signal: AbortSignal): Promise<Method[]> =>
  told(client.GET("/v1/clusters/methods", { signal }));

export const spaces = (signal: AbortSignal): Promise<Schemas["Space"][]> =>
  told(client.GET("/v1/spaces", { signal }));

export const compare = async (
  first: string,
  second: string,
  signal: AbortSignal,
): Promise<ComparedRuns> =>
  // (the client's own type of the answer makes lists of tuples)
  (await told(
    client.GET("/v1/clusters/compare", { params: { query: { first, second } }, signal }),
  )) as ComparedRuns;

export const inBoth = (
  query: { first: string; second: string; number: number; other: number; cursor: string },
  signal: AbortSignal,
): Promise<Page<Item>> =>
  told(
    client.GET("/v1/clusters/compare/items", {
      params: { query: { ...query, limit: 48 } },
      signal,
    }),
  );

/** What a cluster is called, and the tag from which it may be changed. */
export interface Named {
  name: ClusterName;
  etag: string;
}

export async function clusterName(run: string, number: number): Promise<Named> {
  const asked = client.GET("/v1/clusters/name", {
    params: { query: { run, number } },
    cache: "no-store",
  });
  const name = await told(asked);
  return { name, etag: (await asked).response.headers.get("etag") ?? "" };
}

/** The name as it is now; `mine` is false where somebody else was quicker, and nothing was changed. */
export interface Naming extends Named {
  mine: boolean;
}

export async function nameCluster(seen: Named, given_name: string): Promise<Naming> {
  const { run, cluster } = seen.name;
  const asked = client.PATCH("/v1/clusters/name", {
    params: { query: { run, number: cluster }, header: { "if-match": seen.etag } },
    body: { given_name },
  });
  const answer = await asked.catch(() => undefined);
  if (answer?.response.status === 412) return { ...(await clusterName(run, cluster)), mine: false };
  const name = await told(asked);
  return { name, etag: (await asked).response.headers.get("etag") ?? "", mine: true };
}

/** Which items are meant: some of them, or a whole cluster as `RUN:NUMBER`. */
export type Which = { ids: string[] } | { cluster: string };

const which = (said: Which) => ({
  ids: "ids" in said ? said.ids : null,
  cluster: "cluster" in said ? said.cluster : "",
  filter: "",
});

export const label = (
  name: string,
  value: string,
  of: Which,
  remove: boolean,
): Promise<Schemas["Changed"]> =>
  told(client.POST("/v1/labels/items", { body: { ...which(of), name, value, remove } }));

export const tag = (name: string, of: Which, remove: boolean): Promise<Schemas["Changed"]> =>
  told(
    client.POST("/v1/tags/{name}/items", {
      params: { path: { name } },
      body: { ...which(of), remove },
    }),
  );

export const makeSet = (name: string, note: string, of: Which): Promise<Schemas["SavedSet"]> =>
  told(
    client.PUT("/v1/sets/{name}", {
      params: { path: { name }, header: { "if-none-match": "*" } },
      body: { note, items: which(of), filter: "" },
    }),
  );

export const labelNames = (signal: AbortSignal): Promise<Schemas["LabelName"][]> =>
  told(client.GET("/v1/labels", { signal }));

export const tags = (signal: AbortSignal): Promise<Schemas["Tag"][]> =>
  told(client.GET("/v1/tags", { signal }));

export function exportUrl(run: string, number: number | null, format: "csv" | "parquet"): string {
  const query = new URLSearchParams({ run, format });
  if (number !== null) query.set("number", String(number));
  return `/v1/exports/clusters?${query}`;
}

export const jobs = async (kind: string, signal: AbortSignal): Promise<Job[]> =>
  (await told(client.GET("/v1/jobs", { params: { query: { kind, limit: 100 } }, signal }))).rows;

/** How surely a cluster comes back when its clustering is done again. */
export interface Recurrence {
  cluster: number;
  size: number;
  mean: number;
  lowest: number;
  repetitions: number;
}

function isRecurrence(row: Record<string, unknown>): row is Record<string, unknown> & Recurrence {
  return ["cluster", "size", "mean", "lowest", "repetitions"].every(
    (name) => typeof row[name] === "number",
  );
}

export async function recurrences(uid: string, signal: AbortSignal): Promise<Recurrence[]> {
  const found: Recurrence[] = [];
  let cursor = "";
  do {
    const page = await told(
      client.GET("/v1/jobs/{uid}/result", {
        params: { path: { uid }, query: { cursor, limit: 500 } },
        signal,
      }),
    );
    found.push(...page.rows.filter(isRecurrence));
    cursor = page.cursor;
  } while (cursor);
  return found;
}
