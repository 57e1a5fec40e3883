import { useCallback, useEffect, useImperativeHandle, useMemo, useRef, useState } from "react";
import { useSettings, useWordsOf } from "../../lib/settings";
import { Icon } from "../../parts/Icon";
import { Notice } from "../../parts/Notice";
import {
  type Camera,
  extentOf,
  fitting,
  onMap,
  onScreen,
  type Place,
  panned,
  type Sight,
  showing,
  sightOf,
  zoomed,
} from "./camera";
import { GROUND, type Row, rgb } from "./colours";
import { type Label, type Met, NONE, nearest } from "./geometry";
import { glPainter } from "./gl";
import { useGestures } from "./moving";
import { drawAbove } from "./overlay";
import { Peek } from "./Peek";
import { plainPainter } from "./plain";
import { type Plot, plotOn } from "./plot";
import { rounded } from "./state";
import { WORDS } from "./words";

/** What keys do on the stage. */
export interface StageActs {
  zoom: (factor: number) => void;
  fit: () => void;
  /** Bring a point into sight. */
  reveal: (at: number) => void;
  /** The corners of what is in sight, in units of the map. */
  corners: () => Place[];
}

interface StageProps {
  acts: React.Ref<StageActs>;
  points: Float32Array;
  styles: Uint8Array;
  rows: readonly Row[];
  met: Met;
  labels: readonly Label[];
  lasso: readonly Place[];
  /** Drag draws a line, also without Shift. */
  drawing: boolean;
  camera: Camera | null;
  pointed: number;
  /** Of the pointed one a picture is shown. */
  peek: string;
  opened: number;
  onCamera: (camera: Camera | null) => void;
  onPoint: (at: number) => void;
  onOpen: (at: number) => void;
  onLasso: (corners: Place[]) => void;
}

const COMMIT_MS = 300;
const NEAR = 12;

