import { client, GONE, Problem, type Schemas, told } from "./client";

export { askFor, cancelJob, type Job, job } from "./jobs";

export type Info = Schemas["LibraryInfo"];
export type Now = Schemas["LibraryState"];
export type Run = Schemas["IndexRun"];
export type Key = Schemas["Key"];
export type NewKey = Schemas["NewKey"];
export type Refused = Schemas["Refused"];
export type AuditRow = Schemas["AuditRow"];
export type Session = Schemas["SessionTold"];
export type Role = Key["role"];

export const session = (signal: AbortSignal): Promise<Session> =>
  told(client.GET("/v1/session", { signal }));

export const now = (signal: AbortSignal): Promise<Now> =>
  told(client.GET("/v1/library/state", { signal }));

export const runs = (limit: number, signal: AbortSignal): Promise<Schemas["PageOf_IndexRun_"]> =>
  told(client.GET("/v1/library/runs", { params: { query: { limit } }, signal }));

export const sources = (signal: AbortSignal): Promise<Schemas["Sources"]> =>
  told(client.GET("/v1/library/sources", { signal }));

export const refused = (
  query: { reason: string; limit: number },
  signal: AbortSignal,
): Promise<Schemas["PageOf_Refused_"]> =>
  told(client.GET("/v1/rejected", { params: { query }, signal }));

export const spaces = (signal: AbortSignal): Promise<Schemas["Space"][]> =>
  told(client.GET("/v1/spaces", { signal }));

export const models = (signal: AbortSignal): Promise<Schemas["Model"][]> =>
  told(client.GET("/v1/models", { signal }));

export const jobs = (
  query: { state?: string; kind?: string; limit: number },
  signal: AbortSignal,
): Promise<Schemas["PageOf_JobTold_"]> =>
  told(client.GET("/v1/jobs", { params: { query }, signal }));

export const jobRows = (uid: string, signal: AbortSignal): Promise<Schemas["ResultRows"]> =>
  told(
    client.GET("/v1/jobs/{uid}/result", {
      params: { path: { uid }, query: { limit: 50 } },
      signal,
    }),
  );

export const kinds = (signal: AbortSignal): Promise<Schemas["JobKind"][]> =>
  told(client.GET("/v1/jobs/kinds", { signal }));

export const keys = (all: boolean, signal: AbortSignal): Promise<Key[]> =>
  told(client.GET("/v1/keys", { params: { query: { all } }, signal }));

export const createKey = (body: Schemas["KeyAsked"]): Promise<NewKey> =>
  told(client.POST("/v1/keys", { body }));

export const revokeKey = (prefix: string): Promise<Key> =>
  told(client.DELETE("/v1/keys/{prefix}", { params: { path: { prefix } } }));

export interface AuditAsked {
  since: string;
  actor: string;
  action: string;
  outcome: string;
  limit: number;
}

export const audit = (
  query: AuditAsked,
  signal: AbortSignal,
): Promise<Schemas["PageOf_AuditRow_"]> =>
  told(client.GET("/v1/audit", { params: { query }, signal }));

export const auditFileUrl = (format: "jsonl" | "dicom", since: string): string =>
  `/v1/audit/export?${new URLSearchParams({ format, ...(since && { since }) })}`;

/** End the session; whoever had none has nothing to end. */
export async function signOut(): Promise<void> {
  const { error, response } = await client.DELETE("/v1/session").catch(() => {
    throw new Problem(0, GONE, "");
  });
  if (error) throw new Problem(response.status, error.code, error.detail, error.request_id);
}
