import { type PointerEvent, type RefObject, useEffect, useRef } from "react";
import type { Point } from "./measure";

/** What dragging does. */
export type Tool = "window" | "pan" | "zoom" | "measure";

export interface Pointing {
  tool: Tool;
  /** A step of the pointer, in pixels of the page. */
  onDrag: (tool: Tool, dx: number, dy: number) => void;
  /** Measuring: where the pointer is; a tap has not moved since it went down. */
  onPoint: (how: "down" | "move" | "up" | "tap", at: Point) => void;
  /** Two fingers, or the wheel of one who holds Ctrl. */
  onZoom: (by: number) => void;
  onScroll: (by: number) => void;
}

const TAP = 4;
const BY_BUTTON: Record<number, Tool> = { 1: "pan", 2: "zoom" };

/** Mouse, pen and fingers on the picture. */
export function usePointing(box: RefObject<HTMLElement | null>, pointing: Pointing) {
  const latest = useRef(pointing);
  latest.current = pointing;
  const fingers = useRef(new Map<number, Point>());
  const held = useRef<{ tool: Tool; from: Point; far: boolean } | null>(null);

  useEffect(() => {
    const element = box.current;
    if (!element) return;
    let gone = 0;
    const turned = (event: WheelEvent) => {
      event.preventDefault();
      const by = event.deltaMode === 0 ? event.deltaY / 40 : event.deltaY;
      if (event.ctrlKey) return latest.current.onZoom(Math.exp(-by / 12));
      gone += by;
      const steps = Math.trunc(gone);
      gone -= steps;
      if (steps) latest.current.onScroll(steps);
    };
    element.addEventListener("wheel", turned, { passive: false });
    return () => element.removeEventListener("wheel", turned);
  }, [box]);

  const placeOf = (event: PointerEvent): Point => {
    const { left, top } = event.currentTarget.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  };

  function down(event: PointerEvent): void {
    event.currentTarget.setPointerCapture(event.pointerId);
    const at = placeOf(event);
    fingers.current.set(event.pointerId, at);
    const tool = BY_BUTTON[event.button] ?? latest.current.tool;
    held.current = { tool, from: at, far: false };
    if (fingers.current.size === 1 && tool === "measure") latest.current.onPoint("down", at);
  }

  function move(event: PointerEvent): void {
    const at = placeOf(event);
    const before = fingers.current.get(event.pointerId);
    if (!before) {
      if (latest.current.tool === "measure") latest.current.onPoint("move", at);
      return;
    }
    if (fingers.current.size > 1) pinch(event.pointerId, before, at);
    else if (held.current) {
      const { tool, from } = held.current;
      held.current.far ||= Math.hypot(at[0] - from[0], at[1] - from[1]) > TAP;
      if (tool === "measure") latest.current.onPoint("move", at);
      else latest.current.onDrag(tool, at[0] - before[0], at[1] - before[1]);
    }
    fingers.current.set(event.pointerId, at);
  }

  function pinch(id: number, before: Point, at: Point): void {
    const other = [...fingers.current].find(([each]) => each !== id)?.[1];
    if (!other) return;
    const far = (point: Point) => Math.hypot(point[0] - other[0], point[1] - other[1]);
    latest.current.onZoom(far(at) / Math.max(far(before), 1));
    latest.current.onDrag("pan", (at[0] - before[0]) / 2, (at[1] - before[1]) / 2);
    held.current = null;
  }

  function up(event: PointerEvent): void {
    fingers.current.delete(event.pointerId);
    if (held.current?.tool === "measure")
      latest.current.onPoint(held.current.far ? "up" : "tap", placeOf(event));
    held.current = null;
  }

  return {
    onPointerDown: down,
    onPointerMove: move,
    onPointerUp: up,
    onPointerCancel: up,
    onContextMenu: (event: { preventDefault: () => void }) => event.preventDefault(),
  };
}
