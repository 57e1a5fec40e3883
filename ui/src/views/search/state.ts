import type { Schemas } from "../../api/client";

/** One thing that hits should be like, or unlike. A file is known here by a number alone. */
export interface Part {
  kind: "uid" | "text" | "file";
  value: string;
  /** Above zero for like, below for unlike. */
  weight: number;
}

/** A value of a facet that was chosen. */
export interface Choice {
  field: string;
  value: string;
}

/** All that the search view shows; everything but files is in the address. */
export interface SearchState {
  parts: Part[];
  choices: Choice[];
  /** In the filter language, beside the choices. */
  filter: string;
  group: "study" | "patient";
  /** Neighbours that are asked for. */
  k: number;
  /** The item whose details are shown, or nothing. */
  hit: string;
  /** Items put aside to be compared. */
  kept: string[];
  dense: boolean;
}

/** The field of words of reports. */
export const WORD = "word";
export const STEP = 24;
export const MOST = 240;

export const EMPTY: SearchState = {
  parts: [],
  choices: [],
  filter: "",
  group: "study",
  k: STEP,
  hit: "",
  kept: [],
  dense: false,
};

const WEIGHT = /~(-?\d+(?:\.\d+)?)$/;
const UIDS = new Set(["study", "series", "uid", "item"]);

function weighted(said: string): { value: string; weight: number } {
  const found = WEIGHT.exec(said);
  const weight = Number(found?.[1] ?? 1);
  if (!found || !Number.isFinite(weight) || weight === 0) return { value: said, weight: 1 };
  return { value: said.slice(0, found.index), weight };
}

function weightless(part: Part): string {
  // What itself ends like a weight gets one, or it would be read as such.
  const plain = part.weight === 1 && !WEIGHT.test(part.value);
  return plain ? part.value : `${part.value}~${part.weight}`;
}

function choiceOf(said: string): Choice | undefined {
  const at = said.indexOf("=");
  return at > 0 ? { field: said.slice(0, at), value: said.slice(at + 1) } : undefined;
}

/** The state that an address tells; what it does not tell, or tells wrongly, is as usual. */
export function parseSearch(params: URLSearchParams): SearchState {
  const state: SearchState = { ...EMPTY, parts: [], choices: [], kept: [] };
  for (const [name, said] of params) {
    if (UIDS.has(name) && said) state.parts.push({ kind: "uid", ...weighted(said) });
    else if (name === "text" && said.trim()) state.parts.push({ kind: "text", ...weighted(said) });
    else if (name === "file" && said) state.parts.push({ kind: "file", ...weighted(said) });
    else if (name === "f") {
      const choice = choiceOf(said);
      if (choice) state.choices.push(choice);
    } else if (name === "filter") state.filter = said;
    else if (name === "group") state.group = said === "patient" ? "patient" : "study";
    else if (name === "k") state.k = Math.min(MOST, Math.max(1, Number.parseInt(said, 10) || STEP));
    else if (name === "hit") state.hit = said;
    else if (name === "keep" && said) state.kept.push(said);
    else if (name === "list") state.dense = said === "dense";
  }
  return state;
}

/** The state as an address has it; `parseSearch` reads it back. */
export function formatSearch(state: SearchState): URLSearchParams {
  const params = new URLSearchParams();
  for (const part of state.parts)
    params.append(part.kind === "uid" ? "study" : part.kind, weightless(part));
  for (const { field, value } of state.choices) params.append("f", `${field}=${value}`);
  if (state.filter) params.set("filter", state.filter);
  if (state.group !== EMPTY.group) params.set("group", state.group);
  if (state.k !== STEP) params.set("k", String(state.k));
  if (state.dense) params.set("list", "dense");
  for (const id of state.kept) params.append("keep", id);
  if (state.hit) params.set("hit", state.hit);
  return params;
}

const quoted = (text: string): string => `"${text.replaceAll('"', '""')}"`;

function condition(field: string, values: string[]): string {
  if (field === "age" || field === "year") {
    const spans = values.map((value) => (field === "age" ? ageSpan(value) : yearSpan(value)));
    return spans.length === 1 ? (spans[0] ?? "") : `(${spans.join(" or ")})`;
  }
  const name = field.startsWith("label:") ? `label:${quoted(field.slice(6))}` : field;
  const [first = "", ...rest] = values.map(quoted);
  return rest.length ? `${name} in (${[first, ...rest].join(", ")})` : `${name}=${first}`;
}

function ageSpan(value: string): string {
  const [first = 0, last = first] = value.split("-").map(Number);
  return `(age>=${first} and age<${last + 1})`;
}

const yearSpan = (year: string): string =>
  `(study_date>=${year}-01-01 and study_date<=${year}-12-31)`;

/** The choices and the typed filter as one expression; of one field any value will do. */
export function filterOf(choices: readonly Choice[], filter: string): string {
  const byField = new Map<string, string[]>();
  for (const { field, value } of choices)
    byField.set(field, [...(byField.get(field) ?? []), value]);
  const parts = [...byField].map(([field, values]) => condition(field, values));
  if (filter.trim()) parts.push(parts.length ? `(${filter.trim()})` : filter.trim());
  return parts.join(" and ");
}

/** The parts that are no files as the service takes them. */
export function exampleOf(part: Part): Schemas["ExampleAsked"] {
  const said = part.kind === "uid" ? { uid: part.value } : { text: part.value };
  return { uid: "", text: "", report: "", ...said, weight: part.weight };
}

/** Whether the language takes a text for one word, as `word=…` has it. */
export const isWord = (said: string): boolean => /^[\p{L}\p{N}][\p{L}\p{N}\p{M}]*$/u.test(said);

/** Chosen if it was not, else not any more. */
export function toggled(choices: readonly Choice[], choice: Choice): Choice[] {
  const same = (each: Choice) => each.field === choice.field && each.value === choice.value;
  return choices.some(same) ? choices.filter((each) => !same(each)) : [...choices, choice];
}

/** With one more part; of one that is there already only the weight changes. */
export function withPart(parts: readonly Part[], part: Part): Part[] {
  const at = parts.findIndex((each) => each.kind === part.kind && each.value === part.value);
  return at < 0 ? [...parts, part] : parts.map((each, here) => (here === at ? part : each));
}
