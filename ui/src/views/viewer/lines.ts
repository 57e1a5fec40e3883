import { useReducer } from "react";
import type { Frame } from "./frame";
import type { Line, Point } from "./measure";

/** Measured lines of each frame; they last as long as the visit, and are stored nowhere. */
const kept = new Map<string, Line[]>();

const NEAR = 12;

export interface Lines {
  lines: readonly Line[];
  point: (how: "down" | "move" | "up" | "tap", at: Point) => void;
  /** A line across the middle, for those who have no pointer. */
  add: () => void;
  /** Move the end of the last line. */
  nudge: (dx: number, dy: number) => void;
  drop: () => void;
}

interface Held {
  line: number;
  end: 0 | 1;
  /** It was begun by a tap: the next one ends it. */
  tapped: boolean;
}

interface Places {
  toFrame: (at: Point) => Point;
  toPage: (at: Point) => Point;
}

let held: Held | null = null;

/** The lines of the frame that is seen, and what the pointer and keys do to them. */
export function useLines(frame: Frame | undefined, places: Places | undefined): Lines {
  const [, draw] = useReducer((n: number) => n + 1, 0);
  const key = frame ? `${frame.instance}/${frame.number}` : "";
  const lines = kept.get(key) ?? [];
  const keep = (next: Line[]) => {
    kept.set(key, next);
    draw();
  };
  const put = (at: number, end: 0 | 1, to: Point) =>
    keep(lines.map((line, each) => (each !== at ? line : end ? [line[0], to] : [to, line[1]])));

  function near(at: Point): Held | null {
    if (!places) return null;
    for (const [line, ends] of lines.entries())
      for (const end of [0, 1] as const) {
        const [x, y] = places.toPage(ends[end]);
        if (Math.hypot(x - at[0], y - at[1]) < NEAR) return { line, end, tapped: false };
      }
    return null;
  }

  function point(how: "down" | "move" | "up" | "tap", at: Point): void {
    if (!places || !frame) return;
    const to = places.toFrame(at);
    if (how === "down" && !held) {
      held = near(at);
      if (held) return;
      held = { line: lines.length, end: 1, tapped: false };
      keep([...lines, [to, to]]);
    } else if (held && how === "move") put(held.line, held.end, to);
    else if (held && how === "tap" && !held.tapped) held = { ...held, tapped: true };
    else if (held && how !== "down") {
      put(held.line, held.end, to);
      held = null;
    }
  }

  function add(): void {
    if (!frame) return;
    const { rows, columns } = frame.layout;
    const y = rows / 2;
    keep([
      ...lines,
      [
        [columns / 3, y],
        [(2 * columns) / 3, y],
      ],
    ]);
  }

  function nudge(dx: number, dy: number): void {
    const last = lines.at(-1);
    if (last) put(lines.length - 1, 1, [last[1][0] + dx, last[1][1] + dy]);
  }

  return {
    lines,
    point,
    add,
    nudge,
    drop: () => {
      held = null;
      keep(lines.slice(0, -1));
    },
  };
}
