import type { Cluster } from "../../api/clusters";

/** A value that sets a cluster apart from the rest. */
export interface Trait {
  field: string;
  value: string;
  inside: number;
  outside: number;
}

/** What is told of a cluster, as far as it can be read. */
export interface About {
  exemplars: string[];
  borderline: string[];
  traits: Trait[];
  words: string[];
  phrase: string;
  warnings: string[];
}

const texts = (value: unknown): string[] =>
  Array.isArray(value) ? value.filter((each) => typeof each === "string") : [];

function traitOf(row: unknown): Trait[] {
  if (typeof row !== "object" || row === null) return [];
  const said = new Map<string, unknown>(Object.entries(row));
  const [field, value] = [said.get("field"), said.get("value")];
  const [inside, outside] = [said.get("share_inside"), said.get("share_outside")];
  const known = typeof field === "string" && typeof value === "string";
  if (!known || typeof inside !== "number" || typeof outside !== "number") return [];
  return [{ field, value, inside, outside }];
}

export function aboutOf(cluster: Cluster): About {
  const { exemplars, borderline, enriched, words, phrase, warnings } = cluster.about;
  return {
    exemplars: texts(exemplars),
    borderline: texts(borderline),
    traits: Array.isArray(enriched) ? enriched.flatMap(traitOf) : [],
    words: texts(words),
    phrase: typeof phrase === "string" ? phrase : "",
    warnings: texts(warnings),
  };
}
