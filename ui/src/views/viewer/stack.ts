import type { DataSet } from "./dataset";
import { type Frame, framesOf } from "./frame";

/** Frames of a series in the order in which they are looked through. */
export interface Stack {
  frames: Frame[];
  /** They follow one another in time, not in space. */
  cine: boolean;
  /** Frames in a second, where it is a cine. */
  rate: number;
}

const RATE = 15;
const MOVING = new Set(["US", "XA", "RF", "ES", "IVUS", "OPT"]);

/** The frames of all instances: along their normal where they lie in parallel, else by number. */
export function stackOf(headers: readonly DataSet[], rate: number | undefined): Stack {
  const instances = headers.map(framesOf).filter((frames) => frames.length > 0);
  const all = instances.flat();
  const [first] = all;
  const cine = instances.length === 1 && all.length > 1 && MOVING.has(first?.modality ?? "");
  return { frames: cine ? all : ordered(all), cine, rate: rate && rate > 0 ? rate : RATE };
}

function ordered(frames: Frame[]): Frame[] {
  const [first] = frames;
  const normal = first && normalOf(first.orientation);
  const parallel =
    normal !== undefined &&
    frames.every(
      ({ orientation, position }) =>
        position.length === 3 && orientation.every((c, at) => near(c, first?.orientation[at])),
    );
  const place = (frame: Frame) =>
    normal && parallel ? normal.reduce((sum, c, at) => sum + c * (frame.position[at] ?? 0), 0) : 0;
  return frames
    .map((frame) => ({ frame, at: place(frame) }))
    .sort(
      (one, other) =>
        one.at - other.at ||
        one.frame.instanceNumber - other.frame.instanceNumber ||
        compared(one.frame.instance, other.frame.instance) ||
        one.frame.number - other.frame.number,
    )
    .map(({ frame }) => frame);
}

const near = (one: number, other: number | undefined): boolean =>
  other !== undefined && Math.abs(one - other) < 1e-3;

const compared = (one: string, other: string): number => (one < other ? -1 : one > other ? 1 : 0);

function normalOf(orientation: readonly number[]): number[] | undefined {
  const [a, b, c, d, e, f] = orientation;
  if (a === undefined || b === undefined || c === undefined) return undefined;
  if (d === undefined || e === undefined || f === undefined) return undefined;
  return [b * f - c * e, c * d - a * f, a * e - b * d];
}

const LETTERS = [
  ["L", "R"],
  ["P", "A"],
  ["H", "F"],
] as const;

/** Where a direction in the patient points: `L`, `AR`; nothing where it is not known. */
export function letters(direction: readonly number[]): string {
  if (direction.length !== 3) return "";
  return LETTERS.map(([towards, away], axis) => ({
    letter: (direction[axis] ?? 0) > 0 ? towards : away,
    size: Math.abs(direction[axis] ?? 0),
  }))
    .filter(({ size }) => size > 0.3)
    .sort((one, other) => other.size - one.size)
    .slice(0, 2)
    .map(({ letter }) => letter)
    .join("");
}

/** Letters at the right and the lower edge of a frame, as it is shown. */
export function edges(
  { orientation }: Frame,
  flipped: { across: boolean; down: boolean },
): { left: string; right: string; top: string; bottom: string } {
  const row = orientation.slice(0, 3).map((c) => (flipped.across ? -c : c));
  const column = orientation.slice(3, 6).map((c) => (flipped.down ? -c : c));
  const back = (direction: number[]) => letters(direction.map((c) => -c));
  return { left: back(row), right: letters(row), top: back(column), bottom: letters(column) };
}
