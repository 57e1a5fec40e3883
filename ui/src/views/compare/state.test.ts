import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { EMPTY, type Part } from "../search/state";
import { AS_IS, follow, formatLook, type Look, MOST_ZOOM, moved, parseLook, zoomed } from "./look";
import { type CompareState, formatCompare, parseCompare, withHit } from "./state";

const parsed = (query: string) => parseCompare(new URLSearchParams(query));

const place = (least: number, most: number) =>
  fc.integer({ min: Math.ceil(least * 1000), max: Math.floor(most * 1000) }).map((n) => n / 1000);
const look: fc.Arbitrary<Look> = fc
  .record({
    slice: fc.integer({ min: 0, max: 900 }),
    window: fc.option(
      fc.record({
        center: fc.integer({ min: -3000, max: 3000 }),
        width: fc.integer({ min: 1, max: 9000 }),
      }),
      { nil: undefined },
    ),
    light: fc.record({ brightness: place(0.1, 2), contrast: place(0.1, 3) }),
    zoom: place(1, MOST_ZOOM),
    mirrored: fc.boolean(),
    upside: fc.boolean(),
  })
  .chain((rest) =>
    fc.record({
      ...Object.fromEntries(Object.entries(rest).map(([k, v]) => [k, fc.constant(v)])),
      x: place(-0.5, 0.5),
      y: place(-0.5, 0.5),
    }),
  )
  .map((each) => ({ ...AS_IS, ...each }));
const pixels = fc.integer({ min: 1, max: 5000 });
const state: fc.Arbitrary<CompareState> = fc.record({
  search: fc
    .record({
      parts: fc.constant<Part[]>([{ kind: "uid", value: "1.2.3", weight: 1 }]),
      hit: fc.constantFrom("", "k5txw2r4n7"),
      kept: fc.array(fc.constantFrom("a", "b"), { maxLength: 2 }),
    })
    .map((some) => ({ ...EMPTY, ...some })),
  left: fc.constantFrom("", "k5txw2r4n7"),
  of: fc.constantFrom("hits" as const, "kept" as const),
  region: fc.option(
    fc.record({
      x: pixels,
      y: pixels,
      width: pixels,
      height: pixels,
      slice: fc.option(pixels, { nil: undefined }),
    }),
    { nil: undefined },
  ),
  link: fc.constantFrom("match" as const, "position" as const, "off" as const),
  overlay: fc.boolean(),
  all: fc.boolean(),
  tab: fc.constantFrom("both" as const, "ours" as const, "theirs" as const),
  ours: look,
  theirs: look,
});

describe("the address", () => {
  it("holds all of the state", () => {
    fc.assert(
      fc.property(state, (each) => {
        const address = formatCompare(each).toString();
        expect(parseCompare(new URLSearchParams(address))).toEqual(each);
      }),
    );
  });

  it("is that of the search with nothing added, where nothing was changed", () => {
    expect(formatCompare(parsed("study=1.2.3&hit=k5")).toString()).toBe("study=1.2.3&hit=k5");
  });

  it("tells a region in pixels, of a volume with its slice", () => {
    expect(parsed("box=420,310,120,90").region).toEqual({
      x: 420,
      y: 310,
      width: 120,
      height: 90,
      slice: undefined,
    });
    expect(parsed("box=1,2,3,4,17").region?.slice).toBe(17);
  });

  it.each(["box=1,2", "box=a,b,c,d", "box=1,2,0,4", "box=1,2,3,4,0", "box=-1,2,3,4"])(
    "takes what is no region for none: %s",
    (query) => expect(parsed(query).region).toBeUndefined(),
  );

  it.each(["z0/0/0", "z99/9/9", "w40/0", "s-3", "lx/y", "q,,"])(
    "takes what is wrong in a look for what is usual: %s",
    (said) => {
      const { zoom, slice, window, light } = parseLook(said);
      expect(zoom).toBeGreaterThanOrEqual(1);
      expect(zoom).toBeLessThanOrEqual(MOST_ZOOM);
      expect([slice, window]).toEqual([0, undefined]);
      expect(light.brightness).toBeGreaterThanOrEqual(0.1);
    },
  );

  it("says nothing of a look as it is", () => {
    expect(formatLook(AS_IS)).toBe("");
    expect(formatLook({ ...AS_IS, slice: 3, zoom: 2, mirrored: true })).toBe("s3,z2/0/0,m");
  });
});

describe("looking", () => {
  it("keeps what is under the pointer where it is when it comes closer", () => {
    const there = zoomed(AS_IS, 2, 0.25, -0.25);
    // A place at p of the picture is seen at x + zoom * p.
    expect(there.x + there.zoom * 0.25).toBeCloseTo(0.25);
    expect(there.y - there.zoom * 0.25).toBeCloseTo(-0.25);
    expect(zoomed(there, 0.01)).toEqual(AS_IS);
  });

  it("never moves the picture out of sight", () => {
    expect(moved(AS_IS, 9, -9)).toMatchObject({ x: 0.5, y: -0.5 });
  });

  it("keeps zoom and window from hit to hit, and begins at the slice of each", () => {
    const before = parsed("study=1.2.3&hit=a&a=s4,z2/0/0&b=s9,w40/400");
    const { search, ours, theirs } = withHit(before, "b");
    expect([search.hit, ours.slice, ours.zoom, theirs.slice, theirs.window?.width]).toEqual([
      "b",
      0,
      2,
      0,
      400,
    ]);
  });
});

describe("slices that belong together", () => {
  it("are the first and the first, the last and the last", () => {
    expect([follow(1, 30, 60), follow(30, 30, 60), follow(15, 30, 60)]).toEqual([1, 60, 29]);
    expect(follow(1, 1, 60)).toBe(60);
  });

  it("are the matched ones, and what lies beside them", () => {
    expect(follow(10, 30, 60, [10, 40])).toBe(40);
    expect([follow(1, 30, 60, [10, 40]), follow(30, 30, 60, [10, 40])]).toEqual([1, 60]);
  });

  it("are always there, and never go back", () => {
    const count = fc.integer({ min: 1, max: 400 });
    fc.assert(
      fc.property(count, count, fc.nat(), fc.nat(), (from, to, a, b) => {
        const pair: [number, number] = [1 + (a % from), 1 + (b % to)];
        const found = Array.from({ length: from }, (_, at) => follow(at + 1, from, to, pair));
        expect(found.every((each) => each >= 1 && each <= to)).toBe(true);
        expect([...found].sort((x, y) => x - y)).toEqual(found);
      }),
    );
  });
});
