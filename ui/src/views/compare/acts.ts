import { imageName } from "../../lib/names";
import { go } from "../../lib/route";
import { see } from "../search/names";
import { EMPTY, formatSearch } from "../search/state";
import type { Comparison } from "./comparison";
import { type Part, regionOn } from "./geometry";
import { AS_IS, type Look, type Pair } from "./look";
import type { Looks } from "./looking";
import { goneTo } from "./slices";
import { type CompareState, formatCompare, type Link, type Tab, withHit, withLeft } from "./state";

export type SideName = keyof Pair;

export function write(state: CompareState, how: "push" | "replace"): void {
  go({ view: "compare", params: formatCompare(state) }, how);
}

export type Acts = ReturnType<typeof actsOf>;

/** All that can be done, each of it as a change of the state. */
export function actsOf(
  state: CompareState,
  found: Comparison,
  setLooks: (change: (now: Looks) => Looks) => void,
  active: SideName,
) {
  const { search } = state;
  const linked = state.link !== "off";
  const change = (part: Partial<CompareState>, how: "push" | "replace" = "replace") =>
    write({ ...state, ...part }, how);
  const show = (id: string, how: "push" | "replace") => {
    if (id) write(withHit(state, id), how);
  };
  const look = (side: SideName, by: (look: Look) => Look) =>
    setLooks((now) =>
      linked ? { ours: by(now.ours), theirs: by(now.theirs) } : { ...now, [side]: by(now[side]) },
    );
  const slice = (side: SideName, by: number) =>
    setLooks((now) => {
      const here = found.stacks[side] > 1 ? side : side === "ours" ? "theirs" : "ours";
      return goneTo(now, found.stacks, here, found.slices[here] + by);
    });
  return {
    change,
    show,
    look,
    slice,
    step: (by: number) => {
      const { candidates, right } = found;
      const at = candidates.findIndex((each) => each.item.id === right);
      const next = at < 0 ? 0 : Math.min(candidates.length - 1, Math.max(0, at + by));
      show(candidates[next]?.item.id ?? "", "replace");
    },
    back: () => go({ view: "search", params: formatSearch(search) }),
    keep: () => {
      const { right } = found;
      const there = search.kept.includes(right);
      const kept = there ? search.kept.filter((id) => id !== right) : [...search.kept, right];
      if (right) change({ search: { ...search, kept, hit: right } });
    },
    pin: () => {
      if (state.left) write(withLeft(state, ""), "push");
      else if (found.right)
        write(withLeft({ ...state, search: { ...search, hit: "" } }, found.right), "push");
    },
    alone: () => {
      const { theirs } = found;
      if (!theirs) return;
      const value = theirs.study.study_instance_uid;
      see(value, { words: imageName(theirs.series), item: theirs.id });
      const parts = [{ kind: "uid" as const, value, weight: 1 }];
      go({ view: "search", params: formatSearch({ ...EMPTY, parts, kept: search.kept }) });
    },
    goThrough: (of: CompareState["of"]) =>
      change({ of, region: undefined, search: { ...search, hit: "" } }, "push"),
    link: (link: Link) => change({ link }),
    overlay: () => change({ overlay: !state.overlay }),
    all: () => change({ all: !state.all }),
    tab: (tab: Tab) => change({ tab }),
    toMatched: () =>
      setLooks((now) => ({
        ours: { ...now.ours, slice: found.matched?.query.slice ?? 0 },
        theirs: { ...now.theirs, slice: found.matched?.hit.slice ?? 0 },
      })),
    reset: () => setLooks(() => ({ ours: AS_IS, theirs: AS_IS })),
    whole: () => look(active, (now) => ({ ...now, zoom: 1, x: 0, y: 0 })),
    searchRegion: (part: Part) => {
      const frame = found.frame.data;
      if (!frame) return;
      const slice_ = found.stacks.ours > 1 ? found.slices.ours : undefined;
      const region = regionOn(part, frame, slice_);
      const next = withHit({ ...state, region, of: "hits" }, "");
      write(next, "push");
    },
    dropRegion: () => {
      if (state.region) change({ region: undefined, search: { ...search, hit: "" } }, "push");
    },
  };
}
