import { type Light, PLAIN, type Values, within } from "../../parts/frame";

/** How one side is looked at. */
export interface Look {
  /** From one; 0 is where it begins by itself. */
  slice: number;
  window: Values | undefined;
  light: Light;
  zoom: number;
  /** By how much the picture is moved, in its own widths and heights. */
  x: number;
  y: number;
  mirrored: boolean;
  upside: boolean;
}

export const AS_IS: Look = {
  slice: 0,
  window: undefined,
  light: PLAIN,
  zoom: 1,
  x: 0,
  y: 0,
  mirrored: false,
  upside: false,
};

export const MOST_ZOOM = 8;
const fine = (value: number): number => Math.round(value * 1000) / 1000;

/** Moved by a part of its width and height; some of it stays in sight. */
export function moved(look: Look, dx: number, dy: number): Look {
  const most = look.zoom / 2;
  return {
    ...look,
    x: fine(within(look.x + dx, -most, most)),
    y: fine(within(look.y + dy, -most, most)),
  };
}

/** Closer or farther; the place at `px`, `py` from the middle, in widths, stays where it is. */
export function zoomed(look: Look, factor: number, px = 0, py = 0): Look {
  const zoom = fine(within(look.zoom * factor, 1, MOST_ZOOM));
  if (zoom === 1) return { ...look, zoom, x: 0, y: 0 };
  const grown = zoom / look.zoom - 1;
  return moved({ ...look, zoom }, (look.x - px) * grown, (look.y - py) * grown);
}

const numbers = (said: string): number[] => said.split("/").map(Number);

/** `s12,w40/400,l1.2/0.9,z2/0.1/-0.2,m,u`; nothing of what is as usual. */
export function formatLook(look: Look): string {
  const { slice, window, light, zoom, x, y } = look;
  return [
    slice && `s${slice}`,
    window && `w${window.center}/${window.width}`,
    (light.brightness !== 1 || light.contrast !== 1) && `l${light.brightness}/${light.contrast}`,
    (zoom !== 1 || x !== 0 || y !== 0) && `z${zoom}/${x}/${y}`,
    look.mirrored && "m",
    look.upside && "u",
  ]
    .filter(Boolean)
    .join(",");
}

/** What `formatLook` wrote; what is wrong in it is as usual. */
export function parseLook(said: string): Look {
  const look = { ...AS_IS };
  for (const part of said.split(",")) {
    const [first = 0, second = 0, third = 0] = numbers(part.slice(1)).map((each) =>
      Number.isFinite(each) ? each : 0,
    );
    const kind = part.charAt(0);
    if (kind === "s" && Number.isInteger(first) && first > 0) look.slice = first;
    else if (kind === "w" && second > 0) look.window = { center: first, width: second };
    else if (kind === "l")
      look.light = { brightness: within(first, 0.1, 2), contrast: within(second, 0.1, 3) };
    else if (kind === "z") {
      const zoom = within(first, 1, MOST_ZOOM);
      const { x, y } = moved({ ...AS_IS, zoom }, second, third);
      Object.assign(look, { zoom, x, y });
    } else if (part === "m") look.mirrored = true;
    else if (part === "u") look.upside = true;
  }
  return look;
}

/** Slices of two volumes that are known to match, from one. */
export interface Pair {
  ours: number;
  theirs: number;
}

/**
 * The slice of the other volume that belongs to one of this.
 *
 * By position the first belongs to the first and the last to the last. With a matched pair these
 * two belong together, and either side of them is stretched on its own.
 */
export function follow(
  slice: number,
  from: number,
  to: number,
  pair?: [here: number, there: number],
): number {
  const along = (at: number, a: number, b: number, c: number, d: number) =>
    b === a ? d : c + ((at - a) * (d - c)) / (b - a);
  if (!pair) return within(Math.round(along(slice, 1, from, 1, to)), 1, to);
  const [here, there] = pair;
  const found =
    slice <= here ? along(slice, 1, here, 1, there) : along(slice, here, from, there, to);
  return within(Math.round(found), 1, to);
}
