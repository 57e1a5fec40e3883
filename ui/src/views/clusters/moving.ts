import { focused, focusHit, step, towards } from "../search/moving";

/** Keys that move through whatever can be gone to: clusters, members, rows of a comparison. */
export function movingKeys(): Record<string, () => void> {
  const to = (id: string | undefined) => id && focusHit(id);
  return {
    j: () => to(step(1, focused())),
    k: () => to(step(-1, focused())),
    ArrowRight: () => to(towards(1, 0, focused())),
    ArrowLeft: () => to(towards(-1, 0, focused())),
    ArrowDown: () => to(towards(0, 1, focused())),
    ArrowUp: () => to(towards(0, -1, focused())),
  };
}
