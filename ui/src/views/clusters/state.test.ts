import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type ClustersState,
  EMPTY,
  formatClusters,
  hrefOf,
  ORDERS,
  parseClusters,
  SORTS,
} from "./state";

const parsed = (query: string) => parseClusters(new URLSearchParams(query));

const number = fc.option(fc.integer({ min: -1, max: 99_999 }));
const word = fc.string({ unit: "grapheme" });
const state: fc.Arbitrary<ClustersState> = fc.record({
  run: word,
  cluster: number,
  against: word,
  from: number,
  to: number,
  order: fc.constantFrom(...ORDERS),
  find: word,
  sort: fc.constantFrom(...SORTS),
  item: word,
  wanted: fc.option(
    fc.record({
      method: word,
      name: word,
      count: word,
      encoder: word,
      filter: word,
      seed: word,
      options: fc.array(
        fc.tuple(
          word.filter((each) => each !== "" && !each.includes("=")),
          word,
        ),
        { maxLength: 3 },
      ),
    }),
  ),
  job: word,
});

describe("the address", () => {
  it("holds all of the state, whatever words are in it", () => {
    fc.assert(
      fc.property(state, (each) => {
        const address = formatClusters(each).toString();
        expect(parseClusters(new URLSearchParams(address))).toEqual(each);
      }),
    );
  });

  it("is empty where nothing was chosen", () => {
    expect(formatClusters(EMPTY).toString()).toBe("");
    expect(parsed("")).toEqual(EMPTY);
    expect(hrefOf({})).toBe("#/clusters");
  });

  it("names a cluster, noise among them, as links from elsewhere do", () => {
    expect(parsed("run=all&cluster=3")).toEqual({ ...EMPTY, run: "all", cluster: 3 });
    expect(parsed("run=all&cluster=-1").cluster).toBe(-1);
    expect(hrefOf({ run: "lines / first", cluster: 0 })).toBe(
      "#/clusters?run=lines+%2F+first&cluster=0",
    );
  });

  it("passes over what is no number, order or way to sort", () => {
    expect(parsed("run=all&cluster=-2&order=colour&sort=name&from=x")).toEqual({
      ...EMPTY,
      run: "all",
    });
  });
});
