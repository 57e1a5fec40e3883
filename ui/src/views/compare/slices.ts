import { within } from "../../parts/frame";
import { follow, type Pair } from "./look";
import type { Looks } from "./looking";
import type { Link } from "./state";

/** Two stacks: how many slices each has, which belong together, and whether they move together. */
export interface Stacks {
  ours: number;
  theirs: number;
  pair: Pair | undefined;
  /** Where ours begins, if it is not its middle. */
  begin?: number | undefined;
  link: Link;
}

const middle = (count: number): number => Math.ceil(count / 2);

const linked = ({ ours, theirs, link }: Stacks): boolean =>
  link !== "off" && ours > 1 && theirs > 1;

const pairOf = ({ pair, link }: Stacks): [number, number] | undefined =>
  pair && link === "match" ? [pair.ours, pair.theirs] : undefined;

/** The slices that are shown: those that were gone to, else those that match, else the middle. */
export function shownSlices(looks: Looks, stacks: Stacks): Pair {
  const first = looks.ours.slice || (stacks.pair?.ours ?? stacks.begin ?? middle(stacks.ours));
  const ours = within(first, 1, stacks.ours);
  const follows = linked(stacks) && looks.ours.slice > 0;
  const other =
    looks.theirs.slice ||
    (follows
      ? follow(ours, stacks.ours, stacks.theirs, pairOf(stacks))
      : (stacks.pair?.theirs ?? middle(stacks.theirs)));
  return { ours, theirs: within(other, 1, stacks.theirs) };
}

/** Both looks after one stack was moved to a slice; the other goes along where they are linked. */
export function goneTo(looks: Looks, stacks: Stacks, side: keyof Pair, to: number): Looks {
  const other = side === "ours" ? "theirs" : "ours";
  const now = shownSlices(looks, stacks);
  const here = within(to, 1, stacks[side]);
  const pair = pairOf(stacks);
  const turned = pair && (side === "ours" ? pair : ([pair[1], pair[0]] as [number, number]));
  const there = linked(stacks) ? follow(here, stacks[side], stacks[other], turned) : now[other];
  return {
    ...looks,
    [side]: { ...looks[side], slice: here },
    [other]: { ...looks[other], slice: there },
  };
}
