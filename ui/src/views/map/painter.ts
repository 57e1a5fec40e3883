import type { Sight } from "./camera";
import type { Rgb } from "./colours";

/** What one drawing is of. */
export interface Frame {
  sight: Sight;
  /** Device pixels for one of CSS. */
  ratio: number;
  /** Of a point, in CSS pixels. */
  size: number;
  /** How much of what lies below is covered, 0 to 1. */
  cover: number;
  /** Which of the points, in the order in which they were loaded. */
  first: number;
  count: number;
  /** Begin with an empty ground. */
  clear: boolean;
}

/** Draws many points on a canvas of its own. */
export interface Painter {
  /** Where the points lie, x and y of each. */
  load(points: Float32Array): void;
  /** How each is drawn, see `stylesOf`. */
  dress(styles: Uint8Array): void;
  colours(rows: readonly Rgb[], ground: Rgb): void;
  draw(frame: Frame): void;
  drop(): void;
}
