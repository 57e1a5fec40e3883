import { describe, expect, it } from "vitest";
import { ALL, isChosen, isNone, NONE, ranged, toggled } from "./selection";

const ORDER = ["a", "b", "c", "d", "e"];

describe("choosing members", () => {
  it("twice is not choosing", () => {
    const once = toggled(NONE, "b");
    expect(isChosen(once, "b")).toBe(true);
    expect(isNone(toggled(once, "b"))).toBe(true);
  });

  it("takes a range in either direction from the one touched last, and keeps the rest", () => {
    const from = toggled(toggled(NONE, "e"), "c");
    const back = ranged(from, "a", ORDER);
    expect([...back.ids].sort()).toEqual(["a", "b", "c", "e"]);
    expect([...ranged(back, "d", ORDER).ids].sort()).toEqual(ORDER);
  });

  it("begins with one where no range was begun", () => {
    expect([...ranged(NONE, "d", ORDER).ids]).toEqual(["d"]);
  });

  it("of all, one that is touched is the only one from then on", () => {
    expect(isChosen(ALL, "not loaded yet")).toBe(true);
    const one = toggled(ALL, "c");
    expect([one.all, [...one.ids]]).toEqual([false, ["c"]]);
  });
});
