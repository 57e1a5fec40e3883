import { cache, imageLoader, metaData, type Types } from "@cornerstonejs/core";
import * as api from "../../api/viewer";
import type { Frame } from "./frame";
import { type Colour, decode, type Grey } from "./pixels";

/** A frame that is drawn, with what of it is known beside the picture. */
export interface Loaded {
  image: Types.IImage;
  /** From where to where there is something to see, of a grey one. */
  range: [number, number] | undefined;
}

const SCHEME = "syntopy";
const CACHE_BYTES = 512 << 20;
const frames = new Map<string, Frame>();
const ranges = new Map<string, [number, number]>();
/** The drawing processor takes three values of a pixel, the other way of drawing four. */
let alpha = false;

/** Begin anew with the frames of a series; `withAlpha` where they are drawn without WebGL. */
export function register(withAlpha: boolean): void {
  if (alpha !== withAlpha) cache.purgeCache();
  alpha = withAlpha;
  frames.clear();
  cache.setMaxCacheSize(CACHE_BYTES);
  imageLoader.registerImageLoader(SCHEME, (imageId: string) => {
    const controller = new AbortController();
    return {
      promise: loadImage(imageId, controller.signal),
      cancelFn: () => controller.abort(),
    };
  });
  metaData.removeProvider(tell);
  metaData.addProvider(tell);
}

/** The name by which the drawing library knows a frame. */
export function imageIdOf(frame: Frame): string {
  const id = `${SCHEME}:${frame.study}/${frame.series}/${frame.instance}/${frame.number}`;
  frames.set(id, frame);
  return id;
}

/** A frame, fetched unless it is there already. Fails with a `Problem`, or is undecodable. */
export async function load(frame: Frame): Promise<Loaded> {
  const id = imageIdOf(frame);
  try {
    return { image: await imageLoader.loadAndCacheImage(id), range: ranges.get(id) };
  } catch (error) {
    // What failed is asked for again next time.
    if (cache.getImageLoadObject(id)) cache.removeImageLoadObject(id, { force: true });
    throw error;
  }
}

const AT_ONCE = 2;
const AHEAD_BYTES = 192 << 20;

/** Fetch what lies around a frame, the nearest first, until there is enough or it is stopped. */
export async function fetchAround(
  around: readonly Frame[],
  at: number,
  signal: AbortSignal,
): Promise<void> {
  const order = around
    .map((frame, place) => ({ frame, far: place > at ? place - at - 0.5 : at - place }))
    .sort((one, other) => one.far - other.far);
  let left = AHEAD_BYTES;
  async function next(): Promise<void> {
    for (let each = order.shift(); each && !signal.aborted; each = order.shift()) {
      const { rows, columns, samples } = each.frame.layout;
      left -= rows * columns * samples * 2;
      if (left < 0) return;
      if (!cache.isLoaded(imageIdOf(each.frame))) await load(each.frame);
    }
  }
  // What fails here is told when somebody goes there.
  await Promise.allSettled(Array.from({ length: AT_ONCE }, next));
}

async function loadImage(imageId: string, signal: AbortSignal): Promise<Types.IImage> {
  const frame = frames.get(imageId);
  if (!frame) throw new Error(`no such frame: ${imageId}`);
  const pixels = decode(await api.frame(frame, signal), frame);
  if (pixels.kind === "grey") ranges.set(imageId, pixels.range);
  return imageOf(imageId, frame, pixels);
}

function imageOf(imageId: string, frame: Frame, pixels: Grey | Colour): Types.IImage {
  const { rows, columns } = frame.layout;
  const values = pixels.kind === "grey" ? pixels.values : alpha ? opaque(pixels.rgb) : pixels.rgb;
  const float = values instanceof Float32Array;
  const components = pixels.kind === "grey" ? 1 : alpha ? 4 : 3;
  const image = {
    imageId,
    minPixelValue: pixels.kind === "grey" ? pixels.low : 0,
    maxPixelValue: pixels.kind === "grey" ? pixels.high : 255,
    slope: 1,
    intercept: 0,
    windowCenter: 128,
    windowWidth: 256,
    getPixelData: () => values,
    rows,
    columns,
    height: rows,
    width: columns,
    color: pixels.kind === "colour",
    rgba: pixels.kind === "colour" && alpha,
    numberOfComponents: components,
    rowPixelSpacing: frame.spacing.row,
    columnPixelSpacing: frame.spacing.column,
    invert: false,
    photometricInterpretation: pixels.kind === "colour" ? "RGB" : "MONOCHROME2",
    sizeInBytes: values.byteLength,
    dataType: typeOf(values),
    // Without WebGL, fractions are drawn by way of whole numbers; this asks for it.
    preScale: {
      enabled: float,
      scaled: float,
      scalingParameters: { rescaleSlope: float ? 0.5 : 1, rescaleIntercept: 0 },
    },
    imageFrame: {},
  };
  return image as unknown as Types.IImage; // (it asks for canvases and frames that nothing uses)
}

function typeOf(values: ArrayBufferView): string {
  if (values instanceof Float32Array) return "Float32Array";
  if (values instanceof Int16Array) return "Int16Array";
  return values instanceof Uint16Array ? "Uint16Array" : "Uint8Array";
}

function opaque(rgb: Uint8Array): Uint8Array {
  const rgba = new Uint8Array((rgb.length / 3) * 4).fill(255);
  for (let at = 0; at < rgb.length / 3; at++)
    for (let channel = 0; channel < 3; channel++)
      rgba[4 * at + channel] = rgb[3 * at + channel] ?? 0;
  return rgba;
}

/** What the drawing library asks of a frame. All lie in one plane: scrolling moves nothing. */
function tell(type: string, imageId: unknown): object | undefined {
  const frame = frames.get(String(imageId));
  if (!frame) return undefined;
  const { layout, spacing } = frame;
  const colour = layout.samples === 3 || layout.photometric === "PALETTE COLOR";
  if (type === "imagePixelModule")
    return {
      samplesPerPixel: colour ? 3 : 1,
      photometricInterpretation: colour ? "RGB" : "MONOCHROME2",
      rows: layout.rows,
      columns: layout.columns,
      bitsAllocated: colour ? 8 : 16,
      bitsStored: colour ? 8 : 16,
      highBit: colour ? 7 : 15,
      pixelRepresentation: 0,
    };
  if (type === "imagePlaneModule")
    return {
      rows: layout.rows,
      columns: layout.columns,
      rowPixelSpacing: spacing.row,
      columnPixelSpacing: spacing.column,
      pixelSpacing: [spacing.row, spacing.column],
      rowCosines: [1, 0, 0],
      columnCosines: [0, 1, 0],
      imageOrientationPatient: [1, 0, 0, 0, 1, 0],
      imagePositionPatient: [0, 0, 0],
    };
  // Of PET, it would set windows of its own.
  return type === "generalSeriesModule" ? { modality: "OT" } : undefined;
}
