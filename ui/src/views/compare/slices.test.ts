import { describe, expect, it } from "vitest";
import { AS_IS } from "./look";
import { goneTo, type Stacks, shownSlices } from "./slices";

const asIs = { ours: AS_IS, theirs: AS_IS };
const stacks: Stacks = { ours: 30, theirs: 60, pair: { ours: 10, theirs: 40 }, link: "match" };

describe("slices of two volumes", () => {
  it("begin where they match, else in the middle", () => {
    expect(shownSlices(asIs, stacks)).toEqual({ ours: 10, theirs: 40 });
    expect(shownSlices(asIs, { ...stacks, pair: undefined })).toEqual({ ours: 15, theirs: 30 });
  });

  it("go together by the match, by position, or not at all", () => {
    expect(shownSlices(goneTo(asIs, stacks, "ours", 30), stacks)).toEqual({ ours: 30, theirs: 60 });
    const byPosition: Stacks = { ...stacks, link: "position" };
    expect(shownSlices(goneTo(asIs, byPosition, "theirs", 1), byPosition)).toEqual({
      ours: 1,
      theirs: 1,
    });
    const off: Stacks = { ...stacks, link: "off" };
    expect(shownSlices(goneTo(asIs, off, "ours", 11), off)).toEqual({ ours: 11, theirs: 40 });
  });

  it("stay among those that there are", () => {
    expect(shownSlices(goneTo(asIs, stacks, "ours", 99), stacks).ours).toBe(30);
    expect(shownSlices({ ours: { ...AS_IS, slice: 500 }, theirs: AS_IS }, stacks).ours).toBe(30);
  });

  it("step by one on the longer side, too", () => {
    const there = goneTo(goneTo(asIs, stacks, "theirs", 41), stacks, "theirs", 42);
    expect(shownSlices(there, stacks).theirs).toBe(42);
  });
});
