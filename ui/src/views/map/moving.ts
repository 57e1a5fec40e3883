import { useEffect, useRef } from "react";

/** What pointers do on the stage, in CSS pixels from its corner. */
export interface Gestures {
  pan: (dx: number, dy: number) => void;
  zoom: (factor: number, x: number, y: number) => void;
  /** A line that is drawn, from its first place on; `ended` with its last. */
  draw: (line: readonly [number, number][], ended: boolean) => void;
  /** A click, or a tap. */
  pick: (x: number, y: number) => void;
  /** Where the pointer rests; nothing when it has left. */
  hover: (at: [number, number] | null) => void;
}

const CLICK = 4;
const REST_MS = 50;

/** Drag to pan, with Shift or `drawing` to draw a line; wheel and two fingers to zoom. */
export function useGestures(
  box: React.RefObject<HTMLElement | null>,
  drawing: boolean,
  gestures: Gestures,
): void {
  const held = useRef({ gestures, drawing });
  held.current = { gestures, drawing };
  useEffect(() => {
    const element = box.current;
    return element ? listen(element, held) : undefined;
  }, [box]);
}

interface Held {
  current: { gestures: Gestures; drawing: boolean };
}

function listen(element: HTMLElement, held: Held): () => void {
  const fingers = new Map<number, [number, number]>();
  let line: [number, number][] | null = null;
  let gone = 0;
  let rest: ReturnType<typeof setTimeout> | undefined;
  const place = (event: MouseEvent): [number, number] => {
    const { left, top } = element.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  };
  const on = () => held.current.gestures;

  function down(event: PointerEvent): void {
    if (event.button !== 0 || !within(event)) return;
    clearTimeout(rest);
    on().hover(null);
    element.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, place(event));
    gone = 0;
    line = fingers.size === 1 && (event.shiftKey || held.current.drawing) ? [place(event)] : null;
  }
  function moved(event: PointerEvent): void {
    const [x, y] = place(event);
    const was = fingers.get(event.pointerId);
    if (!was) {
      clearTimeout(rest);
      if (event.pointerType !== "touch" && within(event))
        rest = setTimeout(() => on().hover([x, y]), REST_MS);
      return;
    }
    const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
    fingers.set(event.pointerId, [x, y]);
    gone += Math.abs(x - was[0]) + Math.abs(y - was[1]);
    if (other) pinch(was, [x, y], other);
    else if (line) {
      line.push([x, y]);
      on().draw(line, false);
    } else if (gone > CLICK) on().pan(x - was[0], y - was[1]);
  }
  function pinch(was: [number, number], now: [number, number], other: [number, number]): void {
    const far = (a: [number, number]) => Math.hypot(a[0] - other[0], a[1] - other[1]) || 1;
    on().zoom(far(now) / far(was), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
    on().pan((now[0] - was[0]) / 2, (now[1] - was[1]) / 2);
  }
  function up(event: PointerEvent): void {
    if (!fingers.delete(event.pointerId)) return;
    if (gone <= CLICK && event.type === "pointerup") {
      line = null;
      on().draw([], false);
      on().pick(...place(event));
    } else if (line) {
      const drawn = line;
      line = null;
      on().draw(drawn, event.type === "pointerup");
    }
  }
  function left(): void {
    clearTimeout(rest);
    on().hover(null);
  }
  function turned(event: WheelEvent): void {
    if (!within(event)) return;
    event.preventDefault();
    const steps = event.deltaMode === 0 ? event.deltaY / 100 : event.deltaY / 3;
    on().zoom(1.25 ** -Math.max(-3, Math.min(3, steps)), ...place(event));
  }
  const within = (event: Event) => !(event.target as HTMLElement).closest("button, .notice");

  const ends = ["pointerup", "pointercancel"] as const;
  element.addEventListener("pointerdown", down);
  element.addEventListener("pointermove", moved);
  for (const end of ends) element.addEventListener(end, up);
  element.addEventListener("pointerleave", left);
  element.addEventListener("wheel", turned, { passive: false });
  return () => {
    clearTimeout(rest);
    element.removeEventListener("pointerdown", down);
    element.removeEventListener("pointermove", moved);
    for (const end of ends) element.removeEventListener(end, up);
    element.removeEventListener("pointerleave", left);
    element.removeEventListener("wheel", turned);
  };
}
