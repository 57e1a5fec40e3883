import type { FileLook } from "../../api/files";

const MOST = 400;

/**
 * Frames of dropped files that have come: of one file in one window, the last ones. Going to a
 * slice that is among them sends nothing, where else it would send the whole volume once more.
 */
export class Frames {
  #of = "";
  #slices = 1;
  #middle: number | undefined;
  readonly #frames = new Map<number, FileLook>();

  /** What came, and the slices around it. */
  keep(of: string, look: FileLook, asked: number): void {
    if (of !== this.#of) {
      this.#frames.clear();
      this.#middle = undefined;
      this.#of = of;
    }
    this.#slices = look.slices;
    if (!asked) this.#middle = look.slice ?? 1;
    const { around, ...shown } = look;
    for (const [number, picture] of Object.entries(around))
      this.#put(Number(number), { ...shown, slice: Number(number), picture, around: {} });
    this.#put(look.slice ?? 1, { ...shown, around: {} });
  }

  #put(slice: number, look: FileLook): void {
    this.#frames.delete(slice);
    this.#frames.set(slice, look);
    const oldest = this.#frames.keys().next().value;
    if (this.#frames.size > MOST && oldest !== undefined) this.#frames.delete(oldest);
  }

  /** The frame of a slice, 0 for the one that came when none was named; nothing before it came. */
  get(of: string, slice: number): FileLook | undefined {
    const number = slice || this.#middle;
    if (of !== this.#of || number === undefined) return undefined;
    return this.#frames.get(Math.min(number, this.#slices));
  }

  /** One of them, whichever came last: all are of one size. */
  any(of: string): FileLook | undefined {
    return of === this.#of ? [...this.#frames.values()].at(-1) : undefined;
  }
}
