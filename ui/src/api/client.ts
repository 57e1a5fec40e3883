import createClient from "openapi-fetch";
import type { components, paths } from "./schema";

export type Schemas = components["schemas"];
export type SearchAnswer = Schemas["SearchAnswer"];
export type Hit = Schemas["Hit"];
export type SearchAsked = Schemas["SearchAsked"];
export type Item = Schemas["Item"];
export type Facet = Schemas["Facet"];

/** What the service refused or could not do: its RFC 9457 document, or that it did not answer. */
export class Problem extends Error {
  readonly status: number;
  readonly code: string;
  readonly requestId: string;

  constructor(status: number, code: string, detail: string, requestId = "") {
    super(detail);
    this.name = "Problem";
    this.status = status;
    this.code = code;
    this.requestId = requestId;
  }
}

/** No answer at all: the service is gone, or the network is. */
export const GONE = "gone";
export const TOO_LARGE = "too_large";

/** A page of another site cannot send this without being asked for leave, which it does not get. */
const FROM_HERE = { "X-Syntopy": "page" };

export const client = createClient<paths>({ baseUrl: window.location.origin, headers: FROM_HERE });

const signInListeners = new Set<() => void>();

/** Call back when an answer says that nobody, or nobody known, is signed in. */
export function onSignedOut(listener: () => void): () => void {
  signInListeners.add(listener);
  return () => signInListeners.delete(listener);
}

async function problemOf(response: Response, error: unknown): Promise<Problem> {
  if (response.status === 401) for (const listener of signInListeners) listener();
  const told = (typeof error === "object" && error !== null ? error : {}) as Partial<
    Schemas["Problem"]
  >;
  const requestId = told.request_id ?? response.headers.get("x-request-id") ?? "";
  const detail = told.detail ?? `${response.status} ${response.statusText}`;
  return new Problem(response.status, told.code ?? "error", detail, requestId);
}

/** The answer, or the `Problem` that came in its place. */
export async function told<T>(
  asked: Promise<{ data?: T; error?: unknown; response: Response }>,
): Promise<T> {
  let answer: { data?: T; error?: unknown; response: Response };
  try {
    answer = await asked;
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Problem(0, GONE, "");
  }
  if (answer.data === undefined) throw await problemOf(answer.response, answer.error);
  return answer.data;
}

export const search = async (body: SearchAsked, signal: AbortSignal): Promise<SearchAnswer> =>
  // (the client's own type of the answer makes lists of tuples)
  (await told(client.POST("/v1/search", { body, signal }))) as SearchAnswer;

/** A search with files. */
export async function searchFiles(
  body: Schemas["SearchFilesAsked"],
  files: readonly File[],
  signal: AbortSignal,
): Promise<SearchAnswer> {
  return told(sent("/v1/search/files", body, files, signal));
}

/** A request with files. Their names stay here: only their endings are sent. */
export async function sent<T>(
  path: string,
  body: unknown,
  files: readonly File[],
  signal: AbortSignal,
): Promise<{ data?: T; error?: unknown; response: Response }> {
  const form = new FormData();
  form.append("request", JSON.stringify(body));
  files.forEach((file, at) => {
    form.append("file", file, `${at}${endingOf(file.name)}`);
  });
  const response = await fetch(path, { method: "POST", headers: FROM_HERE, body: form, signal });
  const content: unknown = await response.json().catch(() => undefined);
  return response.ok ? { data: content as T, response } : { error: content, response };
}

/** `.nii.gz` and `.tar.gz` are endings of two parts. */
export function endingOf(name: string): string {
  return /(\.(nii|tar))?\.[A-Za-z0-9]{1,8}$/.exec(name)?.[0] ?? "";
}

export const facets = (filter: string, signal: AbortSignal): Promise<Schemas["FacetAnswer"]> =>
  told(client.GET("/v1/facets", { params: { query: { filter } }, signal }));

export const items = (
  query: { filter: string; sort: string; limit: number },
  signal: AbortSignal,
): Promise<Schemas["PageOf_Item_"]> => told(client.GET("/v1/items", { params: { query }, signal }));

export const item = (uid: string, signal: AbortSignal): Promise<Item> =>
  told(client.GET("/v1/items/{uid}", { params: { path: { uid } }, signal }));

export const study = (uid: string, signal: AbortSignal): Promise<Schemas["StudyDetails"]> =>
  told(client.GET("/v1/studies/{uid}", { params: { path: { uid } }, signal }));

export const library = (signal: AbortSignal): Promise<Schemas["LibraryInfo"]> =>
  told(client.GET("/v1/library", { signal }));

export const references = (signal: AbortSignal): Promise<Schemas["Reference"][]> =>
  told(client.GET("/v1/ood/references", { signal }));

export const scoreItems = (
  body: Omit<Schemas["ScoreAsked"], "alarm">,
  signal: AbortSignal,
): Promise<Schemas["Scores"]> =>
  told(client.POST("/v1/ood/score", { body: { alarm: null, ...body }, signal }));

/** Sign in with an API key: the service answers with a cookie. */
export async function signIn(key: string): Promise<void> {
  const response = await fetch("/v1/session", {
    method: "POST",
    headers: { ...FROM_HERE, "Content-Type": "application/json" },
    body: JSON.stringify({ key }),
  }).catch(() => {
    throw new Problem(0, GONE, "");
  });
  if (!response.ok) {
    const error: unknown = await response.json().catch(() => undefined);
    const told = (error ?? {}) as Partial<Schemas["Problem"]>;
    throw new Problem(response.status, told.code ?? "error", told.detail ?? "", told.request_id);
  }
}

export const thumbnailUrl = (id: string): string => `/v1/items/${encodeURIComponent(id)}/thumbnail`;

/** Why a picture does not come; null where it does now. */
export async function pictureTrouble(url: string): Promise<Problem | null> {
  const response = await fetch(url).catch(() => null);
  if (!response) return new Problem(0, GONE, "");
  return response.ok ? null : problemOf(response, await response.json().catch(() => undefined));
}

export interface Look {
  slice?: number | undefined;
  window?: { center: number; width: number } | undefined;
  size?: number | undefined;
}

export function renderedUrl(id: string, look: Look): string {
  const query = new URLSearchParams();
  if (look.slice !== undefined) query.set("slice", String(look.slice));
  if (look.window) query.set("window", `${look.window.center},${look.window.width}`);
  query.set("size", String(look.size ?? 768));
  return `/v1/items/${encodeURIComponent(id)}/rendered?${query}`;
}

/** Megabytes that one upload may have, as the service wrote into the page; 0 where it did not. */
export function uploadLimitMb(): number {
  const meta = document.querySelector('meta[name="syntopy-upload-mb"]');
  return Number(meta?.getAttribute("content") ?? 0) || 0;
}
