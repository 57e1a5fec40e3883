import type { Sight } from "./camera";
import type { Rgb } from "./colours";
import type { Painter } from "./painter";

/** Draws many points as somebody moves over them: some at once, all as soon as it is at rest. */
export interface Plot {
  load(points: Float32Array): void;
  dress(styles: Uint8Array): void;
  colours(rows: readonly Rgb[], ground: Rgb): void;
  /** Look there from the next frame on; `moving` while more of it comes. */
  look(sight: Sight, ratio: number, moving: boolean): void;
  drop(): void;
}

const REST_MS = 140;
/** A frame should take no longer than this while something moves. */
const SLOW_MS = 24;
const FAST_MS = 18;
const LEAST = 10_000;
const FIRST = 60_000;
/** Of what is left, drawn in one frame at rest, or more where that is fast. */
const CHUNK = 50_000;

/**
 * Points lie in an order drawn by chance, the same each time. The first n of them are then as
 * dense everywhere, in proportion, as all are: those are drawn while something moves.
 *
 * @param drawn told after each frame how many of all are drawn
 */
export function plotOn(painter: Painter, drawn: (some: number, all: number) => void): Plot {
  let order = new Uint32Array();
  let sight: Sight | undefined;
  let ratio = 1;
  let fresh = false;
  let done = 0;
  let budget = FIRST;
  let restAt = 0;
  let before = 0;
  let handle = 0;

  function part(first: number, count: number): void {
    if (!sight) return;
    const look = looks(order.length, sight);
    painter.draw({ sight, ratio, ...look, first, count, clear: first === 0 });
    done = first + count;
    drawn(done, order.length);
  }
  function frame(now: number): void {
    handle = 0;
    const moving = now < restAt;
    if (fresh) {
      if (moving && before && budget < order.length)
        budget = adapted(budget, now - before, order.length);
      before = moving ? now : 0;
      fresh = false;
      part(0, Math.min(order.length, budget));
    } else if (!moving && done < order.length) {
      part(done, Math.min(Math.max(budget, CHUNK), order.length - done));
    }
    if (fresh || done < order.length) later();
  }
  function later(): void {
    if (!handle) handle = requestAnimationFrame(frame);
  }
  function anew(): void {
    fresh = true;
    later();
  }
  return {
    load(points) {
      order = shuffled(points.length / 2);
      const placed = new Float32Array(points.length);
      order.forEach((from, at) => {
        placed[2 * at] = points[2 * from] ?? 0;
        placed[2 * at + 1] = points[2 * from + 1] ?? 0;
      });
      painter.load(placed);
      painter.dress(new Uint8Array(order.length));
      anew();
    },
    dress(styles) {
      if (styles.length !== order.length) return;
      painter.dress(Uint8Array.from(order, (from) => styles[from] ?? 0));
      anew();
    },
    colours(rows, ground) {
      painter.colours(rows, ground);
      anew();
    },
    look(next, nextRatio, moving) {
      sight = next;
      ratio = nextRatio;
      if (moving) restAt = performance.now() + REST_MS;
      anew();
    },
    drop() {
      cancelAnimationFrame(handle);
      painter.drop();
    },
  };
}

/** Fewer in proportion to how much too slow it was, and step by step more again. */
function adapted(budget: number, ms: number, most: number): number {
  if (ms > SLOW_MS)
    return Math.max(LEAST, Math.round(budget * Math.max(0.3, Math.min(0.8, SLOW_MS / ms))));
  return ms < FAST_MS ? Math.min(most, Math.round(budget * 1.15)) : budget;
}

/** Few points are large and whole, many small and like a mist; all grow when one comes nearer. */
function looks(n: number, sight: Sight): { size: number; cover: number } {
  const area = sight.width * sight.height;
  const size = Math.min(7, Math.max(1.6, Math.sqrt(area / Math.max(1, n)) * 0.22));
  return { size, cover: n > 200_000 ? 0.55 : n > 20_000 ? 0.75 : 0.92 };
}

/** 0 to n-1 in an order drawn by chance (Fisher and Yates), always the same one. */
export function shuffled(n: number): Uint32Array<ArrayBuffer> {
  const order = Uint32Array.from({ length: n }, (_, at) => at);
  let seed = 0x9e3779b9;
  for (let at = n - 1; at > 0; at -= 1) {
    // xorshift: any generator does that is not the order of the catalog
    seed ^= seed << 13;
    seed ^= seed >>> 17;
    seed ^= seed << 5;
    const other = (seed >>> 0) % (at + 1);
    const kept = order[at] ?? 0;
    order[at] = order[other] ?? 0;
    order[other] = kept;
  }
  return order;
}
