import { client, type Hit, Problem, type Schemas, told } from "./client";
import type { Job } from "./jobs";

export { askFor, cancelJob, type Job } from "./jobs";

export type Review = Schemas["Review"];
export type QueueCounts = Schemas["QueueCounts"];
export type Verdict = "accept" | "reject" | "skip";
export type Study = Schemas["StudyDetails"];

export const queues = (signal?: AbortSignal): Promise<QueueCounts[]> =>
  told(client.GET("/v1/reviews/queues", { signal: signal ?? null }));

export const session = (signal: AbortSignal): Promise<Schemas["SessionTold"]> =>
  told(client.GET("/v1/session", { signal }));

export const labelNames = (signal: AbortSignal): Promise<Schemas["LabelName"][]> =>
  told(client.GET("/v1/labels", { signal }));

export const clusterings = (signal: AbortSignal): Promise<{ name: string }[]> =>
  told(client.GET("/v1/clusters", { signal }));

type State = "" | "open" | "claimed" | "decided" | Verdict;

export const reviews = (
  query: { queue: string; state: State; cursor: string; limit: number },
  signal?: AbortSignal,
): Promise<Schemas["PageOf_Review_"]> =>
  told(client.GET("/v1/reviews", { params: { query }, signal: signal ?? null }));

/** All of a queue that stand so, page by page. */
export async function allReviews(queue: string, state: State): Promise<Review[]> {
  const found: Review[] = [];
  let cursor = "";
  do {
    const page = await reviews({ queue, state, cursor, limit: 500 });
    found.push(...page.rows);
    cursor = page.cursor;
  } while (cursor);
  return found;
}

export const review = (
  queue: string,
  subject: string,
  signal?: AbortSignal,
): Promise<Schemas["Reviewed"]> =>
  told(
    client.GET("/v1/reviews/{queue}/subjects/{subject}", {
      params: { path: { queue, subject } },
      signal: signal ?? null,
    }),
  );

export const takeNext = (
  queue: string,
  count: number,
  minutes: number,
): Promise<Schemas["Claimed"]> =>
  told(
    client.POST("/v1/reviews/{queue}/next", {
      params: { path: { queue } },
      body: { count, minutes },
    }),
  );

export const release = (queue: string, subjects: string[]): Promise<Schemas["Changed"]> =>
  told(
    client.POST("/v1/reviews/{queue}/release", {
      params: { path: { queue } },
      body: { subjects },
      keepalive: true,
    }),
  );

export const decide = (
  queue: string,
  subject: string,
  version: number,
  body: Schemas["DecisionAsked"],
): Promise<Schemas["Reviewed"]> =>
  told(
    client.PUT("/v1/reviews/{queue}/subjects/{subject}", {
      params: { path: { queue, subject }, header: { "if-match": `"${version}"` } },
      body,
    }),
  );

export const undo = (
  queue: string,
  subject: string,
  version: number,
): Promise<Schemas["Reviewed"]> =>
  told(
    client.POST("/v1/reviews/{queue}/subjects/{subject}/undo", {
      params: { path: { queue, subject }, header: { "if-match": `"${version}"` } },
    }),
  );

// -- jobs

/** The newest job of a kind that whoever asks may see. */
export async function newestJob(kind: string, signal: AbortSignal): Promise<Job | null> {
  const query = { kind, limit: 1 };
  const page = await told(client.GET("/v1/jobs", { params: { query }, signal }));
  return page.rows[0] ?? null;
}

// -- what becomes of them

export const tagItems = (name: string, ids: string[]): Promise<Schemas["Changed"]> =>
  told(
    client.POST("/v1/tags/{name}/items", {
      params: { path: { name } },
      body: { ids, filter: "", cluster: "", remove: false },
    }),
  );

/** Make a set of items, or add them to the one that has the name. */
export async function addToSet(name: string, ids: string[], note: string): Promise<number> {
  const path = { name };
  const which = { ids, filter: "", cluster: "" };
  const there = await client.GET("/v1/sets/{name}", { params: { path } });
  if (there.response.status === 404) {
    const made = client.PUT("/v1/sets/{name}", {
      params: { path, header: { "if-none-match": "*" } },
      body: { note, filter: "", items: which },
    });
    return (await told(made)).items ?? 0;
  }
  const set = await told(Promise.resolve(there));
  if (set.kind !== "items") throw new Problem(422, "query", `“${name}” is a saved ${set.kind}.`);
  const changed = client.PATCH("/v1/sets/{name}", {
    params: { path, header: { "if-match": `"${set.version}"` } },
    body: { add: which },
  });
  return (await told(changed)).items ?? 0;
}

export const exportUrl = (queue: string): string =>
  `/v1/exports/reviews?${new URLSearchParams({ queue, format: "csv" })}`;

/** The nearest items of other patients. */
export async function neighbours(
  uid: string,
  k: number,
  signal: AbortSignal,
): Promise<readonly Pick<Hit, "id" | "study_instance_uid" | "modality" | "labels">[]> {
  const params = { path: { uid }, query: { k, group: "patient" as const } };
  return (await told(client.GET("/v1/items/{uid}/neighbours", { params, signal }))).hits;
}

/** The labels of an item, those of its study among them. */
export async function itemLabels(
  uid: string,
  signal: AbortSignal,
): Promise<Record<string, string[]>> {
  const found = await told(client.GET("/v1/items/{uid}", { params: { path: { uid } }, signal }));
  return found.labels;
}
