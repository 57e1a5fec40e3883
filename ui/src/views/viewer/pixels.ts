import type { Frame, Layout, Table } from "./frame";

type Values = Uint8Array | Int16Array | Uint16Array | Float32Array;

/** Modality values of a grey frame, or what is shown of one that has a table in place of a window. */
export interface Grey {
  kind: "grey";
  values: Values;
  low: number;
  high: number;
  /** From where to where there is something to see, for a frame without a window. */
  range: [number, number];
}

export interface Colour {
  kind: "colour";
  /** Red, green, blue, one pixel after the other. */
  rgb: Uint8Array;
}

/** The frame is of a kind that is not decoded here. */
export class Undecodable extends Error {}

/** What the bytes of a frame, uncompressed and little endian, mean (PS3.5 section 8, PS3.3 C.11). */
export function decode(bytes: Uint8Array, frame: Frame): Grey | Colour {
  const { layout } = frame;
  if (layout.samples === 1 && layout.photometric.startsWith("MONOCHROME"))
    return grey(stored(bytes, layout), frame);
  if (layout.photometric === "PALETTE COLOR" && frame.palette)
    return { kind: "colour", rgb: painted(stored(bytes, layout), frame.palette) };
  if (layout.samples === 3) return { kind: "colour", rgb: colour(bytes, layout) };
  throw new Undecodable(layout.photometric);
}

/** Stored values, one for each sample, as they are meant. */
export function stored(bytes: Uint8Array, layout: Layout): Int32Array | Float32Array {
  const count = layout.rows * layout.columns * layout.samples;
  if (layout.bitsAllocated === 1) {
    if (bytes.length * 8 < count) throw new Undecodable("too short");
    return Int32Array.from({ length: count }, (_, at) => ((bytes[at >> 3] ?? 0) >> (at & 7)) & 1);
  }
  const size = bytes.length >= count * (layout.bitsAllocated / 8) ? layout.bitsAllocated / 8 : 0;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (layout.float && size === 8)
    return Float32Array.from({ length: count }, (_, at) => view.getFloat64(8 * at, true));
  if (layout.float && size === 4)
    return Float32Array.from({ length: count }, (_, at) => view.getFloat32(4 * at, true));
  const values = new Int32Array(count);
  if (size === 1) for (let at = 0; at < count; at++) values[at] = bytes[at] ?? 0;
  else if (size === 2) for (let at = 0; at < count; at++) values[at] = view.getUint16(2 * at, true);
  else if (size === 4) for (let at = 0; at < count; at++) values[at] = view.getInt32(4 * at, true);
  else throw new Undecodable("too short");
  return size === 4 && layout.bitsStored === 32 ? words(values, layout) : kept(values, layout);
}

/** 32 bits: unsigned ones do not all fit where signed ones do. */
function words(values: Int32Array, { signed }: Layout): Int32Array | Float32Array {
  return signed ? values : Float32Array.from(values, (value) => value >>> 0);
}

/** The stored bits alone, with their sign: above them may be an old overlay. */
function kept(values: Int32Array, layout: Layout): Int32Array {
  const { bitsStored, bitsAllocated, signed, decoded } = layout;
  const shift = layout.highBit + 1 - bitsStored;
  const down = !decoded && shift > 0 && shift < bitsAllocated ? shift : 0;
  const mask = 2 ** bitsStored - 1;
  const sign = signed ? 2 ** (bitsStored - 1) : 0;
  for (let at = 0; at < values.length; at++)
    values[at] = ((((values[at] ?? 0) >>> down) & mask) ^ sign) - sign;
  return values;
}

function grey(values: Int32Array | Float32Array, frame: Frame): Grey {
  const mapped = new Float32Array(values.length);
  const { slope, intercept, modalityTable, padding } = frame;
  const shown = frame.windowTable;
  let whole = !shown && !(values instanceof Float32Array);
  const padded: number[] = [];
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (let at = 0; at < values.length; at++) {
    const said = values[at] ?? 0;
    let value = modalityTable ? through(modalityTable, said) : said * slope + intercept;
    if (shown) value = through(shown, value) / (2 ** shown.bits - 1);
    mapped[at] = value;
    const isPadding = padding !== undefined && said >= padding[0] && said <= padding[1];
    if (isPadding || !Number.isFinite(value)) {
      padded.push(at);
      continue;
    }
    if (value < low) low = value;
    if (value > high) high = value;
    whole &&= Number.isInteger(value);
  }
  if (low > high) return constant(mapped); // a padding over everything is a wrong tag
  const range = shown ? ([0, 1] as const) : robustRange(mapped, new Set(padded));
  for (const at of padded) mapped[at] = frame.inverted ? high : low;
  return { kind: "grey", values: narrowed(mapped, low, high, whole), low, high, range: [...range] };
}

