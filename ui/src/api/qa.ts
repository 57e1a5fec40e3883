import { client, type Problem, type Schemas, told } from "./client";

export { askFor, cancelJob, type Job, job } from "./jobs";

export type StudyScore = Schemas["StudyScore"];
export type ItemScore = Schemas["ItemScore"];
export type StudyJudged = Schemas["StudyJudged"];
export type ItemJudged = Schemas["ItemJudged"];
export type Reference = Schemas["Reference"];
export type Review = Schemas["Review"];
export type Verdict = Review["verdict"];
export type ItemHeat = Schemas["ItemHeat"];

/** Of a list of judged studies, which and in which order. */
export interface ScoresAsked {
  reference: string;
  flagged?: boolean;
  judged?: boolean;
  decided?: boolean;
  filter: string;
  sort: string;
  cursor: string;
  limit: number;
}

export const scores = (
  query: ScoresAsked,
  signal: AbortSignal,
): Promise<Schemas["PageOf_StudyScore_"]> =>
  told(client.GET("/v1/ood/scores", { params: { query }, signal }));

export const scoreCounts = (
  reference: string,
  filter: string,
  signal: AbortSignal,
): Promise<Schemas["ScoreCounts"]> =>
  told(client.GET("/v1/ood/scores/counts", { params: { query: { reference, filter } }, signal }));

export const standings = (
  reference: string,
  signal: AbortSignal,
): Promise<Schemas["GroupStanding"][]> =>
  told(client.GET("/v1/ood/drift", { params: { query: { reference } }, signal }));

export const score = (
  body: Schemas["ScoreAsked"],
  signal: AbortSignal,
): Promise<Schemas["Scores"]> => told(client.POST("/v1/ood/score", { body, signal }));

// -- heat -----------------------------------------------------------------------------------------

export const heatUrl = (item: string, reference: string): string =>
  `/v1/items/${encodeURIComponent(item)}/heat?reference=${encodeURIComponent(reference)}`;

export const heatFigures = (
  uid: string,
  reference: string,
  signal: AbortSignal,
): Promise<ItemHeat> =>
  told(
    client.GET("/v1/items/{uid}/heat/figures", {
      params: { path: { uid }, query: { reference } },
      signal,
    }),
  );

// -- reviews --------------------------------------------------------------------------------------

export const queueOf = (reference: string): string => `ood:${reference}`;

/** What a verdict is made from: the review as it was seen, or that there was none. */
function madeFrom(seen: Review | null): Record<string, string> {
  return seen ? { "If-Match": `"${seen.version}"` } : { "If-None-Match": "*" };
}

export async function decide(
  queue: string,
  subject: string,
  body: { verdict: Verdict; comment: string },
  seen: Review | null,
): Promise<Review> {
  const asked = client.PUT("/v1/reviews/{queue}/subjects/{subject}", {
    params: { path: { queue, subject } },
    headers: madeFrom(seen),
    body: { labels: [], ...body },
  });
  return (await told(asked)).review;
}

export async function undo(queue: string, subject: string, seen: Review): Promise<Review> {
  const asked = client.POST("/v1/reviews/{queue}/subjects/{subject}/undo", {
    params: { path: { queue, subject } },
    headers: madeFrom(seen),
  });
  return (await told(asked)).review;
}

export const review = async (queue: string, subject: string): Promise<Review> =>
  (
    await told(
      client.GET("/v1/reviews/{queue}/subjects/{subject}", {
        params: { path: { queue, subject } },
      }),
    )
  ).review;

/** Whether somebody else was quicker: what was to be changed is not what it was. */
export const isConflict = (problem: Problem): boolean => problem.status === 412;

// -- reports that go back -------------------------------------------------------------------------

export const destinations = (signal: AbortSignal): Promise<Schemas["DestinationNamed"][]> =>
  told(client.GET("/v1/destinations", { signal }));

export const sendReport = (
  uid: string,
  reference: string,
  destination: string,
): Promise<Schemas["ReportSent"]> =>
  told(
    client.POST("/v1/studies/{uid}/sr/send", {
      params: { path: { uid } },
      body: { destination, report: { kind: "ood", reference, references: true, alarm: null } },
    }),
  );

// -- jobs -----------------------------------------------------------------------------------------

export const jobs = (kind: string, signal: AbortSignal): Promise<Schemas["PageOf_JobTold_"]> =>
  told(client.GET("/v1/jobs", { params: { query: { kind, limit: 100 } }, signal }));

/** All rows that a job found. */
export async function rowsOf(
  uid: string,
  signal: AbortSignal,
): Promise<Schemas["ResultRows"]["rows"]> {
  const rows: Schemas["ResultRows"]["rows"] = [];
  let cursor = "";
  do {
    const params = { path: { uid }, query: { cursor, limit: 500 } };
    const page = await told(client.GET("/v1/jobs/{uid}/result", { params, signal }));
    rows.push(...page.rows);
    cursor = page.cursor;
  } while (cursor);
  return rows;
}
