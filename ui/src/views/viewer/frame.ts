import { bytesOf, type DataSet, groupsOf, itemsOf, numberOf, numbersOf, textOf } from "./dataset";

/** How stored values lie in the bytes of a frame. */
export interface Layout {
  rows: number;
  columns: number;
  samples: number;
  photometric: string;
  planar: boolean;
  bitsAllocated: number;
  bitsStored: number;
  highBit: number;
  signed: boolean;
  /** Pixels are floating point numbers. */
  float: boolean;
  /** The service decoded it: colour is RGB, bits lie where they belong. */
  decoded: boolean;
}

/** A table from values to values: the first value that it maps, and what it maps to. */
export interface Table {
  first: number;
  entries: ArrayLike<number>;
  /** Of an entry, in bits. */
  bits: number;
}

/** What is shown between black and white. */
export interface Window {
  center: number;
  width: number;
}

/** The window of a file, with the name of its function: LINEAR, LINEAR_EXACT or SIGMOID. */
export interface FileWindow extends Window {
  kind: string;
}

/** How long a pixel is: in millimetres, or merely its shape. */
export interface Spacing {
  row: number;
  column: number;
  unit: "mm" | "detector" | "pixel";
}

/** Part of an ultrasound picture with a scale of its own. */
export interface Region {
  left: number;
  top: number;
  right: number;
  bottom: number;
  /** Millimetres of a pixel. */
  x: number;
  y: number;
}

/** One frame of an instance, with all that showing it needs. */
export interface Frame {
  study: string;
  series: string;
  instance: string;
  /** From one. */
  number: number;
  modality: string;
  layout: Layout;
  slope: number;
  intercept: number;
  modalityTable: Table | undefined;
  window: FileWindow | undefined;
  windowTable: Table | undefined;
  /** Low values are shown bright. */
  inverted: boolean;
  padding: [number, number] | undefined;
  palette: Table[] | undefined;
  spacing: Spacing;
  regions: Region[];
  position: number[];
  orientation: number[];
  instanceNumber: number;
}

/** Syntaxes of frames that are not compressed: the service hands them on as the header has them. */
const IN_PLACE = new Set([
  "1.2.840.10008.1.2",
  "1.2.840.10008.1.2.1",
  "1.2.840.10008.1.2.1.99",
  "1.2.840.10008.1.2.2",
]);
const CENTIMETRES = 3;

/** The frames of an instance in their order; none where it has no pixels. */
export function framesOf(ds: DataSet): Frame[] {
  const root = [ds];
  const rows = numberOf(root, "00280010") ?? 0;
  const columns = numberOf(root, "00280011") ?? 0;
  if (!ds["7FE00010"] || rows < 1 || columns < 1) return [];
  const layout = layoutOf(ds, rows, columns);
  const count = Math.max(1, numberOf(root, "00280008") ?? 1);
  const palette = layout.photometric === "PALETTE COLOR" ? paletteOf(ds) : undefined;
  const modalityTable = tableOf(itemsOf(ds, "00283000")[0]);
  return Array.from({ length: count }, (_, at) =>
    frameOf(ds, at, { layout, palette, modalityTable }),
  );
}

function frameOf(
  ds: DataSet,
  at: number,
  shared: Pick<Frame, "layout" | "palette" | "modalityTable">,
): Frame {
  const groups = groupsOf(ds, at);
  const slope = numberOf(groups, "00281053");
  const window = windowOf(groups);
  const voi = groups.flatMap((group) => itemsOf(group, "00283010"))[0];
  return {
    ...shared,
    study: textOf([ds], "0020000D"),
    series: textOf([ds], "0020000E"),
    instance: textOf([ds], "00080018"),
    number: at + 1,
    modality: textOf([ds], "00080060"),
    slope: slope || 1,
    intercept: slope === 0 ? 0 : (numberOf(groups, "00281052") ?? 0),
    window,
    windowTable: window ? undefined : tableOf(voi),
    inverted: invertedOf(ds),
    padding: paddingOf(ds, shared.layout),
    spacing: spacingOf(groups),
    regions: regionsOf(ds),
    position: numbersOf(groups, "00200032"),
    orientation: numbersOf(groups, "00200037"),
    instanceNumber: numberOf([ds], "00200013") ?? 0,
  };
}

