import { type ReactNode, useEffect, useRef, useState } from "react";
import { type Look, renderedUrl, thumbnailUrl } from "../api/client";
import { useKeys } from "../lib/keys";
import { useWords } from "../lib/settings";

export interface FrameOf {
  id: string;
  modality: string;
  /** Slices of a volume, 1 of a picture. */
  slices: number;
  /** Where to begin, from one. */
  slice: number;
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

interface ViewerProps {
  frame: FrameOf;
  /** What lies over a slice, in the proportions of the frame. */
  over?: ((slice: number) => ReactNode) | undefined;
  resetKey?: string;
}

/** A frame drawn by the service: slices by wheel and keys, window or brightness by dragging. */
export function Viewer({ frame, over, resetKey = "r" }: ViewerProps) {
  const t = useWords();
  const [slice, setSlice] = useState(frame.slice);
  const [window_, setWindow] = useState<Values | undefined>();
  const [light, setLight] = useState(PLAIN);
  const box = useRef<HTMLDivElement>(null);
  const inHu = frame.modality === "CT";
  const many = frame.slices > 1;
  const look: Look = { slice: many ? slice : undefined, window: window_ };
  const picture = usePicture(renderedUrl(frame.id, look));
  const move = (by: number) => setSlice((now) => Math.min(frame.slices, Math.max(1, now + by)));
  const reset = () => {
    setWindow(undefined);
    setLight(PLAIN);
    setSlice(frame.slice);
  };

  useWheel(box, many, move);
  useKeys({
    [resetKey]: reset,
    ...(many && {
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
      <div ref={box} className="screen" {...drag}>
        <img
          src={picture.failed ? thumbnailUrl(frame.id) : picture.shown}
          alt=""
          draggable={false}
          style={{ filter: `brightness(${light.brightness}) contrast(${light.contrast})` }}
          className={picture.loading ? "coming" : ""}
        />
        {over?.(slice)}
        {picture.failed && (
          <p className="screen-note" role="status">
            <strong>{t.pictureGone}.</strong> {picture.why} {t.pictureThumb}
          </p>
        )}
        {many && (
          <span className="screen-slice">
            {slice} / {frame.slices}
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
            max={frame.slices}
            value={slice}
            aria-label={t.slice(slice, frame.slices)}
            onChange={(event) => setSlice(Number(event.target.value))}
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

/** The picture at an address. The one before stays until it is there; one is fetched at a time. */
function usePicture(url: string): Picture {
  const [picture, setPicture] = useState<Picture>({
    shown: url,
    loading: true,
    failed: false,
    why: "",
  });
  const wanted = useRef(url);
  const busy = useRef(false);
  useEffect(() => {
    wanted.current = url;
    if (busy.current) return;
    let live = true;
    async function fetchWanted(): Promise<void> {
      busy.current = true;
      const now = wanted.current;
      setPicture((old) => ({ ...old, loading: true }));
      const why = await loaded(now);
      busy.current = false;
      if (!live) return;
      if (wanted.current !== now) return fetchWanted();
      setPicture({ shown: now, loading: false, failed: why !== null, why: why ?? "" });
    }
    void fetchWanted();
    return () => {
      live = false;
      busy.current = false;
    };
  }, [url]);
  return picture;
}

/** Null when the picture is there, else why it is not. */
function loaded(url: string): Promise<string | null> {
  return new Promise((resolve) => {
    const image = new Image();
    image.onload = () => resolve(null);
    image.onerror = () => {
      fetch(url)
        .then((response) => response.json())
        .then((told: { detail?: string }) => resolve(told.detail ? `${told.detail}.` : ""))
        .catch(() => resolve(""));
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
