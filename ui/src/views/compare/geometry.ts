import type { Frame } from "../../api/compare";
import { within } from "../../parts/frame";
import type { Look } from "./look";
import type { Region } from "./state";

/** A part of a picture, in parts of its width and height. */
export interface Part {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** What is drawn between two corners, in whatever order they came. */
export function partBetween(a: readonly [number, number], b: readonly [number, number]): Part {
  const [x, y] = [Math.min(a[0], b[0]), Math.min(a[1], b[1])];
  return { x, y, width: Math.max(a[0], b[0]) - x, height: Math.max(a[1], b[1]) - y };
}

/** Where on the picture a place of the screen is, if the picture is seen in this box. */
export function placeIn(
  box: { left: number; top: number; width: number; height: number },
  look: Look,
  clientX: number,
  clientY: number,
): [number, number] {
  const across = within((clientX - box.left) / box.width, 0, 1);
  const down = within((clientY - box.top) / box.height, 0, 1);
  return [look.mirrored ? 1 - across : across, look.upside ? 1 - down : down];
}

/** In whole pixels of a frame, at least one each way. */
export function regionOn(part: Part, frame: Frame, slice: number | undefined): Region {
  const x = Math.min(frame.columns - 1, Math.round(part.x * frame.columns));
  const y = Math.min(frame.rows - 1, Math.round(part.y * frame.rows));
  return {
    x,
    y,
    width: within(Math.round(part.width * frame.columns), 1, frame.columns - x),
    height: within(Math.round(part.height * frame.rows), 1, frame.rows - y),
    slice,
  };
}

export const partOf = (
  { x, y, width, height }: Pick<Region, "x" | "y" | "width" | "height">,
  { columns, rows }: Frame,
): Part => ({ x: x / columns, y: y / rows, width: width / columns, height: height / rows });

/** Moved, or made larger, by parts of the picture, without leaving it. */
export function nudged(part: Part, dx: number, dy: number, size: boolean): Part {
  if (size)
    return {
      ...part,
      width: within(part.width + dx, 0.02, 1 - part.x),
      height: within(part.height + dy, 0.02, 1 - part.y),
    };
  return {
    ...part,
    x: within(part.x + dx, 0, 1 - part.width),
    y: within(part.y + dy, 0, 1 - part.height),
  };
}

/** Where a region begins that is made with keys. */
export const MIDDLE: Part = { x: 0.375, y: 0.375, width: 0.25, height: 0.25 };
