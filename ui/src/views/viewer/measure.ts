import type { Frame, Region, Window } from "./frame";

export type Point = readonly [number, number];

/** Between two places of a frame, in its pixels. */
export type Line = readonly [Point, Point];

export type Unit = "mm" | "detector" | "pixel";

const within = ([x, y]: Point, { left, top, right, bottom }: Region): boolean =>
  x >= left && x <= right && y >= top && y <= bottom;

/** How long a line is: in millimetres where the file says what a pixel measures. */
export function lengthOf([from, to]: Line, frame: Frame): { length: number; unit: Unit } {
  const [dx, dy] = [to[0] - from[0], to[1] - from[1]];
  const region = frame.regions.find((each) => within(from, each) && within(to, each));
  if (region) return { length: Math.hypot(dx * region.x, dy * region.y), unit: "mm" };
  const { row, column, unit } = frame.spacing;
  if (unit === "pixel") return { length: Math.hypot(dx, dy), unit };
  return { length: Math.hypot(dx * column, dy * row), unit };
}

/** A window as the values that are black and white (PS3.3 C.11.2.1.2 and C.11.2.1.3). */
export function rangeOf({ center, width }: Window, kind = "LINEAR"): [number, number] {
  const [middle, span] =
    kind === "LINEAR" && width >= 1 ? [center - 0.5, width - 1] : [center, width];
  return [middle - span / 2, middle + Math.max(span, 1e-6) / 2];
}

/** The linear window between two values. */
export const windowBetween = ([low, high]: readonly [number, number]): Window => ({
  center: (low + high) / 2,
  width: high - low,
});

/** Three digits that count, which is what a hand can set. */
export const rounded = (value: number): number =>
  Math.abs(value) >= 100 ? Math.round(value) : Number(value.toPrecision(3));

/** A window moved by dragging or keys: across for width, down for center, in pixels of the page. */
export function moved({ center, width }: Window, dx: number, dy: number): Window {
  return {
    center: rounded(center + (dy * width) / 300),
    width: Math.max(rounded(width * Math.exp(dx / 250)), 1e-3),
  };
}