function layoutOf(ds: DataSet, rows: number, columns: number): Layout {
  const root = [ds];
  const allocated = numberOf(root, "00280100") ?? 16;
  const said = numberOf(root, "00280101");
  const stored = said !== undefined && said >= 1 && said <= allocated ? said : allocated;
  return {
    rows,
    columns,
    samples: numberOf(root, "00280002") ?? 1,
    photometric: textOf(root, "00280004").toUpperCase(),
    planar: numberOf(root, "00280006") === 1,
    bitsAllocated: allocated,
    bitsStored: stored,
    highBit: (stored === said ? numberOf(root, "00280102") : undefined) ?? stored - 1,
    signed: numberOf(root, "00280103") === 1,
    // Objects of floating point numbers do not say how many bits are stored.
    float: allocated >= 32 && said === undefined,
    decoded: !IN_PLACE.has(textOf(root, "00083002") || "1.2.840.10008.1.2"),
  };
}

function windowOf(groups: readonly DataSet[]): FileWindow | undefined {
  const center = numberOf(groups, "00281050");
  const width = numberOf(groups, "00281051");
  const kind = textOf(groups, "00281056").toUpperCase() || "LINEAR";
  if (center === undefined || width === undefined) return undefined;
  return width >= (kind === "LINEAR" ? 1 : 1e-9) ? { center, width, kind } : undefined;
}

function invertedOf(ds: DataSet): boolean {
  const shape = textOf([ds], "20500020").toUpperCase();
  if (shape === "IDENTITY" || shape === "INVERSE") return shape === "INVERSE";
  return textOf([ds], "00280004").toUpperCase() === "MONOCHROME1";
}

function paddingOf(ds: DataSet, { float }: Layout): [number, number] | undefined {
  const low = numberOf([ds], float ? "00280122" : "00280120");
  if (low === undefined) return undefined;
  const high = numberOf([ds], float ? "00280124" : "00280121") ?? low;
  return [Math.min(low, high), Math.max(low, high)];
}

function spacingOf(groups: readonly DataSet[]): Spacing {
  for (const [tag, unit] of [
    ["00280030", "mm"],
    ["00181164", "detector"],
    ["00182010", "mm"],
  ] as const) {
    const [row = 0, column = 0] = numbersOf(groups, tag);
    if (row > 0 && column > 0 && row < 1e3 && column < 1e3) return { row, column, unit };
  }
  const [vertical = 1, horizontal = 1] = numbersOf(groups, "00280034");
  const known = vertical > 0 && horizontal > 0;
  return { row: known ? vertical / horizontal : 1, column: 1, unit: "pixel" };
}

function regionsOf(ds: DataSet): Region[] {
  return itemsOf(ds, "00186011").flatMap((item) => {
    const said = (tag: string) => numberOf([item], tag) ?? Number.NaN;
    const lengths = [said("00186024"), said("00186026")];
    const [x, y] = [Math.abs(said("0018602C")) * 10, Math.abs(said("0018602E")) * 10];
    const region = {
      left: said("00186018"),
      top: said("0018601A"),
      right: said("0018601C"),
      bottom: said("0018601E"),
      x,
      y,
    };
    const whole = Object.values(region).every(Number.isFinite) && x > 0 && y > 0;
    return whole && lengths.every((unit) => unit === CENTIMETRES) ? [region] : [];
  });
}

/** A lookup table, of the modality or of what is shown. */
function tableOf(item: DataSet | undefined): Table | undefined {
  return item && lookup(item, "00283002", "00283006");
}

function paletteOf(ds: DataSet): Table[] | undefined {
  const tables = [1, 2, 3].map((at) => lookup(ds, `0028110${at}`, `0028120${at}`));
  return tables.every((table) => table !== undefined) ? tables : undefined;
}

function lookup(ds: DataSet, descriptor: string, data: string): Table | undefined {
  const [count, said, bits] = numbersOf([ds], descriptor);
  if (count === undefined || said === undefined || bits === undefined) return undefined;
  const entries = count || 1 << 16;
  const first = said >= 1 << 15 ? said - (1 << 16) : said; // it was read as unsigned
  const numbers = numbersOf([ds], data);
  if (numbers.length >= entries) return { first, entries: numbers.slice(0, entries), bits };
  const bytes = bytesOf(ds, data);
  if (!bytes) return undefined;
  const wide = bytes.length >= 2 * entries;
  if (bytes.length < entries) return undefined;
  const found = wide
    ? Uint16Array.from({ length: entries }, (_, at) => word(bytes, at))
    : bytes.slice(0, entries);
  return { first, entries: found, bits: wide ? bits : 8 };
}

const word = (bytes: Uint8Array, at: number): number =>
  (bytes[2 * at] ?? 0) | ((bytes[2 * at + 1] ?? 0) << 8);
