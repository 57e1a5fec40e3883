import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  alone,
  EMPTY,
  formatMap,
  isShown,
  type MapState,
  parseMap,
  rounded,
  toggled,
} from "./state";

const word = fc.string({ minLength: 1, unit: "grapheme" });
const coordinate = fc
  .float({ noNaN: true, noDefaultInfinity: true, min: -1000, max: 1000 })
  .map((value) => rounded(value) + 0);
const keys = fc.array(word, { maxLength: 4 });
const state: fc.Arbitrary<MapState> = fc.record({
  encoder: fc.string(),
  version: fc.option(fc.integer({ min: 1, max: 99 })),
  colour: fc.oneof(
    fc.constant(""),
    fc.constant("none"),
    word.map((name) => `cluster:${name}`),
  ),
  filter: fc.string(),
  since: fc.constantFrom("", "2026-01-31T10:00:00.000Z"),
  legend: fc
    .record({ only: fc.boolean(), keys })
    .map(({ only, keys }) => ({ only: only && keys.length > 0, keys })),
  lasso: fc
    .array(fc.tuple(coordinate, coordinate), { maxLength: 20 })
    .map((corners) => (corners.length < 3 ? [] : corners)),
  item: fc.string(),
  camera: fc.option(
    fc.record({
      x: coordinate,
      y: coordinate,
      zoom: fc.integer({ min: 1, max: 999 }).map((n) => n / 10),
    }),
  ),
});

describe("the address of the map", () => {
  it("holds all of the state", () => {
    fc.assert(
      fc.property(state, (each) => {
        const address = formatMap(each).toString();
        expect(parseMap(new URLSearchParams(address))).toEqual(each);
      }),
    );
  });

  it("is empty for the whole map", () => {
    expect(formatMap(EMPTY).toString()).toBe("");
    expect(parseMap(new URLSearchParams(""))).toEqual(EMPTY);
  });

  it.each(["lasso=1,2;3,4", "lasso=1,2;3;4,5", "at=1,2", "at=1,2,0", "version=-1", "since=soon"])(
    "says %s in vain: it is as if nothing was said",
    (said) => {
      expect(parseMap(new URLSearchParams(said))).toEqual(EMPTY);
    },
  );
});

describe("the legend", () => {
  const all = EMPTY.legend;

  it("hides what is clicked, and shows it again", () => {
    const hidden = toggled(all, "CR");
    expect([isShown(hidden, "CR"), isShown(hidden, "CT")]).toEqual([false, true]);
    expect(toggled(hidden, "CR")).toEqual(all);
  });

  it("shows one alone, with others beside it, and all again", () => {
    const one = alone(all, "CR");
    expect([isShown(one, "CR"), isShown(one, "CT")]).toEqual([true, false]);
    const two = toggled(one, "CT");
    expect(isShown(two, "CT")).toBe(true);
    expect(alone(one, "CR")).toEqual(all);
    expect(toggled(one, "CR")).toEqual(all);
  });
});
