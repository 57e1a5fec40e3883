import type { Schemas } from "../../api/client";
import type { Theme } from "../../lib/settings";

export type MapLegend = Schemas["MapLegend"];
export type Rgb = readonly [r: number, g: number, b: number];

/** A line of the legend; points have its number, from zero. */
export interface Row {
  /** By which the address knows it. */
  key: string;
  name: string;
  points: number;
  colour: string;
}

export interface Colouring {
  rows: Row[];
  /** The row of each point. */
  codes: Uint8Array;
}

/** Values that have a colour of their own. */
export const MOST_ROWS = 20;
export const OTHER = "~other";
export const UNKNOWN = "~unknown";
export const ALL = "~all";

/**
 * The first eight are told apart also by those who do not see red or green; of more, no set of
 * colours would be: there the legend, pointing and names tell what is what.
 */
const CATEGORIES: Record<Theme, readonly string[]> = {
  dark: [
    "#4fb3ff",
    "#ff9800",
    "#00d7b0",
    "#f9f43b",
    "#b15794",
    "#db461d",
    "#5d6cff",
    "#cafeff",
    "#a6761d",
    "#7fd46a",
    "#ffb8a3",
    "#a98be0",
    "#3f9fa8",
    "#ffd9a0",
    "#c2496b",
    "#8fa8c8",
    "#b5b84a",
    "#f2a8e4",
    "#5f93c9",
    "#c58f6d",
  ],
  light: [
    "#0099db",
    "#e17600",
    "#004f65",
    "#7d2300",
    "#d45b89",
    "#ac4d00",
    "#3225f8",
    "#1a0a31",
    "#8a6412",
    "#3f8a28",
    "#d1624a",
    "#7a55c2",
    "#1f7d86",
    "#94703a",
    "#9c1f48",
    "#56749c",
    "#71741a",
    "#a54c9c",
    "#2a5f96",
    "#8c5a3a",
  ],
};
const RAMP: Record<Theme, readonly [string, ...string[]]> = {
  dark: ["#4a74b8", "#5f9cb8", "#86b895", "#c4cf68", "#ffe14a"],
  light: ["#7f90c0", "#5f83b0", "#3f6f96", "#1f4f78", "#00204c"],
};
const REST: Record<Theme, { other: string; unknown: string }> = {
  dark: { other: "#8b97a3", unknown: "#5d6975" },
  light: { other: "#6d7881", unknown: "#98a3ac" },
};

/** What points lie on, as `map.css` has it. */
export const GROUND: Record<Theme, string> = { dark: "#06080a", light: "#ffffff" };

/** Bounds of p-values, and what lies up to each; the smallest are the most unlike. */
export const P_BOUNDS = [0.01, 0.05, 0.2, 0.5, 1] as const;

export const rgb = (hex: string): Rgb => {
  const value = Number.parseInt(hex.slice(1), 16);
  return [(value >> 16) / 255, ((value >> 8) & 255) / 255, (value & 255) / 255];
};

const hex = (colour: Rgb): string =>
  `#${colour
    .map((part) =>
      Math.round(part * 255)
        .toString(16)
        .padStart(2, "0"),
    )
    .join("")}`;

/** `n` colours along the ramp of a theme, from little to much. */
export function ramp(theme: Theme, n: number): string[] {
  const stops = RAMP[theme].map(rgb);
  return Array.from({ length: n }, (_, at) => {
    const place = n > 1 ? (at / (n - 1)) * (stops.length - 1) : stops.length - 1;
    const low = stops[Math.floor(place)] ?? [0, 0, 0];
    const high = stops[Math.ceil(place)] ?? low;
    const share = place - Math.floor(place);
    return hex([0, 1, 2].map((i) => mix(low[i], high[i], share)) as unknown as Rgb);
  });
}

const mix = (a = 0, b = 0, share = 0): number => a + (b - a) * share;

export const categories = (theme: Theme): readonly string[] => CATEGORIES[theme];

/** Everything in one colour. */
export function plainColouring(points: number, name: string, accent: string): Colouring {
  return { rows: [{ key: ALL, name, points, colour: accent }], codes: new Uint8Array(points) };
}

interface Words {
  other: (values: number) => string;
  unknown: string;
  value: (value: string, name: string) => string;
}

