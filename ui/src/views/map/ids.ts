import { useMemo } from "react";
import { Problem } from "../../api/client";
import * as api from "../../api/map";
import { type Asked, useAsked } from "../../lib/ask";
import { NONE } from "./geometry";

const MOST = 10_000;
let made = 0;

/** Ids of points, which are asked for by their positions when somebody needs them. */
export class PointIds {
  readonly of: api.Of;
  /** Another one each time that points were asked for. */
  readonly key: string;
  private readonly onOther: () => void;
  private readonly ids = new Map<number, string>();
  private readonly places = new Map<string, number>();

  /** `onOther` is called when the map has other points by now. */
  constructor(of: api.Of, onOther: () => void) {
    this.of = of;
    made += 1;
    this.key = `map ids ${made}`;
    this.onOther = onOther;
  }

  /** The id of the item at a position, where it is known already. */
  at(position: number): string | undefined {
    return this.ids.get(position);
  }

  /** The position of an item, `NONE` where it is not on the map; undefined where not known yet. */
  place(item: string): number | undefined {
    return this.places.get(item);
  }

  /** Get to know the ids at some positions. */
  async load(positions: readonly number[], signal: AbortSignal): Promise<void> {
    const wanted = positions.filter((each) => !this.ids.has(each));
    if (!wanted.length) return;
    const found = await this.watched(api.itemsAt(this.of, wanted, signal));
    wanted.forEach((position, n) => {
      this.note(position, found[n] ?? "");
    });
  }

  /** Get to know the position of an item. */
  async find(item: string, signal: AbortSignal): Promise<void> {
    const found = await this.watched(api.placeOf(this.of, item, signal));
    if (found === null) this.places.set(item, NONE);
    else this.note(found, item);
  }

  private note(position: number, item: string): void {
    this.ids.set(position, item);
    this.places.set(item, position);
    if (this.ids.size <= MOST) return;
    for (const [oldest, id] of this.ids) {
      this.ids.delete(oldest);
      this.places.delete(id);
      return;
    }
  }

  private async watched<T>(asked: Promise<T>): Promise<T> {
    try {
      return await asked;
    } catch (error) {
      if (isOther(error)) this.onOther();
      throw error;
    }
  }
}

/** Whether the map has other points than those that were asked about. */
export const isOther = (error: unknown): boolean =>
  error instanceof Problem && error.status === 412;

export function usePointIds(
  points: api.Points | undefined,
  onOther: () => void,
): PointIds | undefined {
  // biome-ignore lint/correctness/useExhaustiveDependencies: it is to be called, not watched
  return useMemo(() => points && new PointIds(points.of, onOther), [points]);
}

/** Ask for the ids at some positions; then `ids.at` knows them. */
export function useIds(ids: PointIds | undefined, positions: readonly number[]): Asked<void> {
  const wanted = ids ? positions.filter((each) => each !== NONE && ids.at(each) === undefined) : [];
  const key = ids && wanted.length ? `${ids.key} ${wanted.join()}` : null;
  return useAsked(key, async (signal) => ids?.load(wanted, signal), true);
}

/** The position of the item that is open, as `PointIds.place` has it. */
export function useOpened(
  ids: PointIds | undefined,
  item: string,
): { opened: number | undefined; asked: Asked<void> } {
  const opened = item ? ids?.place(item) : NONE;
  const key = ids && opened === undefined ? `${ids.key} ${item}` : null;
  const asked = useAsked(key, async (signal) => ids?.find(item, signal), true);
  return { opened, asked };
}
