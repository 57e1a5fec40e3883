import { type ReactNode, useRef, useState } from "react";
import { type Look, renderedUrl, thumbnailUrl } from "../api/client";
import { useKeys } from "../lib/keys";
import { useWords } from "../lib/settings";
import { LightPick, WindowPick } from "./FrameTools";
import {
  draggedLight,
  draggedWindow,
  PLAIN,
  useDrag,
  useWheel,
  type Values,
  within,
} from "./frame";
import { usePicture } from "./picture";

export interface FrameOf {
  id: string;
  modality: string;
  /** Slices of a volume, 1 of a picture; undefined as long as that is not known. */
  slices: number | undefined;
  /** Where to begin, from one; undefined is the middle. */
  slice: number | undefined;
}

interface ViewerProps {
  frame: FrameOf;
  /** What lies over a slice, in the proportions of the frame. */
  over?: ((slice: number) => ReactNode) | undefined;
  resetKey?: string;
}

/** A frame drawn by the service: slices by wheel and keys, window or brightness by dragging. */
export function Viewer({ frame, over, resetKey = "r" }: ViewerProps) {
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
    [resetKey]: reset,
    ...((many || !known) && {
      ArrowUp: () => move(-1),
      ArrowDown: () => move(1),
      PageUp: () => move(-10),
      PageDown: () => move(10),
    }),
  });
  const drag = useDrag((dx, dy) => {
    if (inHu) setWindow((now) => draggedWindow(now, dx, dy));
    else setLight((now) => draggedLight(now, dx, dy));
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
        {over?.(slice)}
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
          <WindowPick values={window_} onChange={setWindow} />
        ) : (
          <LightPick light={light} onChange={setLight} />
        )}
        <button type="button" className="button quiet small" onClick={reset}>
          {t.reset}
        </button>
      </div>
      <p className="viewer-hint">{many && inHu ? t.scrollHint : t.dragHint}</p>
    </div>
  );
}
