import type { Schemas, SearchAnswer } from "../../api/client";
import * as api from "../../api/client";
import { type Asked, useAsked } from "../../lib/ask";
import { inTurns } from "./beginning";
import { held } from "./files";
import { FIRST } from "./HitCard";
import { exampleOf, filterOf, type Part, type SearchState, WORD } from "./state";

/** What keeps a query from being asked: nothing in it, only "unlike", files that are gone. */
export type Hindrance = "empty" | "unlike" | "files" | undefined;

export function hindranceOf(parts: readonly Part[]): Hindrance {
  if (!parts.length) return "empty";
  if (parts.some((part) => part.kind === "file" && !held(part.value))) return "files";
  return parts.every((part) => part.weight < 0) ? "unlike" : undefined;
}

interface Request {
  body: Schemas["SearchFilesAsked"];
  files: File[];
}

/** Several files dropped at once are one study, as long as no other files are asked with. */
export function requestOf(state: SearchState): Request {
  const withFiles = state.parts.filter((part) => part.kind === "file");
  const only = withFiles.length === 1 ? held(withFiles[0]?.value ?? "") : undefined;
  const oneStudy = (only?.length ?? 0) > 1;
  const files: File[] = [];
  const examples = state.parts.flatMap((part) => {
    if (part.kind !== "file") return [exampleOf(part)];
    const mine = held(part.value) ?? [];
    const first = files.length;
    files.push(...mine);
    const each = { uid: "", text: "", report: "", weight: part.weight };
    if (oneStudy) return [{ ...each, file: 0 }];
    return mine.map((_, at) => ({ ...each, file: first + at }));
  });
  const body = {
    examples,
    k: state.k,
    filter: filterOf(state.choices, state.filter),
    group: state.group,
    one_study: oneStudy,
    judge: withFiles.length > 0 && withFiles.every((part) => part.weight > 0),
  };
  return { body: body as Schemas["SearchFilesAsked"], files };
}

/** The answer to what the state asks, as long as nothing hinders it. */
export function useSearch(state: SearchState): Asked<SearchAnswer> {
  const { body, files } = requestOf(state);
  const names = state.parts.filter((part) => part.kind === "file").map((part) => part.value);
  const key = hindranceOf(state.parts) ? null : `search ${names} ${JSON.stringify(body)}`;
  return useAsked(key, async (signal) => {
    const { one_study: _one, judge: _judge, ...asked } = body;
    const answer = await (files.length
      ? api.searchFiles(body, files, signal)
      : api.search(asked, signal));
    fetchAhead(answer);
    return answer;
  });
}

/** The first pictures are on their way while the cards for them are still being made. */
function fetchAhead(answer: SearchAnswer): void {
  for (const hit of answer.hits.slice(0, FIRST)) {
    const picture = new Image();
    picture.fetchPriority = "high";
    picture.src = api.thumbnailUrl(hit.id);
  }
}

/** Facets under the filter; of a field with choices as if it had none, so that more can be chosen. */
export function useFacets(state: SearchState): Asked<Schemas["FacetAnswer"]> {
  const fields = [...new Set(state.choices.map((choice) => choice.field))];
  const filter = filterOf(state.choices, state.filter);
  const without = fields.map((field) =>
    filterOf(
      state.choices.filter((choice) => choice.field !== field),
      state.filter,
    ),
  );
  return useAsked(`facets ${JSON.stringify([filter, fields, without])}`, async (signal) => {
    const [whole, ...others] = await Promise.all(
      [filter, ...without].map((each) => api.facets(each, signal)),
    );
    if (!whole) throw new Error("no facets");
    const open = new Map(fields.map((field, at) => [field, others[at]]));
    const named = new Map(whole.facets.map((facet) => [facet.field, facet]));
    for (const [field, answer] of open) {
      const facet = answer?.facets.find((each) => each.field === field);
      if (facet) named.set(field, facet);
    }
    const words = await withRareWords(named.get(WORD), state, signal);
    if (words) named.set(WORD, words);
    return { ...whole, facets: inOrder([...named.values()]) };
  });
}

/** Any word can be chosen: those that are not among the offered are counted one by one. */
async function withRareWords(
  facet: Schemas["Facet"] | undefined,
  { choices, filter }: SearchState,
  signal: AbortSignal,
): Promise<Schemas["Facet"] | undefined> {
  const others = choices.filter((choice) => choice.field !== WORD);
  const rare = choices.filter(
    ({ field, value }) => field === WORD && !facet?.values.some((each) => each.value === value),
  );
  if (!rare.length) return facet;
  const counted = rare.map(async (choice) => {
    const { studies } = await api.facets(filterOf([...others, choice], filter), signal);
    return { value: choice.value, studies };
  });
  const values = [...(await Promise.all(counted)), ...(facet?.values ?? [])];
  return { field: WORD, more: 0, unknown: 0, ...facet, values };
}

const ORDER = ["modality", "body_part", "view", "sex", "age", "year", "manufacturer"];

function inOrder(facets: Schemas["Facet"][]): Schemas["Facet"][] {
  const place = (field: string) => (ORDER.indexOf(field) + ORDER.length + 1) % (ORDER.length + 1);
  const rank = (field: string) => (ORDER.includes(field) ? place(field) - ORDER.length - 1 : 0);
  return facets.sort((a, b) => rank(a.field) - rank(b.field) || a.field.localeCompare(b.field));
}

/** Items to begin with, one a study, kinds in turns. */
export function useStart(state: SearchState, active: boolean): Asked<api.Item[]> {
  const filter = ["role=primary", filterOf(state.choices, state.filter)].filter(Boolean);
  const said = filter.map((each) => `(${each})`).join(" and ");
  return useAsked(active ? `items ${said}` : null, async (signal) => {
    const { rows } = await api.items({ filter: said, sort: "-study_date", limit: 120 }, signal);
    const seen = new Set<string>();
    const first = rows.filter(
      (row) => !seen.has(row.study_instance_uid) && seen.add(row.study_instance_uid),
    );
    return inTurns(first).slice(0, 60);
  });
}
