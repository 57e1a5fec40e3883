import { useEffect, useReducer, useRef, useState } from "react";
import { type Look, pictureTrouble, renderedUrl, thumbnailUrl } from "../api/client";
import { useOnSignIn } from "../lib/ask";
import { useKeys } from "../lib/keys";
import { useWords } from "../lib/settings";

export interface FrameOf {
  id: string;
  modality: string;
  /** Slices of a volume, 1 of a picture; undefined as long as that is not known. */
  slices: number | undefined;
  /** Where to begin, from one; undefined is the middle. */
  slice: number | undefined;
}

interface Values {
  center: number;
  width: number;
}

/** In HU, in the order of their names in the messages. */
const WINDOWS: readonly Values[] = [
  { center: 40, width: 400 },
  { center: -600, width: 1500 },
  { center: 400, width: 1800 },
  { center: 40, width: 80 },
  { center: 60, width: 160 },
];
const PLAIN = { brightness: 1, contrast: 1 };

/** A frame drawn by the service: slices by wheel and keys, window or brightness by dragging. */
export function Viewer({ frame }: { frame: FrameOf }) {
  const t = useWords();
  // Counted from where it begins: keys that come before the slices are known are not lost.
  const [moved, setMoved] = useState(0);
  const [window_, setWindow] = useState<Values | undefined>();
  const [light, setLight] = useState(PLAIN);
  const box = useRef<HTMLDivElement>(null);
  const inHu = frame.modality === "CT";
  const known = frame.slices !== undefined;
  const slices = frame.slices ?? 1;
  const many = slices > 1;
  const first = frame.slice ?? Math.ceil(slices / 2);
  const slice = within(first + moved, 1, slices);
  const look: Look = { slice: many ? slice : undefined, window: window_ };
  const [picture, retry] = usePicture(
    known ? renderedUrl(frame.id, look) : "",
    many ? "" : thumbnailUrl(frame.id),
  );
  const move = (by: number) =>
    setMoved((now) => (known ? within(first + now + by, 1, slices) - first : now + by));
  const reset = () => {
    setWindow(undefined);
    setLight(PLAIN);
    setMoved(0);
  };

  useWheel(box, many, move);
  useKeys({
    r: reset,
    ...((many || !known) && {
      ArrowUp: () => move(-1),
      ArrowDown: () => move(1),
      PageUp: () => move(-10),
      PageDown: () => move(10),
    }),
  });
  const drag = useDrag((dx, dy) => {
    if (inHu) {
      setWindow((now = { center: 40, width: 400 }) => ({
        center: Math.round(now.center + dy * 2),
        width: Math.max(1, Math.round(now.width + dx * 4)),
      }));
    } else {
      setLight((now) => ({
        brightness: within(now.brightness - dy / 200, 0.1, 2),
        contrast: within(now.contrast + dx / 200, 0.1, 3),
      }));
    }
  });

  return (
    <div className="viewer">
      <div
        ref={box}
        className={picture.shown || picture.failed ? "screen" : "screen bone"}
        {...drag}
      >
        {(picture.failed || picture.shown) && (
          <img
            src={picture.failed ? thumbnailUrl(frame.id) : picture.shown}
            alt=""
            draggable={false}
            style={{ filter: `brightness(${light.brightness}) contrast(${light.contrast})` }}
            className={picture.loading ? "coming" : ""}
          />
        )}
        {picture.failed && (
          <p className="screen-note" role="status">
            <strong>{t.pictureGone}.</strong> {picture.why} {t.pictureThumb}{" "}
            <button type="button" className="link" onClick={retry}>
              {t.retry}
            </button>
          </p>
        )}
        {many && (
          <span className="screen-slice">
            {slice} / {slices}
          </span>
        )}
        {window_ && (
          <span className="screen-window">
            C {window_.center} W {window_.width}
          </span>
        )}
      </div>
      <div className="viewer-tools">
        {many && (
          <input
            type="range"
            min={1}
            max={slices}
            value={slice}
            aria-label={t.slice(slice, slices)}
            onChange={(event) => setMoved(Number(event.target.value) - first)}
          />
        )}
        {inHu ? (
          <label className="pick">
            {t.window}
            <select
              value={placeOfWindow(window_)}
              onChange={(event) => setWindow(WINDOWS[Number(event.target.value || "-1")])}
            >
              <option value="">{t.windowAuto}</option>
              {WINDOWS.map(({ center, width }, at) => (
                <option key={t.windows[at]} value={at}>
                  {t.windows[at]} {center} / {width}
                </option>
              ))}
              {window_ && placeOfWindow(window_) === OTHER && (
                <option value={OTHER}>
                  {window_.center} / {window_.width}
                </option>
              )}
            </select>
          </label>
        ) : (
          <>
            {slider(t.brightness, light.brightness, 0.1, 2, (brightness) =>
              setLight({ ...light, brightness }),
            )}
            {slider(t.contrast, light.contrast, 0.1, 3, (contrast) =>
              setLight({ ...light, contrast }),
            )}
          </>
        )}
        <button type="button" className="button quiet small" onClick={reset}>
          {t.reset}
        </button>
      </div>
      <p className="viewer-hint">{many && inHu ? t.scrollHint : t.dragHint}</p>
    </div>
  );
}

