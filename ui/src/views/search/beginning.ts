import type { Schemas } from "../../api/client";

const PHRASES = 3;

type Kind = Pick<Schemas["Item"], "modality" | "body_part">;

/**
 * Phrases to try: what the label with the most values says of this library's own studies, but for
 * those in which nothing was found.
 */
export function phrasesOf(facets: readonly Schemas["Facet"][]): string[] {
  const labels = facets.filter(({ field }) => field.startsWith("label:"));
  const telling = labels.sort((a, b) => b.values.length - a.values.length)[0];
  return (telling?.values ?? [])
    .map(({ value }) => value.replaceAll(/[-_\s]+/g, " ").trim())
    .filter((words) => words && !/\bnormal\b|\bno\b/i.test(words))
    .slice(0, PHRASES);
}

/** One of each kind of image in turns, so that the first ones show what the library has. */
export function inTurns<T extends Kind>(items: readonly T[]): T[] {
  const kinds = new Map<string, T[]>();
  for (const item of items) {
    const kind = `${item.modality} ${item.body_part}`;
    kinds.set(kind, [...(kinds.get(kind) ?? []), item]);
  }
  const piles = [...kinds.values()];
  const longest = Math.max(0, ...piles.map((pile) => pile.length));
  return Array.from({ length: longest }, (_, turn) =>
    piles.flatMap((pile) => pile.slice(turn, turn + 1)),
  ).flat();
}
