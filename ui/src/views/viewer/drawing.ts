import { type RefObject, useCallback, useEffect, useReducer, useRef, useState } from "react";
import { Problem } from "../../api/client";
import type { Display, Look } from "./engine";
import type { Frame, Window } from "./frame";
import { rangeOf, windowBetween } from "./measure";
import { Undecodable } from "./pixels";
import type { ViewerState } from "./state";

type Engine = typeof import("./engine");

/** Why frames cannot be drawn here: not in this browser, or not of this kind. */
export type Hindrance = "browser" | "pixels";

export interface Drawing {
  display: Display | undefined;
  /** The frame that is seen; another one may be wanted. */
  frame: Frame | undefined;
  /** The window in which it is seen, nothing of a coloured one. */
  window: Window | undefined;
  hindrance: Hindrance | undefined;
  problem: Problem | undefined;
  retry: () => void;
  /** Grows whenever places of the frame are elsewhere on the page. */
  moves: number;
  act: (what: (display: Display) => void) => void;
}

interface Seen {
  frame: Frame;
  range: [number, number] | undefined;
}

const CT: Window = { center: 40, width: 400 };

/** The window of a frame where nobody has chosen one; `range` is from where to where it reaches. */
export function usualWindow(frame: Frame, range: [number, number]): Window & { kind: string } {
  if (frame.window) return frame.window;
  if (frame.modality === "CT" && !frame.windowTable) return { ...CT, kind: "LINEAR" };
  return { ...windowBetween(range), kind: "LINEAR_EXACT" };
}

function lookOf(state: ViewerState, { frame, range }: Seen): Look {
  const { window, invert, across, down } = state;
  const usual = range && usualWindow(frame, range);
  const kind = (!window && usual?.kind) || "LINEAR";
  const chosen = window ?? usual;
  return {
    range: range && chosen && rangeOf(chosen, kind),
    sigmoid: kind === "SIGMOID",
    invert: invert !== (range !== undefined && frame.inverted),
    across,
    down,
  };
}

/** Draws a frame of a stack into a box, and fetches its neighbours. */
export function useDrawing(
  box: RefObject<HTMLDivElement | null>,
  frames: readonly Frame[] | undefined,
  at: number,
  state: ViewerState,
): Drawing {
  const [moves, move] = useReducer((n: number) => n + 1, 0);
  const [round, again] = useReducer((n: number) => n + 1, 0);
  const [seen, setSeen] = useState<Seen | undefined>();
  const [hindrance, setHindrance] = useState<Hindrance | undefined>();
  const [problem, setProblem] = useState<Problem | undefined>();
  const { engine, display } = useEngine(box, move, setHindrance);
  const latest = useRef({ frames, at, state });
  latest.current = { frames, at, state };
  const busy = useRef(false);
  const first = useRef<{ frames: readonly Frame[]; range: [number, number] | undefined }>(
    undefined,
  );

  const draw = useCallback(async () => {
    if (!engine || !display || busy.current) return;
    busy.current = true;
    let done: Frame | undefined;
    try {
      while (true) {
        const { frames, at } = latest.current;
        const frame = frames?.[at];
        if (!frames || !frame || frame === done) break;
        const { range } = await engine.load(frame);
        if (latest.current.frames !== frames) continue;
        await display.show(frames, at);
        // All frames of a stack are seen in the window of the one that came first.
        if (first.current?.frames !== frames) first.current = { frames, range };
        const now = { frame, range: range && (first.current.range ?? range) };
        display.look(lookOf(latest.current.state, now));
        setSeen(now);
        setProblem(undefined);
        setHindrance(undefined);
        move();
        done = frame;
      }
    } catch (error) {
      if (error instanceof Problem && error.status !== 406) setProblem(error);
      else setHindrance(isOfPixels(error) ? "pixels" : "browser");
    } finally {
      busy.current = false;
    }
  }, [engine, display]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: they are what is drawn
  useEffect(() => {
    void draw();
  }, [draw, frames, at, round]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: of the state, this alone is looks
  useEffect(() => {
    if (!seen || !display || !frames?.includes(seen.frame)) return;
    display.look(lookOf(state, seen));
    move();
  }, [display, state.window, state.invert, state.across, state.down]);

  const there = seen !== undefined && frames?.includes(seen.frame);
  useEffect(() => {
    if (!engine || !frames || !there) return;
    const controller = new AbortController();
    void engine.fetchAround(frames, at, controller.signal);
    return () => controller.abort();
  }, [engine, frames, at, there]);

  const act = useCallback(
    (what: (display: Display) => void) => {
      if (!display) return;
      what(display);
      move();
    },
    [display],
  );
  const frame = there ? seen.frame : undefined;
  const window =
    there && seen.range ? (state.window ?? usualWindow(seen.frame, seen.range)) : undefined;
  return { display, frame, window, hindrance, problem, retry: again, moves, act };
}

const isOfPixels = (error: unknown): boolean =>
  error instanceof Undecodable || error instanceof Problem;

/** The part of the page that draws, loaded when it is needed, in a box of any size. */
function useEngine(
  box: RefObject<HTMLDivElement | null>,
  onMove: () => void,
  onHindrance: (what: Hindrance) => void,
): { engine: Engine | undefined; display: Display | undefined } {
  const [ready, setReady] = useState<{ engine: Engine; display: Display } | undefined>();
  const [plain, setPlain] = useState(false);
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    let display: Display | undefined;
    let left = false;
    const size = new ResizeObserver(() => {
      display?.resize();
      onMove();
    });
    import("./engine")
      .then((engine) => {
        if (left) return;
        display = new engine.Display(element, plain, () => setPlain(true));
        size.observe(element);
        setReady({ engine, display });
      })
      .catch(() => {
        if (!left) onHindrance("browser");
      });
    return () => {
      left = true;
      size.disconnect();
      display?.close();
      setReady(undefined);
    };
  }, [box, plain, onMove, onHindrance]);
  return { engine: ready?.engine, display: ready?.display };
}
