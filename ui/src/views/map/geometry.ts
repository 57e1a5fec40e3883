import { onScreen, type Place, type Sight } from "./camera";

/** Whether a point can be met; all others are as if they were not there. */
export type Met = (at: number) => boolean;

export const NONE = -1;

/** The nearest point to a place of the screen within so many pixels, or `NONE`. */
export function nearest(
  points: Float32Array,
  met: Met,
  sight: Sight,
  px: number,
  py: number,
  within: number,
): number {
  const x = (px - sight.width / 2) / sight.scale + sight.x;
  const y = sight.y - (py - sight.height / 2) / sight.scale;
  let best = (within / sight.scale) ** 2;
  let found = NONE;
  for (let at = 0; at < points.length / 2; at += 1) {
    const dx = (points[2 * at] ?? 0) - x;
    const dy = (points[2 * at + 1] ?? 0) - y;
    const far = dx * dx + dy * dy;
    if (far <= best && met(at)) {
      best = far;
      found = at;
    }
  }
  return found;
}

/** The nearest point to another one in a direction of the screen; what lies aside counts thrice. */
export function towards(
  points: Float32Array,
  met: Met,
  from: number,
  dx: number,
  dy: number,
): number {
  const x = points[2 * from] ?? 0;
  const y = points[2 * from + 1] ?? 0;
  let best = Number.POSITIVE_INFINITY;
  let found = NONE;
  for (let at = 0; at < points.length / 2; at += 1) {
    const ax = (points[2 * at] ?? 0) - x;
    const ay = y - (points[2 * at + 1] ?? 0);
    const along = ax * dx + ay * dy;
    if (along <= 0) continue;
    const far = along + 3 * Math.abs(ax * dy - ay * dx);
    if (far < best && met(at)) {
      best = far;
      found = at;
    }
  }
  return found;
}

/** Whether a place lies within a polygon, by the parity of its crossings. */
export function inside(polygon: readonly Place[], x: number, y: number): boolean {
  let within = false;
  for (let at = 0, before = polygon.length - 1; at < polygon.length; before = at++) {
    const [ax, ay] = polygon[at] ?? [0, 0];
    const [bx, by] = polygon[before] ?? [0, 0];
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) within = !within;
  }
  return within;
}

/** Of a line with many corners those that matter most, no more than so many. */
export function simplified(line: readonly Place[], most: number): Place[] {
  let kept = [...line];
  while (kept.length > most) {
    const weights = kept.map((_, at) => triangle(kept, at)).sort((a, b) => a - b);
    const least = weights[Math.max(1, Math.floor((kept.length - most) / 2))] ?? 0;
    // Neighbours never go at once: what they stand for would go with them.
    let gone = false;
    const next = kept.filter((_, at) => {
      gone = !gone && triangle(kept, at) <= least;
      return !gone;
    });
    kept = next.length < kept.length ? next : kept.slice(0, most);
  }
  return kept;
}

function triangle(line: readonly Place[], at: number): number {
  const n = line.length;
  const [ax, ay] = line[(at + n - 1) % n] ?? [0, 0];
  const [bx, by] = line[at] ?? [0, 0];
  const [cx, cy] = line[(at + 1) % n] ?? [0, 0];
  return Math.abs((bx - ax) * (cy - ay) - (cx - ax) * (by - ay));
}

const SAMPLED = 2000;

/** For each of some groups the place of its point nearest to the middle of its points. */
export function medoids(
  points: Float32Array,
  codes: ArrayLike<number>,
  groups: number,
): (Place | undefined)[] {
  const counts = new Uint32Array(groups);
  for (let at = 0; at < codes.length; at += 1) {
    const code = codes[at] ?? groups;
    if (code < groups) counts[code] = (counts[code] ?? 0) + 1;
  }
  const members: number[][] = Array.from({ length: groups }, () => []);
  const passed = new Uint32Array(groups);
  for (let at = 0; at < codes.length; at += 1) {
    const code = codes[at] ?? groups;
    if (code >= groups) continue;
    const step = Math.ceil((counts[code] ?? 1) / SAMPLED);
    if ((passed[code] ?? 0) % step === 0) members[code]?.push(at);
    passed[code] = (passed[code] ?? 0) + 1;
  }
  return members.map((own) => medoid(points, own));
}

function medoid(points: Float32Array, own: readonly number[]): Place | undefined {
  if (!own.length) return undefined;
  const middle = (axis: number) => {
    const values = own.map((at) => points[2 * at + axis] ?? 0).sort((a, b) => a - b);
    return values[Math.floor(values.length / 2)] ?? 0;
  };
  const [x, y] = [middle(0), middle(1)];
  let best = Number.POSITIVE_INFINITY;
  let found: Place | undefined;
  for (const at of own) {
    const place: Place = [points[2 * at] ?? 0, points[2 * at + 1] ?? 0];
    const far = (place[0] - x) ** 2 + (place[1] - y) ** 2;
    if (far < best) {
      best = far;
      found = place;
    }
  }
  return found;
}

export interface Label {
  words: string;
  /** Points that it stands for: the larger is shown where there is place for one. */
  weight: number;
  place: Place;
}

export interface Shown {
  words: string;
  x: number;
  y: number;
}

/** The labels that fit on a screen without lying on each other, the largest first. */
export function fittingLabels(
  labels: readonly Label[],
  sight: Sight,
  widthOf: (words: string) => number,
  line: number,
): Shown[] {
  const taken: { x: number; y: number; half: number }[] = [];
  const shown: Shown[] = [];
  for (const { words, place } of [...labels].sort((a, b) => b.weight - a.weight)) {
    const [x, y] = onScreen(sight, ...place);
    const half = widthOf(words) / 2 + 6;
    if (x < half || y < line || x > sight.width - half || y > sight.height - line) continue;
    const lies = (other: (typeof taken)[number]) =>
      Math.abs(other.x - x) < other.half + half && Math.abs(other.y - y) < line;
    if (taken.some(lies)) continue;
    taken.push({ x, y, half });
    shown.push({ words, x, y });
  }
  return shown;
}
