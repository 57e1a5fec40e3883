import { useRef, useState } from "react";
import { type Look, renderedUrl, thumbnailUrl } from "../api/client";
import { useKeys } from "../lib/keys";
import { useWords } from "../lib/settings";
import { LightPick, WindowPick } from "./FrameTools";
import {
  draggedLight,
  draggedWindow,
  PLAIN,
  useDrag,
  usePicture,
  useWheel,
  type Values,
  within,
} from "./frame";

export interface FrameOf {
  id: string;
  modality: string;
  /** Slices of a volume, 1 of a picture. */
  slices: number;
  /** Where to begin, from one. */
  slice: number;
}

/** A frame drawn by the service: slices by wheel and keys, window or brightness by dragging. */
export function Viewer({ frame }: { frame: FrameOf }) {
  const t = useWords();
  const [slice, setSlice] = useState(frame.slice);
  const [window_, setWindow] = useState<Values | undefined>();
  const [light, setLight] = useState(PLAIN);
  const box = useRef<HTMLDivElement>(null);
  const inHu = frame.modality === "CT";
  const many = frame.slices > 1;
  const look: Look = { slice: many ? slice : undefined, window: window_ };
  const picture = usePicture(renderedUrl(frame.id, look));
  const move = (by: number) => setSlice((now) => within(now + by, 1, frame.slices));
  const reset = () => {
    setWindow(undefined);
    setLight(PLAIN);
    setSlice(frame.slice);
  };

  useWheel(box, many, move);
  useKeys({
    r: reset,
    ...(many && {
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
      <div ref={box} className="screen" {...drag}>
        <img
          src={picture.failed ? thumbnailUrl(frame.id) : picture.shown}
          alt=""
          draggable={false}
          style={{ filter: `brightness(${light.brightness}) contrast(${light.contrast})` }}
          className={picture.loading ? "coming" : ""}
        />
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
