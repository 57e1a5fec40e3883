import { useEffect, useState } from "react";
import type { Asked } from "../../lib/ask";
import { go } from "../../lib/route";
import { stands } from "./choosing";
import { NONE, towards } from "./geometry";
import { isOther, useIds } from "./ids";
import type { StageActs } from "./Stage";
import type { MapShown } from "./shown";

/** Which point is meant by pointer or keys, and what is done with it. */
export interface Pointing {
  at: number;
  /** Its picture is shown beside it. */
  peek: boolean;
  /** Point at one; `NONE` at nothing. */
  point: (at: number, peek: boolean) => void;
  /** To the nearest one in a direction. */
  walk: (dx: number, dy: number) => void;
  /** Details of one, as soon as its id is known. */
  open: (at: number) => void;
  /** A search from the one that is meant, else from that whose details are open. */
  search: () => void;
  /** Its id cannot be had. */
  wrong: Asked<unknown> | undefined;
}

type Wish = { at: number; way: "open" | "search" } | undefined;

export function usePointing(
  shown: MapShown,
  acts: React.RefObject<StageActs | null>,
  onOpen: (item: string) => void,
): Pointing {
  const { points, chosen, styles, ids } = shown;
  const places = points.data?.places;
  const [{ at, peek }, setPointed] = useState(NOTHING);
  const [wish, setWish] = useState<Wish>();
  const opened = shown.opened ?? NONE;

  // What was pointed at may not be there any more.
  // biome-ignore lint/correctness/useExhaustiveDependencies: other points are other numbers
  useEffect(() => {
    setPointed(NOTHING);
    setWish(undefined);
  }, [places]);
  const asked = useIds(ids, wish ? [wish.at] : []);
  const wished = wish && ids?.at(wish.at);
  useEffect(() => {
    if (!wish || wished === undefined) return;
    setWish(undefined);
    if (wish.way === "open") onOpen(wished);
    else go({ view: "search", params: new URLSearchParams({ item: wished }) });
  }, [wish, wished, onOpen]);

  const point = (next: number, showing: boolean) => setPointed({ at: next, peek: showing });
  function walk(dx: number, dy: number): void {
    if (!places || !chosen.length) return;
    const from = at !== NONE ? at : opened;
    const met = (each: number) => stands(styles[each] ?? 0);
    const next = from === NONE ? middle(chosen) : towards(places, met, from, dx, dy);
    if (next === NONE) return;
    point(next, true);
    acts.current?.reveal(next);
  }
  const meant = at === NONE ? opened : at;
  return {
    at,
    peek,
    point,
    walk,
    open: (next) => (next === NONE ? onOpen("") : setWish({ at: next, way: "open" })),
    search: () => meant !== NONE && setWish({ at: meant, way: "search" }),
    wrong: asked.error && !isOther(asked.error) ? asked : undefined,
  };
}

const NOTHING = { at: NONE, peek: false };
const middle = (chosen: Uint32Array): number => chosen[Math.floor(chosen.length / 2)] ?? NONE;
