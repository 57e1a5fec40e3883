/** What part of a map is looked at: its middle, and how far beyond fitting it is magnified. */
export interface Camera {
  x: number;
  y: number;
  zoom: number;
}

/** The place that a map takes up. */
export interface Extent {
  x: number;
  y: number;
  /** Half of the width and height. */
  dx: number;
  dy: number;
}

/** A camera on a screen: `scale` is CSS pixels for one unit of the map. */
export interface Sight {
  x: number;
  y: number;
  scale: number;
  width: number;
  height: number;
}

export type Place = readonly [x: number, y: number];

const MARGIN = 0.92;
const LEAST = 0.5;
const MOST = 4000;

/** Without the odd ones far out, which would leave all others in a heap: they can be panned to. */
export function extentOf(points: Float32Array): Extent {
  const [left, right] = middleOf(points, 0);
  const [top, bottom] = middleOf(points, 1);
  return {
    x: (left + right) / 2,
    y: (top + bottom) / 2,
    dx: Math.max((right - left) / 2, 1e-6),
    dy: Math.max((bottom - top) / 2, 1e-6),
  };
}

const SAMPLED = 20_000;

function middleOf(points: Float32Array, axis: 0 | 1): [number, number] {
  const n = points.length / 2;
  if (!n) return [-1, 1];
  const step = Math.max(1, Math.floor(n / SAMPLED));
  const values: number[] = [];
  for (let at = 0; at < n; at += step) values.push(points[2 * at + axis] ?? 0);
  values.sort((a, b) => a - b);
  const cut = values.length > 2000 ? Math.floor(values.length / 1000) : 0;
  const least = values[cut] ?? 0;
  const most = values[values.length - 1 - cut] ?? 0;
  return least === most ? [least - 1, most + 1] : [least, most];
}

export const fitting = (extent: Extent): Camera => ({ x: extent.x, y: extent.y, zoom: 1 });

export function sightOf(camera: Camera, extent: Extent, width: number, height: number): Sight {
  const fit = Math.min(width / (2 * extent.dx), height / (2 * extent.dy)) * MARGIN;
  return { x: camera.x, y: camera.y, scale: fit * camera.zoom, width, height };
}

/** The y of a map goes up, that of a screen down. */
export const onScreen = (sight: Sight, x: number, y: number): Place => [
  (x - sight.x) * sight.scale + sight.width / 2,
  (sight.y - y) * sight.scale + sight.height / 2,
];

export const onMap = (sight: Sight, px: number, py: number): Place => [
  (px - sight.width / 2) / sight.scale + sight.x,
  sight.y - (py - sight.height / 2) / sight.scale,
];

export const panned = (camera: Camera, sight: Sight, dx: number, dy: number): Camera => ({
  ...camera,
  x: camera.x - dx / sight.scale,
  y: camera.y + dy / sight.scale,
});

/** Magnified by a factor; what lies under a place of the screen stays there. */
export function zoomed(
  camera: Camera,
  sight: Sight,
  factor: number,
  px = sight.width / 2,
  py = sight.height / 2,
): Camera {
  const zoom = Math.min(MOST, Math.max(LEAST, camera.zoom * factor));
  const [x, y] = onMap(sight, px, py);
  const kept = camera.zoom / zoom;
  return { x: x + (camera.x - x) * kept, y: y + (camera.y - y) * kept, zoom };
}

/** The camera moved as little as needed for a place to be well inside. */
export function showing(camera: Camera, sight: Sight, x: number, y: number): Camera {
  const [px, py] = onScreen(sight, x, y);
  const edge = Math.min(60, sight.width / 4, sight.height / 4);
  const dx = px < edge ? edge - px : Math.min(0, sight.width - edge - px);
  const dy = py < edge ? edge - py : Math.min(0, sight.height - edge - py);
  return dx || dy ? panned(camera, sight, dx, dy) : camera;
}