const OTHER = "other";

function placeOfWindow(values: Values | undefined): string {
  if (!values) return "";
  const at = WINDOWS.findIndex(
    ({ center, width }) => center === values.center && width === values.width,
  );
  return at < 0 ? OTHER : String(at);
}

const within = (value: number, least: number, most: number): number =>
  Math.min(most, Math.max(least, value));

function slider(
  label: string,
  value: number,
  least: number,
  most: number,
  set: (value: number) => void,
) {
  return (
    <label className="pick">
      {label}
      <input
        type="range"
        min={least}
        max={most}
        step={0.05}
        value={value}
        onChange={(event) => set(Number(event.target.value))}
      />
    </label>
  );
}

interface Picture {
  shown: string;
  loading: boolean;
  failed: boolean;
  why: string;
}

const NOTHING: Picture = { shown: "", loading: true, failed: false, why: "" };

/**
 * The picture at an address; none is fetched where that is empty. The one before stays until it is
 * there, at first a stand-in; one is fetched at a time.
 */
function usePicture(url: string, standIn: string): [picture: Picture, retry: () => void] {
  const [picture, setPicture] = useState<Picture>({ ...NOTHING, shown: standIn });
  const [round, again] = useReducer((n: number) => n + 1, 0);
  useOnSignIn(again);
  const wanted = useRef(url);
  const busy = useRef(false);
  const live = useRef(true);
  useEffect(() => {
    live.current = true;
    return () => {
      live.current = false;
    };
  }, []);
  // biome-ignore lint/correctness/useExhaustiveDependencies: `round` asks for the same again
  useEffect(() => {
    wanted.current = url;
    if (!url || busy.current) return;
    async function fetchWanted(): Promise<void> {
      busy.current = true;
      let now = "";
      while (live.current && wanted.current !== now) {
        now = wanted.current;
        setPicture((old) => ({ ...old, loading: true }));
        const why = await loaded(now);
        if (!live.current) break;
        setPicture({ shown: now, loading: false, failed: why !== null, why: why ?? "" });
      }
      busy.current = false;
    }
    void fetchWanted();
  }, [url, round]);
  return [picture, again];
}

/** Null when the picture is there, else why it is not. */
function loaded(url: string): Promise<string | null> {
  return new Promise((resolve) => {
    const image = new Image();
    image.onload = () => resolve(null);
    image.onerror = async () => {
      const problem = await pictureTrouble(url);
      resolve(problem?.message ? `${problem.message}.` : "");
    };
    image.src = url;
  });
}

function useWheel(
  box: React.RefObject<HTMLElement | null>,
  active: boolean,
  move: (by: number) => void,
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
      if (steps) moving.current(steps);
    };
    element.addEventListener("wheel", turned, { passive: false });
    return () => element.removeEventListener("wheel", turned);
  }, [box, active]);
}

function useDrag(move: (dx: number, dy: number) => void) {
  const last = useRef<[number, number] | null>(null);
  return {
    onPointerDown: (event: React.PointerEvent) => {
      if (event.pointerType === "touch") return; // there a finger scrolls the page
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
