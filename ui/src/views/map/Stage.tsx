import {
  type Ref,
  type RefObject,
  useEffect,
  useImperativeHandle,
  useMemo,
  useRef,
  useState,
} from "react";
import { useSettings, useWordsOf } from "../../lib/settings";
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
import type { Row } from "./colours";
import { type Label, type Met, NONE, nearest } from "./geometry";
import type { PointIds } from "./ids";
import { useCamera } from "./looking";
import { useGestures } from "./moving";
import { type Above, drawAbove } from "./overlay";
import { Peek } from "./Peek";
import { useDrawn, usePlot } from "./plotting";
import { DrawingTrouble, ZoomButtons } from "./StageTools";
import { useSize } from "./sizing";
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
  acts: Ref<StageActs>;
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
  /** By which a picture of the pointed one is shown, if one is. */
  peek: PointIds | undefined;
  opened: number;
  onCamera: (camera: Camera | null) => void;
  onPoint: (at: number) => void;
  onOpen: (at: number) => void;
  onLasso: (corners: Place[]) => void;
}

const NEAR = 12;

/** The points, what lies above them, and all that a pointer can do with them. */
export function Stage(props: StageProps) {
  const t = useWordsOf(WORDS);
  const { points, styles, rows, labels, lasso, pointed, opened } = props;
  const box = useRef<HTMLDivElement>(null);
  const { width, height, ratio } = useSize(box);
  const { canvas, plot, trouble, again } = usePlot();
  const [line, setLine] = useState<Place[]>([]);
  const look = useLook(props, width, height);
  const { sight, zoom, fit } = look;
  useDrawn(plot, { points, styles, rows, sight, ratio, ready: width > 0, moving: look.moving });
  const rings = useMemo(() => ringsOf(points, pointed, opened), [points, pointed, opened]);
  const above = useAbove({ sight, ratio, labels, lasso, drawing: line, rings }, width > 0);
  useImperativeHandle(props.acts, () => ({
    zoom,
    fit,
    reveal: look.reveal,
    corners: () => cornersOf(sight),
  }));
  const find = (x: number, y: number) => nearest(points, props.met, sight, x, y, NEAR);
  useGestures(box, props.drawing, {
    pan: look.pan,
    zoom,
    draw: (drawn, ended) => {
      const corners = drawn.map(([x, y]) => onMap(sight, x, y));
      setLine(ended ? [] : corners);
      if (ended) props.onLasso(corners);
    },
    pick: (x, y) => props.onOpen(find(x, y)),
    hover: (at) => props.onPoint(at ? find(...at) : NONE),
  });
  const size = { width: Math.round(width * ratio), height: Math.round(height * ratio) };
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
        <canvas key={canvas.key} ref={canvas.ref} className="map-points" {...size} />
        <canvas ref={above} className="map-above" {...size} />
      </div>
      <p id="map-help" className="sr">
        {t.stageHelp}
      </p>
      <DrawingTrouble trouble={trouble} again={again} />
      <ZoomButtons onZoom={zoom} onFit={fit} />
      {props.peek && pointed !== NONE && (
        <Peek
          point={pointed}
          ids={props.peek}
          at={onScreen(sight, ...place(points, pointed))}
          {...{ width, height }}
        />
      )}
    </div>
  );
}

interface Look {
  sight: Sight;
  moving: RefObject<boolean>;
  zoom: (factor: number, x?: number, y?: number) => void;
  pan: (dx: number, dy: number) => void;
  fit: () => void;
  reveal: (at: number) => void;
}

/** What part of the points is looked at, and how that is changed. */
function useLook(props: StageProps, width: number, height: number): Look {
  const { points } = props;
  const extent = useMemo(() => extentOf(points), [points]);
  const { camera, live, setCamera, moving } = useCamera(props.camera, props.onCamera);
  const now = camera ?? fitting(extent);
  const sight = useMemo(
    () => sightOf(now, extent, Math.max(1, width), Math.max(1, height)),
    [now, extent, width, height],
  );
  // Several moves may come before the next drawing: each goes on from the one before.
  const move = (change: (from: Camera, sight: Sight) => Camera) => {
    const from = live.current ?? fitting(extent);
    setCamera(change(from, sightOf(from, extent, width, height)));
  };
  return {
    sight,
    moving,
    zoom: (factor, x, y) => move((from, seen) => zoomed(from, seen, factor, x, y)),
    pan: (dx, dy) => move((from, seen) => panned(from, seen, dx, dy)),
    fit: () => setCamera(null),
    reveal: (at) => {
      const next = showing(now, sight, ...place(points, at));
      if (next !== now) setCamera(next);
    },
  };
}

/** Draws what lies above the points, whenever it changes. */
function useAbove(shown: Above, ready: boolean): RefObject<HTMLCanvasElement | null> {
  const canvas = useRef<HTMLCanvasElement>(null);
  const { theme } = useSettings();
  const { sight, ratio, labels, lasso, drawing, rings } = shown;
  // biome-ignore lint/correctness/useExhaustiveDependencies: the theme decides on the inks
  useEffect(() => {
    if (canvas.current && ready)
      drawAbove(canvas.current, { sight, ratio, labels, lasso, drawing, rings });
  }, [sight, ratio, labels, lasso, drawing, rings, ready, theme]);
  return canvas;
}

const place = (points: Float32Array, at: number): Place => [
  points[2 * at] ?? 0,
  points[2 * at + 1] ?? 0,
];

function ringsOf(points: Float32Array, pointed: number, opened: number): Above["rings"] {
  const open = opened === NONE ? [] : [{ place: place(points, opened), strong: true }];
  if (pointed === NONE || pointed === opened) return open;
  return [...open, { place: place(points, pointed), strong: false }];
}

function cornersOf(sight: Sight): Place[] {
  const { width, height } = sight;
  const edges: Place[] = [
    [0, 0],
    [width, 0],
    [width, height],
    [0, height],
  ];
  return edges.map(([x, y]) => onMap(sight, x, y));
}