/** Rows for what the service told: at most `MOST_ROWS` values, the rest, what is not known. */
export function colouringOf(
  legend: MapLegend,
  packed: ArrayBuffer,
  theme: Theme,
  words: Words,
): Colouring {
  if (legend.kind === "number") return ofNumbers(new Float32Array(packed), theme, words);
  const codes = new Uint16Array(packed);
  const groups = legend.ordered ? spans(legend, words) : largest(legend, words);
  const colours = legend.ordered ? ramp(theme, groups.length) : categories(theme);
  const rows: Row[] = groups.map(({ key, name, points }, at) => ({
    key,
    name,
    points,
    colour: colours[at] ?? REST[theme].other,
  }));
  const rest = legend.values.slice(groups.reduce((sum, group) => sum + group.values, 0));
  const others = rest.reduce((sum, each) => sum + each.points, legend.more_points);
  const rowOf = new Uint8Array(legend.values.length + 2);
  let value = 1;
  groups.forEach((group, row) => {
    for (let n = 0; n < group.values; n += 1) rowOf[value++] = row;
  });
  if (others) {
    rowOf.fill(rows.length, value);
    const name = words.other(rest.length + legend.more);
    rows.push({ key: OTHER, name, points: others, colour: REST[theme].other });
  }
  if (legend.unknown) {
    rowOf[0] = rows.length;
    rows.push(unknownRow(legend.unknown, theme, words));
  }
  return { rows, codes: Uint8Array.from(codes, (code) => rowOf[code] ?? 0) };
}

const unknownRow = (points: number, theme: Theme, words: Words): Row => ({
  key: UNKNOWN,
  name: words.unknown,
  points,
  colour: REST[theme].unknown,
});

interface Group {
  key: string;
  name: string;
  points: number;
  /** How many values of the legend it is of. */
  values: number;
}

function largest(legend: MapLegend, words: Words): Group[] {
  return legend.values.slice(0, MOST_ROWS).map(({ value, name, points }) => ({
    key: value,
    name: words.value(value, name),
    points,
    values: 1,
  }));
}

/** Neighbours together where there are more values than colours. */
function spans(legend: MapLegend, words: Words): Group[] {
  const size = Math.ceil(legend.values.length / MOST_ROWS);
  const groups: Group[] = [];
  for (let at = 0; at < legend.values.length; at += size) {
    const own = legend.values.slice(at, at + size);
    const [first, last] = [own[0]?.value ?? "", own.at(-1)?.value ?? ""];
    const key = first === last ? first : `${first}–${last}`;
    const points = own.reduce((sum, each) => sum + each.points, 0);
    groups.push({ key, name: words.value(key, key), points, values: own.length });
  }
  return groups;
}

function ofNumbers(values: Float32Array, theme: Theme, words: Words): Colouring {
  const colours = ramp(theme, P_BOUNDS.length).reverse();
  const counts = new Array<number>(P_BOUNDS.length + 1).fill(0);
  const codes = Uint8Array.from(values, (value) => {
    const found = P_BOUNDS.findIndex((bound) => value <= bound);
    const row = found < 0 ? P_BOUNDS.length : found;
    counts[row] = (counts[row] ?? 0) + 1;
    return row;
  });
  const rows: Row[] = P_BOUNDS.map((bound, at) => ({
    key: String(bound),
    name: at ? `${P_BOUNDS[at - 1]} – ${bound}` : `≤ ${bound}`,
    points: counts[at] ?? 0,
    colour: colours[at] ?? "",
  }));
  const unknown = counts.at(-1) ?? 0;
  if (unknown) rows.push(unknownRow(unknown, theme, words));
  return { rows, codes };
}

/** How a point is drawn; the painters know these numbers. */
export const FADED = 1;
export const LIFTED = 2;
/** Rows for which there is place between two of these. */
export const STYLE_STEP = 32;
export const HIDDEN = 0;

/** The style of each point: 0 is not drawn, else its row and one, and how it stands out. */
export function stylesOf(
  codes: Uint8Array,
  shown: readonly boolean[],
  passes: (at: number) => boolean,
  lifted: Uint8Array | null,
): Uint8Array {
  const styles = new Uint8Array(codes.length);
  for (let at = 0; at < codes.length; at += 1) {
    const row = codes[at] ?? 0;
    if (!shown[row]) continue;
    const out = !passes(at) ? FADED : lifted === null ? 0 : lifted[at] ? LIFTED : FADED;
    styles[at] = out * STYLE_STEP + row + 1;
  }
  return styles;
}
