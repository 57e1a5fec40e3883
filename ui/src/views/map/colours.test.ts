import { describe, expect, it } from "vitest";
import {
  categories,
  colouringOf,
  FADED,
  LIFTED,
  type MapLegend,
  MOST_ROWS,
  OTHER,
  type Rgb,
  ramp,
  rgb,
  STYLE_STEP,
  stylesOf,
  UNKNOWN,
} from "./colours";

const words = {
  other: (values: number) => `${values} others`,
  unknown: "unknown",
  value: (_: string, name: string) => name,
};

function legend(values: [string, number][], more: Partial<MapLegend> = {}): MapLegend {
  const told = values.map(([value, points]) => ({ value, name: value.toUpperCase(), points }));
  return {
    map: {} as MapLegend["map"],
    by: "field:modality",
    kind: "category",
    ordered: false,
    values: told,
    more: 0,
    more_points: 0,
    unknown: 0,
    tag: "",
    ...more,
  };
}

const packed = (codes: number[]): ArrayBuffer => new Uint16Array(codes).buffer;

describe("the rows of a legend", () => {
  it("are its values, then the rest, then what is not known", () => {
    const told = legend(
      [
        ["cr", 2],
        ["ct", 1],
      ],
      { more: 3, more_points: 4, unknown: 1 },
    ); // prettier-ignore
    const { rows, codes } = colouringOf(told, packed([1, 1, 2, 3, 0]), "dark", words);
    expect(rows.map((row) => [row.key, row.name, row.points])).toEqual([
      ["cr", "CR", 2],
      ["ct", "CT", 1],
      [OTHER, "3 others", 4],
      [UNKNOWN, "unknown", 1],
    ]);
    expect([...codes]).toEqual([0, 0, 1, 2, 3]);
  });

  it("are the largest alone where there are many", () => {
    const many = Array.from({ length: 30 }, (_, at): [string, number] => [`v${at}`, 30 - at]);
    const { rows, codes } = colouringOf(legend(many), packed([1, 20, 21, 30]), "dark", words);
    expect(rows.length).toBe(MOST_ROWS + 1);
    expect(rows.at(-1)).toMatchObject({ name: "10 others", points: 55 });
    expect([...codes]).toEqual([0, 19, 20, 20]);
  });

  it("are spans of what has an order, where there are many", () => {
    const years = Array.from({ length: 30 }, (_, at): [string, number] => [`${1990 + at}`, 1]);
    const told = legend(years, { ordered: true });
    const { rows, codes } = colouringOf(told, packed([1, 2, 3, 30]), "dark", words);
    expect(rows.length).toBe(15);
    expect(rows[0]).toMatchObject({ key: "1990–1991", points: 2 });
    expect([...codes]).toEqual([0, 0, 1, 14]);
  });

  it("are bounds of p-values, where NaN is not known", () => {
    const told = legend([], { kind: "number", ordered: true, unknown: 1 });
    const values = new Float32Array([0.005, 0.01, 0.04, 1, Number.NaN]);
    const { rows, codes } = colouringOf(told, values.buffer, "dark", words);
    expect(rows[0]).toMatchObject({ key: "0.01", name: "≤ 0.01" });
    expect([...codes]).toEqual([0, codes[1], 1, 4, 5]);
    expect(rows.at(-1)?.key).toBe(UNKNOWN);
  });
});

describe("the style of a point", () => {
  it("says whether it is shown, and how it stands out", () => {
    const codes = new Uint8Array([0, 1, 1, 1]);
    const lifted = new Uint8Array([0, 1, 0, 0]);
    const styles = stylesOf(codes, [false, true], (at) => at !== 3, lifted);
    expect([...styles]).toEqual([
      0,
      LIFTED * STYLE_STEP + 2,
      FADED * STYLE_STEP + 2,
      FADED * STYLE_STEP + 2,
    ]); // prettier-ignore
  });
});

// -- whether colours can be told apart

const linear = (part: number) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
const light = (colour: Rgb) => colour.map(linear);
const luminance = ([r = 0, g = 0, b = 0]: number[]) => 0.2126 * r + 0.7152 * g + 0.0722 * b;

function contrast(a: string, b: string): number {
  const [low = 0, high = 0] = [a, b]
    .map((each) => luminance(light(rgb(each))))
    .sort((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
}

const times = (matrix: number[][], [x = 0, y = 0, z = 0]: number[]) =>
  matrix.map(([a = 0, b = 0, c = 0]) => a * x + b * y + c * z);

function oklab(rgbLight: number[]): number[] {
  const cones = times(
    [
      [0.4122214708, 0.5363325363, 0.0514459929],
      [0.2119034982, 0.6806995451, 0.1073969566],
      [0.0883024619, 0.2817188376, 0.6299787005],
    ],
    rgbLight.map((part) => Math.min(1, Math.max(0, part))),
  ).map(Math.cbrt);
  return times(
    [
      [0.2104542553, 0.793617785, -0.0040720468],
      [1.9779984951, -2.428592205, 0.4505937099],
      [0.0259040371, 0.7827717662, -0.808675766],
    ],
    cones,
  );
}

/** As somebody sees who lacks red or green cones (Machado 2009, severity 1). */
const EYES: Record<string, number[][]> = {
  usual: [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
  ], // prettier-ignore
  protan: [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
  ],
  deutan: [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.01182, 0.04294, 0.968881],
  ],
};

function apart(a: string, b: string, eyes: number[][]): number {
  const [one, other] = [a, b].map((each) => oklab(times(eyes, light(rgb(each)))));
  return Math.hypot(...(one ?? []).map((part, at) => part - (other?.[at] ?? 0)));
}

describe.each([
  ["dark", "#06080a"],
  ["light", "#ffffff"],
] as const)("colours of the %s theme", (theme, ground) => {
  it("stand out from the ground", () => {
    for (const colour of [...categories(theme), ...ramp(theme, 5)])
      expect(contrast(colour, ground), colour).toBeGreaterThanOrEqual(3);
  });

  it.each(Object.keys(EYES))("are told apart by %s eyes, the first eight", (eyes) => {
    const first = categories(theme).slice(0, 8);
    for (const [at, a] of first.entries())
      for (const b of first.slice(at + 1))
        expect(apart(a, b, EYES[eyes] ?? []), `${a} ${b}`).toBeGreaterThan(0.12);
  });
});
