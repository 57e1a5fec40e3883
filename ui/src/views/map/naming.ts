import { useMemo } from "react";
import type { Points, Values } from "../../api/map";
import type { Asked } from "../../lib/ask";
import { plain } from "../../lib/format";
import { valueName } from "../../lib/names";
import { type Theme, useWords, useWordsOf } from "../../lib/settings";
import {
  type Colouring,
  categories,
  colouringOf,
  OTHER,
  plainColouring,
  type Row,
  UNKNOWN,
} from "./colours";
import { type Label, medoids } from "./geometry";
import { isShown, type MapState } from "./state";
import { WORDS } from "./words";

const NOISE = "-1";
const EMPTY: Colouring = { rows: [], codes: new Uint8Array() };

/** The colour of each point with the legend of it; empty until it is known. */
export function useColouring(
  points: Points | undefined,
  colour: string,
  values: Asked<Values>,
  theme: Theme,
): Colouring {
  const t = useWordsOf(WORDS);
  const words = useWords();
  const told = values.data;
  return useMemo(() => {
    if (!points) return EMPTY;
    const n = points.places.length / 2;
    const own =
      told?.legend.by === colour &&
      told.of.tag === points.of.tag &&
      told.packed.byteLength >= 2 * n;
    // Where they lie is shown at once, in one colour until it is known in which.
    if (colour === "none" || !own || !told)
      return plainColouring(n, t.all, categories(theme)[0] ?? "");
    const field = colour.replace(/^field:/, "");
    return colouringOf(told.legend, told.packed, theme, {
      other: t.others,
      unknown: t.unknown,
      value: (value, name) => {
        if (colour.startsWith("cluster:")) return value === NOISE ? t.noise : plain(name);
        return valueName(field, value, words);
      },
    });
  }, [points, colour, told, theme, t, words]);
}

const nameless = (row: Row) => [OTHER, UNKNOWN, NOISE].includes(row.key);

/** Names of clusters at their medoids, of those that are shown. */
export function useLabels(
  points: Float32Array | undefined,
  colour: string,
  { rows, codes }: Colouring,
  legend: MapState["legend"],
): Label[] {
  const places = useMemo(
    () =>
      points && colour.startsWith("cluster:") && rows.length > 1
        ? medoids(points, codes, rows.length)
        : [],
    [points, colour, rows, codes],
  );
  return useMemo(
    () =>
      places.flatMap((place, at) => {
        const row = rows[at];
        if (!place || !row || nameless(row) || !isShown(legend, row.key)) return [];
        return [{ words: row.name, weight: row.points, place }];
      }),
    [places, rows, legend],
  );
}
