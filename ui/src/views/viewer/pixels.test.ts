import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { DataSet } from "./dataset";
import { type Frame, framesOf } from "./frame";
import { decode, type Grey, robustRange, Undecodable } from "./pixels";

const us = (value: unknown) => ({ vr: "US", Value: [value] });

/** A header of one frame of so many pixels in a row. */
function header(pixels: number, said: DataSet = {}): DataSet {
  return {
    "00080016": { vr: "UI", Value: ["1.2.3"] },
    "00280002": us(1),
    "00280004": { vr: "CS", Value: ["MONOCHROME2"] },
    "00280010": us(1),
    "00280011": us(pixels),
    "00280100": us(16),
    "00280101": us(16),
    "00280102": us(15),
    "00280103": us(0),
    "00083002": { vr: "UI", Value: ["1.2.840.10008.1.2.1"] },
    "7FE00010": { vr: "OW" },
    ...said,
  };
}

function frameOf(ds: DataSet): Frame {
  const [frame] = framesOf(ds);
  if (!frame) throw new Error("no frame");
  return frame;
}

function grey(bytes: Uint8Array, ds: DataSet): Grey {
  const found = decode(bytes, frameOf(ds));
  if (found.kind !== "grey") throw new Error("it has colour");
  return found;
}

function rgb(bytes: number[], ds: DataSet): number[] {
  const found = decode(Uint8Array.from(bytes), frameOf(ds));
  return found.kind === "colour" ? [...found.rgb] : [];
}

const words = (values: number[]) =>
  new Uint8Array(Uint16Array.from(values, (value) => value & 0xffff).buffer);

const colour = (pixels: number, photometric: string, planar = 0) =>
  header(pixels, {
    "00280002": us(3),
    "00280004": { vr: "CS", Value: [photometric] },
    "00280006": us(planar),
    "00280100": us(8),
    "00280101": us(8),
    "00280102": us(7),
  });

describe("grey frames", () => {
  it("give back what was stored, of any number of bits, with or without a sign", () => {
    const stored = fc.integer({ min: 2, max: 16 }).chain((bits) =>
      fc.boolean().chain((signed) => {
        const least = signed ? -(2 ** (bits - 1)) : 0;
        const value = fc.integer({ min: least, max: least + 2 ** bits - 1 });
        return fc.record({
          bits: fc.constant(bits),
          signed: fc.constant(signed),
          values: fc.array(value, { minLength: 1, maxLength: 40 }),
          above: fc.integer({ min: 0, max: 0xffff }),
        });
      }),
    );
    fc.assert(
      fc.property(stored, ({ bits, signed, values, above }) => {
        const overlay = bits < 16 ? (above << bits) & 0xffff : 0;
        const bytes = words(values.map((value) => (value & (2 ** bits - 1)) | overlay));
        const ds = header(values.length, {
          "00280101": us(bits),
          "00280102": us(bits - 1),
          "00280103": us(signed ? 1 : 0),
        });
        const found = grey(bytes, ds);
        expect([...found.values]).toEqual(values);
        expect([found.low, found.high]).toEqual([Math.min(...values), Math.max(...values)]);
      }),
    );
  });

  it("lie in the high bits where the header says so", () => {
    const ds = header(2, { "00280101": us(12), "00280102": us(15) });
    expect([...grey(words([0x1230, 0xfff0]), ds).values]).toEqual([0x123, 0xfff]);
  });

  it("are rescaled to modality values, whole ones exactly", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 4095 }), { minLength: 1, maxLength: 30 }),
        fc.integer({ min: -2000, max: 2000 }),
        fc.constantFrom(1, 2, 0.5),
        (values, intercept, slope) => {
          const ds = header(values.length, {
            "00281052": { vr: "DS", Value: [intercept] },
            "00281053": { vr: "DS", Value: [slope] },
          });
          expect([...grey(words(values), ds).values]).toEqual(
            values.map((value) => value * slope + intercept),
          );
        },
      ),
    );
  });

  it("take no slope of zero", () => {
    const ds = header(2, {
      "00281052": { vr: "DS", Value: [5] },
      "00281053": { vr: "DS", Value: [0] },
    });
    expect([...grey(words([1, 2]), ds).values]).toEqual([1, 2]);
  });

  it("go through a table of the modality, whose ends hold beyond them", () => {
    const table = {
      "00283002": { vr: "US", Value: [3, 10, 16] },
      "00283006": { vr: "US", Value: [100, 200, 300] },
    };
    const ds = header(4, { "00283000": { vr: "SQ", Value: [table] } });
    expect([...grey(words([0, 10, 11, 99]), ds).values]).toEqual([100, 100, 200, 300]);
  });

  it("are shown through a table where there is no window", () => {
    const table = {
      "00283002": { vr: "US", Value: [2, 0, 8] },
      "00283006": { vr: "OW", InlineBinary: btoa("\u0000\u00ff") },
    };
    const ds = header(2, { "00283010": { vr: "SQ", Value: [table] } });
    const found = grey(words([1, 0]), ds);
    expect([...found.values]).toEqual([1, 0]);
    expect(found.range).toEqual([0, 1]);
  });

  it("show padding as the darkest of what is image", () => {
    const padded = { "00280120": us(9999) };
    const inverted = { "00280004": { vr: "CS", Value: ["MONOCHROME1"] } };
    expect([...grey(words([5, 9999, 7]), header(3, padded)).values]).toEqual([5, 5, 7]);
    expect([...grey(words([5, 9999, 7]), header(3, { ...padded, ...inverted })).values]).toEqual([
      5, 7, 7,
    ]);
  });

  it("of one bit have eight pixels in a byte, the first one lowest", () => {
    const ds = header(10, { "00280100": us(1), "00280101": us(1), "00280102": us(0) });
    const found = grey(Uint8Array.of(0b0000_0101, 0b10), ds);
    expect([...found.values]).toEqual([1, 0, 1, 0, 0, 0, 0, 0, 0, 1]);
  });

  it("of floating point numbers stay such", () => {
    const { "00280101": _, ...rest } = header(2, { "00280100": us(32) });
    const found = grey(new Uint8Array(Float32Array.of(0.25, -3).buffer), rest);
    expect([...found.values]).toEqual([0.25, -3]);
  });

  it("that end too early are not drawn", () => {
    expect(() => grey(words([1]), header(2))).toThrow(Undecodable);
  });
});