/** The points, what lies above them, and all that a pointer can do with them. */
export function Stage(props: StageProps) {
  const t = useWordsOf(WORDS);
  const { points, styles, rows, labels, lasso, pointed, opened } = props;
  const { theme } = useSettings();
  const box = useRef<HTMLDivElement>(null);
  const above = useRef<HTMLCanvasElement>(null);
  const { width, height, ratio } = useSize(box);
  const extent = useMemo(() => extentOf(points), [points]);
  const { canvas, plot, trouble, again } = usePlot();
  const [line, setLine] = useState<Place[]>([]);
  const { camera, live, setCamera, moving } = useCamera(props.camera, props.onCamera);
  const now = camera ?? fitting(extent);
  const sight = useMemo(
    () => sightOf(now, extent, Math.max(1, width), Math.max(1, height)),
    [now, extent, width, height],
  );

  useEffect(() => plot?.load(points), [plot, points]);
  useEffect(() => plot?.dress(styles), [plot, styles]);
  useEffect(() => {
    const ground = rgb(GROUND[theme]);
    plot?.colours(
      rows.map((row) => rgb(row.colour)),
      ground,
    );
  }, [plot, rows, theme]);
  useEffect(() => {
    if (width) plot?.look(sight, ratio, moving.current);
  }, [plot, sight, ratio, width, moving]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the theme decides on the inks
  useEffect(() => {
    const rings = [
      ...(opened === NONE ? [] : [{ place: place(points, opened), strong: true }]),
      ...(pointed === NONE || pointed === opened
        ? []
        : [{ place: place(points, pointed), strong: false }]),
    ];
    if (above.current && width)
      drawAbove(above.current, { sight, ratio, labels, lasso, drawing: line, rings });
  }, [points, sight, ratio, width, labels, lasso, line, pointed, opened, theme]);

  // Several moves may come before the next drawing: each goes on from the one before.
  const move = (change: (from: Camera, sight: Sight) => Camera) => {
    const from = live.current ?? fitting(extent);
    setCamera(change(from, sightOf(from, extent, width, height)));
  };
  const zoom = (factor: number, x?: number, y?: number) =>
    move((from, seen) => zoomed(from, seen, factor, x, y));
  useImperativeHandle(props.acts, () => ({
    zoom,
    fit: () => setCamera(null),
    reveal: (at) => {
      const next = showing(now, sight, ...place(points, at));
      if (next !== now) setCamera(next);
    },
    corners: () =>
      [
        [0, 0],
        [width, 0],
        [width, height],
        [0, height],
      ].map(([x = 0, y = 0]) => onMap(sight, x, y)),
  }));
  const find = (x: number, y: number) => nearest(points, props.met, sight, x, y, NEAR);
  useGestures(box, props.drawing, {
    pan: (dx, dy) => move((from, seen) => panned(from, seen, dx, dy)),
    zoom,
    draw: (drawn, ended) => {
      const corners = drawn.map(([x, y]) => onMap(sight, x, y));
      setLine(ended ? [] : corners);
      if (ended) props.onLasso(corners);
    },
    pick: (x, y) => props.onOpen(find(x, y)),
    hover: (at) => props.onPoint(at ? find(...at) : NONE),
  });

  const at = pointed === NONE ? undefined : place(points, pointed);
  return (
    <div
      ref={box}
      className={`map-stage${props.drawing ? " drawing" : ""}`}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: it is moved over by keys, as the sheet says
      tabIndex={0}
      role="application"
      aria-label={t.stage(points.length / 2)}
      aria-describedby="map-help"
    >
      <div aria-hidden="true">
        <canvas
          key={canvas.key}
          ref={canvas.ref}
          className="map-points"
          width={Math.round(width * ratio)}
          height={Math.round(height * ratio)}
        />
        <canvas
          ref={above}
          className="map-above"
          width={Math.round(width * ratio)}
          height={Math.round(height * ratio)}
        />
      </div>
      <p id="map-help" className="sr">
        {t.stageHelp}
      </p>
      {trouble && (
        <div className="map-trouble">
          <Notice
            kind="warn"
            title={trouble === "none" ? t.noCanvas : trouble === "lost" ? t.glLost : t.glAbsent}
            actions={
              trouble !== "none" && (
                <button type="button" className="button small" onClick={again}>
                  {t.glAgain}
                </button>
              )
            }
          >
            {trouble === "none" ? t.noCanvasText : t.glText}
          </Notice>
        </div>
      )}
      <div className="map-zoom">
        {button("plus", t.zoomIn, () => zoom(1.5))}
        {button("minus", t.zoomOut, () => zoom(1 / 1.5))}
        {button("fit", t.fit, () => setCamera(null))}
      </div>
      {props.peek && at && (
        <Peek id={props.peek} at={onScreen(sight, ...at)} width={width} height={height} />
      )}
    </div>
  );
}

const place = (points: Float32Array, at: number): Place => [
  points[2 * at] ?? 0,
  points[2 * at + 1] ?? 0,
];

function button(icon: "plus" | "minus" | "fit", title: string, act: () => void) {
  return (
    <button type="button" className="button small" title={title} aria-label={title} onClick={act}>
      <Icon name={icon} size={16} />
    </button>
  );
}

interface Size {
  width: number;
  height: number;
  ratio: number;
}

function useSize(box: React.RefObject<HTMLElement | null>): Size {
  const [size, setSize] = useState<Size>({ width: 0, height: 0, ratio: 1 });
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const observer = new ResizeObserver(() => {
      const { clientWidth, clientHeight } = element;
      const ratio = Math.min(2, window.devicePixelRatio || 1);
      setSize({ width: clientWidth, height: clientHeight, ratio });
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, [box]);
  return size;
}

interface Moving {
  camera: Camera | null;
  /** As it is now, also before it is drawn. */
  live: React.RefObject<Camera | null>;
  setCamera: (camera: Camera | null) => void;
  moving: React.RefObject<boolean>;
}

/** The camera as it moves; the address follows when it rests. */
function useCamera(told: Camera | null, onCamera: (camera: Camera | null) => void): Moving {
  const [camera, setShown] = useState(told);
  const live = useRef(told);
  const moving = useRef(false);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const commit = useRef(onCamera);
  commit.current = onCamera;
  const key = addressed(told);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the same place is another object each time
  useEffect(() => {
    // What the address says of where it is already is less exact.
    if (moving.current || addressed(live.current) === key) return;
    live.current = told;
    setShown(told);
  }, [key]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const setCamera = useCallback((next: Camera | null) => {
    moving.current = true;
    live.current = next;
    setShown(next);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => {
      moving.current = false;
      commit.current(next);
    }, COMMIT_MS);
  }, []);
  return { camera, live, setCamera, moving };
}

const addressed = (camera: Camera | null): string =>
  camera ? [camera.x, camera.y, camera.zoom].map(rounded).join() : "";

type Trouble = "" | "absent" | "lost" | "none";

interface Drawn {
  canvas: { key: string; ref: React.RefObject<HTMLCanvasElement | null> };
  plot: Plot | undefined;
  trouble: Trouble;
  again: () => void;
}

/** A plot by WebGL; where there is none, or it is lost, on a plain canvas. */
function usePlot(): Drawn {
  const ref = useRef<HTMLCanvasElement>(null);
  const [plot, setPlot] = useState<Plot | undefined>();
  const [trouble, setTrouble] = useState<Trouble>("");
  const [round, setRound] = useState(0);
  const plain = trouble !== "";
  // biome-ignore lint/correctness/useExhaustiveDependencies: another round begins on another canvas
  useEffect(() => {
    const canvas = ref.current;
    if (!canvas) return;
    const painter = plain ? plainPainter(canvas) : glPainter(canvas);
    if (!painter) {
      setTrouble(plain ? "none" : "absent");
      return;
    }
    const made = plotOn(painter, (some, all) => {
      canvas.dataset.drawn = some === all ? "all" : "some";
    });
    const lost = () => setTrouble("lost");
    canvas.addEventListener("webglcontextlost", lost);
    setPlot(made);
    return () => {
      canvas.removeEventListener("webglcontextlost", lost);
      made.drop();
      setPlot(undefined);
    };
  }, [plain, round]);
  const again = useCallback(() => {
    setTrouble("");
    setRound((n) => n + 1);
  }, []);
  return { canvas: { key: `${plain} ${round}`, ref }, plot, trouble, again };
}
