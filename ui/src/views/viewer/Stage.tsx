import { useEffect, useRef, useState } from "react";
import { useKeys } from "../../lib/keys";
import { useWordsOf } from "../../lib/settings";
import { Icon } from "../../parts/Icon";
import { ProblemNotice } from "../../parts/Notice";
import { type Hindrance, useDrawing } from "./drawing";
import { useLines } from "./lines";
import { moved } from "./measure";
import { Overlay } from "./Overlay";
import { type Tool, usePointing } from "./pointing";
import type { Stack } from "./stack";
import type { ViewerState } from "./state";
import { type Acts, PRESETS, presetOf, Toolbar } from "./Toolbar";
import { WORDS } from "./words";

interface StageProps {
  /** Nothing as long as it is on its way. */
  stack: Stack | undefined;
  state: ViewerState;
  onChange: (change: Partial<ViewerState>) => void;
  /** The frames cannot be drawn here. */
  onHindrance: (what: Hindrance) => void;
}

const STEPS: Record<string, [number, number]> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};
const STEP = 8;

/** Where one begins: with the first frame of what moves, else in the middle. */
export const placeIn = ({ frames, cine }: Stack, at: number): number => {
  const wanted = at ? at - 1 : cine ? 0 : Math.floor(frames.length / 2);
  return Math.min(frames.length - 1, wanted);
};

/** A series as it is stored, to look through, window, measure. */
export function Stage({ stack, state, onChange, onHindrance }: StageProps) {
  const w = useWordsOf(WORDS);
  const box = useRef<HTMLDivElement>(null);
  const [tool, setTool] = useState<Tool>("window");
  const [playing, setPlaying] = useState(false);
  const frames = stack?.frames;
  const count = frames?.length ?? 1;
  const at = stack ? placeIn(stack, state.at) : 0;
  const drawing = useDrawing(box, frames, at, state);
  const { display, frame, window, act } = drawing;
  const places = useLines(frame, display);
  const grey = window !== undefined || frame === undefined;
  const held: Tool = tool === "window" && !grey ? "pan" : tool;

  useEffect(() => {
    if (drawing.hindrance) onHindrance(drawing.hindrance);
  }, [drawing.hindrance, onHindrance]);

  const goTo = (to: number) => onChange({ at: Math.min(count, Math.max(1, to + 1)) });
  const drag = (what: Tool, dx: number, dy: number) => {
    if (what === "pan") act((to) => to.pan(dx, dy));
    else if (what === "zoom") act((to) => to.zoom(Math.exp(-dy / 150)));
    else if (what === "window" && window) onChange({ window: moved(window, dx, dy) });
    else if (what === "measure") places.nudge(dx / STEP, dy / STEP);
  };
  const acts: Acts = {
    tool: (next) => (next === "measure" && tool === next ? places.add() : setTool(next)),
    change: onChange,
    zoom: (by) => act((to) => to.zoom(by)),
    fit: () => act((to) => to.fit()),
    reset: () => {
      onChange({ window: undefined, invert: false, across: false, down: false });
      act((to) => to.fit());
    },
  };

  const pointing = usePointing(box, {
    tool: held,
    onDrag: drag,
    onPoint: places.point,
    onZoom: acts.zoom,
    onScroll: (by) => (count > 1 ? goTo(at + by) : acts.zoom(1.1 ** -by)),
  });
  usePlaying(playing && count > 1, stack?.rate ?? 1, () => goTo((at + 1) % count));
  const play = () => count > 1 && setPlaying(!playing);
  const arrow = (event: KeyboardEvent) => {
    const [dx, dy] = STEPS[event.key] ?? [0, 0];
    if (event.shiftKey) drag(held, dx * STEP, dy * STEP);
    else if (dy) goTo(at + dy);
  };
  useKeys({
    ArrowUp: arrow,
    ArrowDown: arrow,
    ArrowLeft: arrow,
    ArrowRight: arrow,
    PageUp: () => goTo(at - 10),
    PageDown: () => goTo(at + 10),
    Home: () => goTo(0),
    End: () => goTo(count - 1),
    " ": ({ target }) => (target instanceof HTMLButtonElement ? target.click() : play()),
    w: () => acts.tool("window"),
    p: () => acts.tool("pan"),
    z: () => acts.tool("zoom"),
    m: () => acts.tool("measure"),
    Delete: places.drop,
    Backspace: places.drop,
    n: () => {
      if (frame?.modality === "CT") onChange({ window: PRESETS[presetOf(state.window) + 1] });
    },
    "+": () => acts.zoom(1.25),
    "-": () => acts.zoom(1 / 1.25),
    "−": () => acts.zoom(1 / 1.25),
    f: acts.fit,
    i: () => onChange({ invert: !state.invert }),
    h: () => onChange({ across: !state.across }),
    v: () => onChange({ down: !state.down }),
    r: acts.reset,
  });

  return (
    <>
      <Toolbar
        state={state}
        tool={held}
        grey={grey}
        inHu={frame?.modality === "CT" && grey}
        acts={acts}
      />
      <div className={`viewer-screen ${held}`} aria-busy={!frame && !drawing.problem}>
        <div ref={box} className="viewer-canvas" data-shown={frame && at + 1} {...pointing} />
        {!frame && !drawing.problem && <div className="viewer-coming bone" />}
        {display && frame && (
          <Overlay
            display={display}
            frame={frame}
            window={window}
            state={state}
            at={at}
            of={count}
            lines={places.lines}
          />
        )}
        {places.lines.length > 0 && (
          <button
            type="button"
            className="viewer-drop"
            aria-label={w.dropLine}
            title={`${w.dropLine} (Del)`}
            onClick={places.drop}
          >
            <Icon name="close" size={16} /> <Icon name="measure" size={16} />
          </button>
        )}
        {display && !display.gpu && frame && (
          <span className="viewer-said at-plain">{w.plain}</span>
        )}
        {drawing.problem && (
          <div className="viewer-problem">
            <ProblemNotice problem={drawing.problem} retry={drawing.retry} />
          </div>
        )}
      </div>
      <div className="viewer-foot">
        {count > 1 && (
          <>
            <button
              type="button"
              className="button quiet tool"
              aria-label={playing ? w.pause : w.play}
              title={`${playing ? w.pause : w.play} (Space)`}
              onClick={play}
            >
              <Icon name={playing ? "pause" : "play"} size={20} />
            </button>
            <input
              type="range"
              min={1}
              max={count}
              value={at + 1}
              aria-label={w.slice(at + 1, count)}
              onChange={(event) => goTo(Number(event.target.value) - 1)}
            />
          </>
        )}
        <p className="viewer-hint">{w.hints[held === "window" && count === 1 ? "alone" : held]}</p>
      </div>
    </>
  );
}

/** The next frame, again and again; one that is late is waited for by whoever draws. */
function usePlaying(playing: boolean, rate: number, next: () => void): void {
  const latest = useRef(next);
  latest.current = next;
  useEffect(() => {
    if (!playing) return;
    const timer = setInterval(() => latest.current(), 1000 / Math.min(rate, 60));
    return () => clearInterval(timer);
  }, [playing, rate]);
}
