import { describe, expect, it } from "vitest";
import type { ComparedRuns } from "../../api/clusters";
import { bare, flowsOf, namesOf, newOnes } from "./flows";

const told: ComparedRuns = {
  first: "one",
  second: "two",
  items: 105,
  only_first: 0,
  only_second: 0,
  ari: 0.8,
  nmi: 0.7,
  moved: 15,
  clusters: [
    {
      first: "0 3 views",
      second: "1 heads",
      match: { first: 0, second: 1, shared: 50, jaccard: 0.8 },
    },
    { first: "1 hands", second: null, match: { first: 1, second: null, shared: 0, jaccard: 0 } },
    { first: null, second: "0 feet", match: { first: null, second: 0, shared: 0, jaccard: 0 } },
  ],
  confusion: [
    [-1, -1, 40],
    [0, 0, 10],
    [0, 1, 50],
    [1, 1, 5],
  ],
};

describe("two clusterings beside each other", () => {
  it("tell of each cluster where its items went, the match first, noise last", () => {
    const flows = flowsOf(told);
    expect(flows.map(({ from, items }) => [from, items])).toEqual([
      [0, 60],
      [1, 5],
      [-1, 40],
    ]);
    expect(flows[0]?.parts).toEqual([
      { to: 1, items: 50, matched: true },
      { to: 0, items: 10, matched: false },
    ]);
    expect(flows[1]?.parts[0]?.matched).toBe(false);
    expect(flows[2]?.parts[0]?.matched).toBe(true);
  });

  it("have names without their numbers, and clusters that are new", () => {
    const [first, second] = namesOf(told);
    expect(first.get(0)).toBe("3 views");
    expect(second.get(1)).toBe("heads");
    expect(bare("12")).toBe("");
    expect(newOnes(told)).toEqual([0]);
  });
});
