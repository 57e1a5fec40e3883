import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { DataSet } from "./dataset";
import { lengthOf, moved, rangeOf, windowBetween } from "./measure";
import { edges, letters, stackOf } from "./stack";

const AXIAL = [1, 0, 0, 0, 1, 0];

function slice(uid: string, said: DataSet = {}): DataSet {
  return {
    "00080018": { vr: "UI", Value: [uid] },
    "00080060": { vr: "CS", Value: ["CT"] },
    "00280010": { vr: "US", Value: [4] },
    "00280011": { vr: "US", Value: [4] },
    "00280030": { vr: "DS", Value: [2, 1] },
    "7FE00010": { vr: "OW" },
    ...said,
  };
}

const lying = (z: number, number: number): DataSet =>
  slice(`1.${number}`, {
    "00200032": { vr: "DS", Value: [0, 0, z] },
    "00200037": { vr: "DS", Value: AXIAL },
    "00200013": { vr: "IS", Value: [number] },
  });

const [frame] = stackOf([lying(0, 1)], undefined).frames;

describe("the order of a series", () => {
  it("is that of space, whatever the order and the numbers of its files", () => {
    const places = fc.uniqueArray(fc.integer({ min: -500, max: 500 }), { minLength: 2 });
    fc.assert(
      fc.property(places, (each) => {
        const { frames } = stackOf(
          each.map((z, at) => lying(z, at)),
          undefined,
        );
        expect(frames.map(({ position }) => position[2])).toEqual([...each].sort((a, b) => a - b));
      }),
    );
  });

  it("is that of numbers where slices do not lie in parallel", () => {
    const other = { ...lying(-9, 3), "00200037": { vr: "DS", Value: [0, 1, 0, 0, 0, -1] } };
    const { frames } = stackOf([other, lying(5, 2), lying(8, 1)], undefined);
    expect(frames.map(({ instanceNumber }) => instanceNumber)).toEqual([1, 2, 3]);
  });

  it("of one instance of many frames that moves is time", () => {
    const moving = {
      "00080060": { vr: "CS", Value: ["US"] },
      "00280008": { vr: "IS", Value: ["3"] },
    };
    const stack = stackOf([slice("1", moving)], 30);
    expect(stack.frames.map(({ number }) => number)).toEqual([1, 2, 3]);
    expect([stack.cine, stack.rate]).toEqual([true, 30]);
  });

  it("leaves out what has no pixels", () => {
    const { "7FE00010": _, ...words } = slice("1");
    expect(stackOf([words], undefined).frames).toEqual([]);
  });

  it("finds what is said of one frame alone before what is said of all", () => {
    const group = (center: number) => ({
      "00289132": { vr: "SQ", Value: [{ "00281050": { vr: "DS", Value: [center] } }] },
    });
    const ds = slice("1", {
      "00280008": { vr: "IS", Value: [2] },
      "00281051": { vr: "DS", Value: [100] },
      "52009230": { vr: "SQ", Value: [group(1), {}] },
      "52009229": { vr: "SQ", Value: [group(9)] },
    });
    const centers = stackOf([ds], undefined).frames.map(({ window }) => window?.center);
    expect(centers).toEqual([1, 9]);
  });
});

describe("letters at the edges", () => {
  it("say where the patient's sides are, also when turned round", () => {
    if (!frame) throw new Error("no frame");
    const straight = { left: "R", right: "L", top: "A", bottom: "P" };
    expect(edges(frame, { across: false, down: false })).toEqual(straight);
    expect(edges(frame, { across: true, down: false })).toMatchObject({ left: "L", right: "R" });
    expect(letters([0.7, 0, -0.7])).toBe("LF");
    expect(letters([])).toBe("");
  });
});

describe("lengths", () => {
  it("are millimetres where pixels have a size, in both directions", () => {
    if (!frame) throw new Error("no frame");
    expect(
      lengthOf(
        [
          [0, 0],
          [3, 2],
        ],
        frame,
      ),
    ).toEqual({ length: 5, unit: "mm" });
  });

  it("are those of the region of an ultrasound picture that the line lies in", () => {
    if (!frame) throw new Error("no frame");
    const region = { left: 0, top: 0, right: 9, bottom: 9, x: 0.5, y: 0.5 };
    const spacing = { row: 1, column: 1, unit: "pixel" as const };
    const scanned = { ...frame, regions: [region], spacing };
    expect(
      lengthOf(
        [
          [0, 0],
          [6, 8],
        ],
        scanned,
      ),
    ).toEqual({ length: 5, unit: "mm" });
    expect(
      lengthOf(
        [
          [0, 0],
          [60, 80],
        ],
        scanned,
      ),
    ).toEqual({ length: 100, unit: "pixel" });
  });
});

describe("windows", () => {
  it("are ranges, and ranges windows", () => {
    expect(rangeOf({ center: 40, width: 400 })).toEqual([-160, 239]);
    const pair = fc.tuple(fc.integer(), fc.integer()).filter(([low, high]) => low < high);
    fc.assert(
      fc.property(pair, (each) => {
        expect(rangeOf(windowBetween(each), "LINEAR_EXACT")).toEqual(each);
      }),
    );
  });

  it("stay windows, however far somebody drags", () => {
    const far = fc.integer({ min: -3000, max: 3000 });
    fc.assert(
      fc.property(far, far, (dx, dy) => {
        const { center, width } = moved({ center: 40, width: 400 }, dx, dy);
        expect(width).toBeGreaterThan(0);
        expect(Number.isFinite(center)).toBe(true);
      }),
    );
  });
});
