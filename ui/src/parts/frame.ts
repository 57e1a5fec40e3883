import { useEffect, useRef } from "react";

/** A window of grey values. */
export interface Values {
  center: number;
  width: number;
}

/** In HU, in the order of their names in the messages. */
export const WINDOWS: readonly Values[] = [
  { center: 40, width: 400 },
  { center: -600, width: 1500 },
  { center: 400, width: 1800 },
  { center: 40, width: 80 },
  { center: 60, width: 160 },
];
/** What is done to a picture whose values are in no unit. */
export interface Light {
  brightness: number;
  contrast: number;
}
export const PLAIN: Light = { brightness: 1, contrast: 1 };

export const within = (value: number, least: number, most: number): number =>
  Math.min(most, Math.max(least, value));

/** A window after dragging: sideways makes it wider, down moves it up. */
export const draggedWindow = (
  { center, width }: Values = { center: 40, width: 400 },
  dx: number,
  dy: number,
): Values => ({
  center: Math.round(center + dy * 2),
  width: Math.max(1, Math.round(width + dx * 4)),
});

export const draggedLight = ({ brightness, contrast }: Light, dx: number, dy: number): Light => ({
  brightness: within(brightness - dy / 200, 0.1, 2),
  contrast: within(contrast + dx / 200, 0.1, 3),
});

/** Turns of the wheel as steps, with what turned it; the page does not scroll meanwhile. */
export function useWheel(
  box: React.RefObject<HTMLElement | null>,
  active: boolean,
  move: (by: number, event: WheelEvent) => void,
): void {
  const moving = useRef(move);
  moving.current = move;
  useEffect(() => {
    const element = box.current;
    if (!element || !active) return;
    let gone = 0;
    const turned = (event: WheelEvent) => {
      event.preventDefault();
      gone += event.deltaMode === 0 ? event.deltaY / 40 : event.deltaY;
      const steps = Math.trunc(gone);
      gone -= steps;
      if (steps) moving.current(steps, event);
    };
    element.addEventListener("wheel", turned, { passive: false });
    return () => element.removeEventListener("wheel", turned);
  }, [box, active]);
}

/** Handlers of an element that is dragged; fingers scroll the page unless they are wanted. */
export function useDrag(move: (dx: number, dy: number) => void, touch = false) {
  const last = useRef<[number, number] | null>(null);
  return {
    onPointerDown: (event: React.PointerEvent) => {
      if (event.pointerType === "touch" && !touch) return;
      if (event.target instanceof Element && event.target.closest("button")) return;
      last.current = [event.clientX, event.clientY];
      event.currentTarget.setPointerCapture(event.pointerId);
    },
    onPointerMove: (event: React.PointerEvent) => {
      if (!last.current) return;
      move(event.clientX - last.current[0], event.clientY - last.current[1]);
      last.current = [event.clientX, event.clientY];
    },
    onPointerUp: () => {
      last.current = null;
    },
    onPointerCancel: () => {
      last.current = null;
    },
  };
}
