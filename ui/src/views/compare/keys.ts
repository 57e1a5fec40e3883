import { useEffect, useState } from "react";
import { type Keys, useKeys } from "../../lib/keys";
import type { Acts, SideName } from "./acts";
import type { Comparison } from "./comparison";
import { nudged, type Part } from "./geometry";
import { type Look, moved, zoomed } from "./look";
import type { Tool } from "./Pane";
import type { CompareState, Tab } from "./state";
import { mirrored, turned } from "./Tools";

interface KeysAsked {
  acts: Acts;
  state: CompareState;
  tool: Tool;
  draft: Part | undefined;
  setDraft: (part: Part) => void;
  ask: () => void;
  active: SideName;
  setActive: (side: SideName) => void;
  choose: (tool: Tool) => void;
}

const NEXT_TAB: Record<Tab, Tab> = { both: "ours", ours: "theirs", theirs: "both" };
const NUDGE = 0.025;
const ARROWS: Record<string, [number, number]> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

/** Keys of the view; while a region is drawn the arrows are its own. */
export function useCompareKeys(asked: KeysAsked): void {
  const { acts, state, active, choose, draft } = asked;
  const look = (by: (look: Look) => Look) => () => acts.look(active, by);
  const slice = (by: number) => () => acts.slice(active, by);
  const link = (on: CompareState["link"]) => () => acts.link(on);
  const closer = look((now) => zoomed(now, 1.25));
  const keys: Keys = {
    j: () => acts.step(1),
    k: () => acts.step(-1),
    PageUp: slice(-10),
    PageDown: slice(10),
    "+": closer,
    "=": closer,
    "-": look((now) => zoomed(now, 0.8)),
    "−": look((now) => zoomed(now, 0.8)),
    "0": acts.whole,
    l: link(state.link === "off" ? "match" : "off"),
    n: link(state.link === "position" ? "match" : "position"),
    q: () => asked.setActive(active === "ours" ? "theirs" : "ours"),
    w: () => choose("window"),
    m: () => choose("move"),
    b: () => choose("region"),
    x: look(mirrored),
    y: look(turned),
    a: acts.overlay,
    e: acts.all,
    p: acts.pin,
    c: acts.keep,
    h: () => acts.goThrough(state.of === "kept" ? "hits" : "kept"),
    s: acts.alone,
    t: () => acts.tab(NEXT_TAB[state.tab]),
    r: acts.reset,
    Delete: acts.dropRegion,
    Escape: draft ? () => choose("window") : acts.back,
  };
  for (const [key, [dx, dy]] of Object.entries(ARROWS)) {
    if (draft)
      keys[key] = (event) => asked.setDraft(nudged(draft, dx * NUDGE, dy * NUDGE, event.shiftKey));
    else if (asked.tool === "move")
      keys[key] = look((now) => moved(now, -dx * NUDGE * now.zoom, -dy * NUDGE * now.zoom));
    else if (dy !== 0) keys[key] = slice(dy);
  }
  // Enter presses a button that has the focus; elsewhere it asks.
  if (draft)
    keys.Enter = (event) => {
      const target = event.target;
      if (target instanceof HTMLButtonElement) target.click();
      else asked.ask();
    };
  useKeys(keys);
}

interface Drawing {
  /** A part is drawn; when it is whole it is asked for. */
  draw: (part: Part, done: boolean) => void;
  /** Ask for what is drawn, as soon as the size of the picture is known. */
  ask: () => void;
}

/** From a drawn part of the picture to a search by it. */
export function useRegionDraft(
  found: Comparison,
  draft: Part | undefined,
  setDraft: (part: Part) => void,
  search: (part: Part) => void,
): Drawing {
  const [wanted, setWanted] = useState(false);
  const known = found.frame.data !== undefined && !found.frame.loading;
  // biome-ignore lint/correctness/useExhaustiveDependencies: once for each time that it is wanted
  useEffect(() => {
    if (!wanted || !known) return;
    setWanted(false);
    if (draft) search(draft);
  }, [wanted, known]);
  return {
    draw: (part, done) => {
      setDraft(part);
      if (done) setWanted(true);
    },
    ask: () => setWanted(true),
  };
}
