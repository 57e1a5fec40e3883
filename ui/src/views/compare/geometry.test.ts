import { describe, expect, it } from "vitest";
import { MIDDLE, nudged, partBetween, partOf, placeIn, regionOn } from "./geometry";
import { colourOf } from "./heat";
import { AS_IS } from "./look";

const frame = { rows: 600, columns: 500, aspect: 1 };
const box = { left: 100, top: 50, width: 200, height: 240 };

describe("a region", () => {
  it("is drawn from any corner to the other", () => {
    const drawn = { x: 0.25, y: 0.25, width: 0.5, height: 0.25 };
    expect(partBetween([0.25, 0.25], [0.75, 0.5])).toEqual(drawn);
    expect(partBetween([0.75, 0.25], [0.25, 0.5])).toEqual(drawn);
  });

  it("is found on the picture however that is turned", () => {
    expect(placeIn(box, AS_IS, 150, 110)).toEqual([0.25, 0.25]);
    expect(placeIn(box, { ...AS_IS, mirrored: true, upside: true }, 150, 110)).toEqual([
      0.75, 0.75,
    ]);
    expect(placeIn(box, AS_IS, 0, 9999)).toEqual([0, 1]);
  });

  it("is told in whole pixels that the frame has", () => {
    const region = regionOn({ x: 0.5, y: 0.5, width: 0.2, height: 0.1 }, frame, 7);
    expect(region).toEqual({ x: 250, y: 300, width: 100, height: 60, slice: 7 });
    expect(partOf(region, frame)).toEqual({ x: 0.5, y: 0.5, width: 0.2, height: 0.1 });
    expect(regionOn({ x: 1, y: 1, width: 0, height: 0 }, frame, undefined)).toMatchObject({
      x: 499,
      y: 599,
      width: 1,
      height: 1,
    });
  });

  it("moves and grows within the picture", () => {
    expect(nudged(MIDDLE, 9, -9, false)).toEqual({ ...MIDDLE, x: 0.75, y: 0 });
    expect(nudged(MIDDLE, 9, -9, true)).toEqual({ ...MIDDLE, width: 0.625, height: 0.02 });
  });
});

describe("colour", () => {
  it("lies where it is alike and nowhere else", () => {
    expect(colourOf(0.2, 0.25, 0.8)[3]).toBe(0);
    expect(colourOf(null, 0.25, 0.8)[3]).toBe(0);
    expect(colourOf(0.9, 0.25, 0.8)).toEqual([240, 190, 96, 140]);
    expect(colourOf(0.525, 0.25, 0.8).slice(0, 3)).toEqual([64, 150, 160]);
  });
});
