import { within } from "../../parts/frame";

/** From little alike to much: blue, teal, amber. */
const COLOURS = [
  [38, 84, 124],
  [64, 150, 160],
  [240, 190, 96],
] as const;
const STRONGEST = 0.55;

/** Red, green, blue and opacity, each 0 to 255, of a likeness; nothing where there is none. */
export function colourOf(
  likeness: number | null,
  low: number,
  high: number,
): [number, number, number, number] {
  const strength = within(((likeness ?? -1) - low) / (high - low), 0, 1);
  const at = strength * (COLOURS.length - 1);
  const first = Math.min(COLOURS.length - 2, Math.floor(at));
  const part = at - first;
  const mixed = (channel: 0 | 1 | 2) =>
    Math.round(
      (COLOURS[first]?.[channel] ?? 0) * (1 - part) + (COLOURS[first + 1]?.[channel] ?? 0) * part,
    );
  return [mixed(0), mixed(1), mixed(2), Math.round(255 * STRONGEST * strength)];
}

/** Cells as a picture of one pixel each, rows from above. */
export function pictureOf(
  cells: readonly (readonly (number | null)[])[],
  low: number,
  high: number,
): ImageData | undefined {
  const width = cells[0]?.length ?? 0;
  if (!width) return undefined;
  const picture = new ImageData(width, cells.length);
  cells.flat().forEach((each, at) => {
    picture.data.set(colourOf(each, low, high), 4 * at);
  });
  return picture;
}