function constant(mapped: Float32Array): Grey {
  const values = mapped.map((value) => (Number.isFinite(value) ? value : 0));
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return { kind: "grey", values, low, high, range: [...robustRange(values, new Set())] };
}

function through({ first, entries }: Table, value: number): number {
  const at = Math.min(entries.length - 1, Math.max(0, Math.trunc(value - first)));
  return entries[at] ?? 0;
}

/** The smallest type that holds all of it. */
function narrowed(values: Float32Array, low: number, high: number, whole: boolean): Values {
  if (!whole) return values;
  if (low >= 0 && high <= 255) return Uint8Array.from(values);
  if (low >= -32768 && high <= 32767) return Int16Array.from(values);
  if (low >= 0 && high <= 65535) return Uint16Array.from(values);
  return values;
}

const SAMPLED = 1 << 16;

/** First and 99th percentile of the pixels that are image, at least a hair apart. */
export function robustRange(
  values: ArrayLike<number>,
  padding: ReadonlySet<number>,
): readonly [number, number] {
  const step = Math.max(1, Math.floor((values.length - padding.size) / SAMPLED));
  const seen: number[] = [];
  let passed = 0;
  for (let at = 0; at < values.length; at++) {
    if (padding.has(at)) continue;
    if (passed++ % step === 0) seen.push(values[at] ?? 0);
  }
  const sorted = Float64Array.from(seen).sort();
  let low = quantile(sorted, 0.01);
  let high = quantile(sorted, 0.99);
  if (high <= low) {
    low = sorted[0] ?? 0;
    high = sorted[sorted.length - 1] ?? 0;
  }
  return [low, Math.max(high, low + 1e-6)];
}

function quantile(sorted: Float64Array, share: number): number {
  const place = share * (sorted.length - 1);
  const below = sorted[Math.floor(place)] ?? 0;
  return below + ((sorted[Math.ceil(place)] ?? below) - below) * (place % 1);
}

function painted(indices: ArrayLike<number>, palette: readonly Table[]): Uint8Array {
  const rgb = new Uint8Array(indices.length * 3);
  for (let at = 0; at < indices.length; at++)
    palette.forEach((table, channel) => {
      rgb[3 * at + channel] = through(table, indices[at] ?? 0) >> Math.max(0, table.bits - 8);
    });
  return rgb;
}

/** Red, green and blue of eight bits, whatever the colours were stored as. */
function colour(bytes: Uint8Array, layout: Layout): Uint8Array {
  if (layout.decoded) return eightBits(bytes, layout);
  switch (layout.photometric) {
    case "RGB":
      return interleaved(eightBits(bytes, layout), layout);
    case "YBR_FULL":
      return fromYbr(interleaved(eightBits(bytes, layout), layout));
    case "YBR_FULL_422":
      return fromYbr(spread(bytes, layout));
    default:
      throw new Undecodable(layout.photometric);
  }
}

function eightBits(bytes: Uint8Array, layout: Layout): Uint8Array {
  if (layout.bitsAllocated === 8) {
    const count = layout.rows * layout.columns * layout.samples;
    if (bytes.length < count) throw new Undecodable("too short");
    return bytes.slice(0, count);
  }
  const down = Math.max(0, layout.bitsStored - 8);
  return Uint8Array.from(stored(bytes, layout), (value) => value >> down);
}

function interleaved(planes: Uint8Array, { planar, samples }: Layout): Uint8Array {
  if (!planar) return planes;
  const count = planes.length / samples;
  return planes.map((_, at) => planes[(at % samples) * count + Math.floor(at / samples)] ?? 0);
}

/** Two pixels share their blue and red: Y Y B R. */
function spread(bytes: Uint8Array, { rows, columns }: Layout): Uint8Array {
  const count = rows * columns;
  if (bytes.length < count * 2) throw new Undecodable("too short");
  const full = new Uint8Array(count * 3);
  for (let at = 0; at < count; at++) {
    const pair = (at >> 1) * 4;
    full[3 * at] = bytes[pair + (at & 1)] ?? 0;
    full[3 * at + 1] = bytes[pair + 2] ?? 0;
    full[3 * at + 2] = bytes[pair + 3] ?? 0;
  }
  return full;
}

/** PS3.3 C.7.6.3.1.2, turned round. */
function fromYbr(ybr: Uint8Array): Uint8Array {
  const clamped = new Uint8ClampedArray(ybr.length);
  for (let at = 0; at < ybr.length; at += 3) {
    const y = ybr[at] ?? 0;
    const blue = (ybr[at + 1] ?? 0) - 128;
    const red = (ybr[at + 2] ?? 0) - 128;
    clamped[at] = y + 1.402 * red;
    clamped[at + 1] = y - 0.344136 * blue - 0.714136 * red;
    clamped[at + 2] = y + 1.772 * blue;
  }
  return new Uint8Array(clamped.buffer);
}
