import { useMemo } from "react";
import type { Mask, Points } from "../../api/map";
import { bit, type Masks } from "./asking";
import { type Colouring, FADED, HIDDEN, LIFTED, STYLE_STEP, stylesOf } from "./colours";
import { inside } from "./geometry";
import { isShown, type MapState } from "./state";

/** How each point is drawn, and which are chosen. */
export interface Choosing {
  styles: Uint8Array;
  /** Places of the chosen points; all that pass where nothing narrows them. */
  chosen: Uint32Array;
}

/** What follows for each point from filter, time, legend and lasso together. */
export function useChoosing(
  points: Points | undefined,
  colouring: Colouring,
  state: MapState,
  masks: Masks,
): Choosing {
  const { legend, lasso, filter, since } = state;
  const own = (mask: Mask | undefined) =>
    mask && mask.of.tag === points?.of.tag ? mask.bits : undefined;
  const passing = filter ? own(masks.filter.data) : undefined;
  const recent = since ? own(masks.since.data) : undefined;
  return useMemo(() => {
    if (!points) return { styles: new Uint8Array(), chosen: new Uint32Array() };
    const shown = colouring.rows.map((row) => isShown(legend, row.key));
    const lifted = recent || lasso.length ? lift(points.places, lasso, recent) : null;
    const passes = (at: number) => !passing || bit(passing, at);
    const styles = stylesOf(colouring.codes, shown, passes, lifted);
    return { styles, chosen: standing(styles) };
  }, [points, colouring, legend, lasso, passing, recent]);
}

function lift(
  points: Float32Array,
  lasso: MapState["lasso"],
  recent: Uint8Array | undefined,
): Uint8Array {
  const lifted = new Uint8Array(points.length / 2);
  for (let at = 0; at < lifted.length; at += 1) {
    const within = !lasso.length || inside(lasso, points[2 * at] ?? 0, points[2 * at + 1] ?? 0);
    if (within && (!recent || bit(recent, at))) lifted[at] = 1;
  }
  return lifted;
}

/** Those that are drawn and do not stand back. */
export const stands = (style: number): boolean =>
  style !== HIDDEN && Math.floor((style - 1) / STYLE_STEP) !== FADED;

function standing(styles: Uint8Array): Uint32Array {
  let n = 0;
  for (const style of styles) if (stands(style)) n += 1;
  const found = new Uint32Array(n);
  n = 0;
  styles.forEach((style, at) => {
    if (stands(style)) found[n++] = at;
  });
  return found;
}

/** The styles while a row of the legend is pointed at: its points stand out, the others back. */
export function pointingAt(styles: Uint8Array, row: number): Uint8Array {
  if (row < 0) return styles;
  return styles.map((style) => {
    if (style === HIDDEN) return HIDDEN;
    const own = (style - 1) % STYLE_STEP;
    return (own === row ? LIFTED : FADED) * STYLE_STEP + own + 1;
  });
}
