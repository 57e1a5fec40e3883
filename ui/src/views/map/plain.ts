import { FADED, LIFTED, type Rgb, STYLE_STEP } from "./colours";
import type { Frame, Painter } from "./painter";

/** A painter that sets pixels by itself, for machines without WebGL; undefined without a canvas. */
export function plainPainter(canvas: HTMLCanvasElement): Painter | undefined {
  const pen = canvas.getContext("2d", { alpha: false });
  if (!pen) return undefined;
  let points = new Float32Array();
  let styles = new Uint8Array();
  let inks = new Uint32Array(3 * STYLE_STEP);
  let empty = 0;
  let picture: ImageData | undefined;
  return {
    load(each) {
      points = Float32Array.from(each);
    },
    dress(each) {
      styles = Uint8Array.from(each);
    },
    colours(rows, ground) {
      inks = inksOf(rows, ground);
      empty = inkOf(ground);
    },
    draw(frame) {
      const { width, height } = canvas;
      if (!width || !height) return;
      if (picture?.width !== width || picture.height !== height)
        picture = pen.createImageData(width, height);
      const pixels = new Uint32Array(picture.data.buffer);
      if (frame.clear) pixels.fill(empty);
      // What stands out lies above: in three rounds.
      for (const layer of [FADED, 0, LIFTED])
        set(pixels, width, height, frame, points, styles, inks, layer);
      pen.putImageData(picture, 0, 0);
    },
    drop: () => undefined,
  };
}

const inkOf = (colour: Rgb): number => {
  const [r, g, b] = colour.map((part) => Math.round(part * 255));
  return (0xff000000 | ((b ?? 0) << 16) | ((g ?? 0) << 8) | (r ?? 0)) >>> 0;
};

function inksOf(rows: readonly Rgb[], ground: Rgb): Uint32Array<ArrayBuffer> {
  const inks = new Uint32Array(3 * STYLE_STEP);
  rows.forEach((colour, row) => {
    const [r, g, b] = colour.map((part, at) => part + ((ground[at] ?? 0) - part) * 0.78);
    inks[row] = inkOf(colour);
    inks[FADED * STYLE_STEP + row] = inkOf([r ?? 0, g ?? 0, b ?? 0]);
    inks[LIFTED * STYLE_STEP + row] = inkOf(colour);
  });
  return inks;
}

function set(
  pixels: Uint32Array,
  width: number,
  height: number,
  { sight, ratio, size, first, count }: Frame,
  points: Float32Array,
  styles: Uint8Array,
  inks: Uint32Array,
  layer: number,
): void {
  const scale = sight.scale * ratio;
  const side = Math.max(1, Math.round(size * ratio * (layer === LIFTED ? 1.3 : 0.9)));
  const least = layer * STYLE_STEP;
  for (let at = first; at < first + count; at += 1) {
    const style = (styles[at] ?? 0) - least;
    if (style <= 0 || style > STYLE_STEP) continue;
    const left = Math.round(((points[2 * at] ?? 0) - sight.x) * scale + (width - side) / 2);
    const top = Math.round((sight.y - (points[2 * at + 1] ?? 0)) * scale + (height - side) / 2);
    if (left < 0 || top < 0 || left + side > width || top + side > height) continue;
    const ink = inks[least + style - 1] ?? 0;
    for (let y = top; y < top + side; y += 1)
      pixels.fill(ink, y * width + left, y * width + left + side);
  }
}