describe("colour", () => {
  const pixels = fc.array(fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255)), {
    minLength: 1,
    maxLength: 20,
  });

  it("is the same pixel by pixel and plane by plane", () => {
    fc.assert(
      fc.property(pixels, (all) => {
        const planes = [0, 1, 2].flatMap((at) => all.map((pixel) => pixel[at] ?? 0));
        expect(rgb(all.flat(), colour(all.length, "RGB"))).toEqual(all.flat());
        expect(rgb(planes, colour(all.length, "RGB", 1))).toEqual(all.flat());
      }),
    );
  });

  it("that the service has decoded is red, green, blue, whatever the header says", () => {
    const ds = {
      ...colour(2, "YBR_FULL_422", 1),
      "00083002": { vr: "UI", Value: ["1.2.840.10008.1.2.4.50"] },
    };
    expect(rgb([1, 2, 3, 4, 5, 6], ds)).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it("that is not compressed is as the header says, whatever its file's order of bytes", () => {
    const ds = {
      ...colour(2, "RGB", 1),
      "00083002": { vr: "UI", Value: ["1.2.840.10008.1.2.2"] },
    };
    expect(rgb([1, 4, 2, 5, 3, 6], ds)).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it("of brightness and two differences is turned into red, green, blue", () => {
    expect(rgb([76, 85, 255, 255, 128, 128], colour(2, "YBR_FULL"))).toEqual([
      254, 0, 0, 255, 255, 255,
    ]);
    expect(rgb([0, 255, 128, 128], colour(2, "YBR_FULL_422"))).toEqual([0, 0, 0, 255, 255, 255]);
  });

  it("comes from a palette", () => {
    const descriptor = { vr: "US", Value: [2, 0, 16] };
    const entry = (low: number, high: number) => ({
      vr: "OW",
      InlineBinary: btoa(String.fromCharCode(0, low, 0, high)),
    });
    const ds = header(2, {
      "00280004": { vr: "CS", Value: ["PALETTE COLOR"] },
      "00280100": us(8),
      "00280101": us(8),
      "00280102": us(7),
      "00281101": descriptor,
      "00281102": descriptor,
      "00281103": descriptor,
      "00281201": entry(10, 20),
      "00281202": entry(30, 40),
      "00281203": entry(50, 60),
    });
    expect(rgb([1, 0], ds)).toEqual([20, 40, 60, 10, 30, 50]);
  });
});

describe("the range of a frame without a window", () => {
  it("lies within its values, and is never empty", () => {
    const values = fc.array(fc.integer({ min: -3000, max: 3000 }), { minLength: 1 });
    fc.assert(
      fc.property(values, (each) => {
        const [low, high] = robustRange(each, new Set());
        expect(high).toBeGreaterThan(low);
        expect(low).toBeGreaterThanOrEqual(Math.min(...each));
        expect(high).toBeLessThanOrEqual(Math.max(...each) + 1e-6);
      }),
    );
  });
});
