import { client, type Schemas, told } from "./client";

export type Job = Schemas["JobTold"];

export const job = (uid: string, signal: AbortSignal): Promise<Job> =>
  told(client.GET("/v1/jobs/{uid}", { params: { path: { uid } }, signal }));

/** Ask for a job; with the same `key` once more it is the same job, also after a lost answer. */
export const askFor = (
  kind: string,
  parameters: Record<string, unknown>,
  key?: string,
): Promise<Job> =>
  told(
    client.POST("/v1/jobs", {
      params: { header: key === undefined ? {} : { "idempotency-key": key } },
      body: { kind, parameters },
    }),
  );

export const cancelJob = (uid: string): Promise<Job> =>
  told(client.POST("/v1/jobs/{uid}/cancel", { params: { path: { uid } } }));
