import { type PointerEvent, type ReactNode, useEffect, useRef } from "react";
import { renderedUrl, thumbnailUrl } from "../../api/client";
import { useWords } from "../../lib/settings";
import { draggedLight, draggedWindow, useDrag, useWheel } from "../../parts/frame";
import { usePicture } from "../../parts/picture";
import { type Part, partBetween, placeIn } from "./geometry";
import { pictureOf } from "./heat";
import { type Look, moved, zoomed } from "./look";

export type Tool = "window" | "move" | "region";

/** Likeness laid over a picture: rows of cells, and the values between which colours lie. */
export interface Overlay {
  cells: (number | null)[][];
  low: number;
  high: number;
}

interface PaneProps {
  id: string;
  /** Of a picture that is shown as it came, in place of one of the library. */
  preview?: string;
  label: string;
  inHu: boolean;
  slice: number;
  slices: number;
  look: Look;
  tool: Tool;
  /** The keys mean this one alone. */
  active: boolean;
  overlay: Overlay | undefined;
  boxes: Part[];
  onLook: (change: (look: Look) => Look) => void;
  onSlice: (by: number) => void;
  onActive: () => void;
  /** Of a picture on which a region may be drawn: what is drawn, and that it is whole. */
  onDraw?: ((part: Part, done: boolean) => void) | undefined;
  children?: ReactNode;
}

/** One picture of the two: its slices, and all that is done to it with a pointer. */
export function Pane(props: PaneProps) {
  const { id, look, slice, slices, tool, onLook, onSlice } = props;
  const t = useWords();
  const screen = useRef<HTMLDivElement>(null);
  const stage = useRef<HTMLDivElement>(null);
  const many = slices > 1;
  const url = renderedUrl(id, {
    slice: many ? slice : undefined,
    window: props.inHu ? look.window : undefined,
    size: look.zoom > 1.5 ? 1536 : 768,
  });
  const [picture] = usePicture(props.preview || url, props.preview || url);
  const sizeOf = () => ({
    across: (stage.current?.getBoundingClientRect().width || 1) / look.zoom,
    down: (stage.current?.getBoundingClientRect().height || 1) / look.zoom,
  });

  useWheel(screen, many, (by, event) => {
    if (!event.ctrlKey && !event.metaKey) onSlice(by);
  });
  useZoomWheel(screen, (factor, clientX, clientY) => {
    const box = screen.current?.getBoundingClientRect();
    if (!box) return;
    const { across, down } = sizeOf();
    const px = (clientX - box.left - box.width / 2) / across;
    const py = (clientY - box.top - box.height / 2) / down;
    onLook((now) => zoomed(now, factor, px, py));
  });
  const drag = useDrag(
    (dx, dy) =>
      onLook((now) => {
        const { across, down } = sizeOf();
        if (tool === "move") return moved(now, dx / across, dy / down);
        return props.inHu
          ? { ...now, window: draggedWindow(now.window, dx, dy) }
          : { ...now, light: draggedLight(now.light, dx, dy) };
      }),
    tool === "move" && look.zoom > 1,
  );
  const draw = useDraw(stage, look, props.onDraw);
  const first = picture.loading && picture.ratio === 0;
  const drawing = tool === "region" && props.onDraw !== undefined;
  const { mirrored, upside, zoom, x, y } = look;
  return (
    <div className={`pane${props.active ? " active" : ""}`} aria-busy={picture.loading}>
      <div
        ref={screen}
        className={`screen tool-${drawing ? "region" : tool}${first ? " first" : ""}`}
        onPointerEnter={props.onActive}
        {...(drawing ? draw : drag)}
      >
        <div
          ref={stage}
          className="stage"
          style={{
            aspectRatio: String(picture.ratio || 1),
            width: `min(100cqw, calc(100cqh * ${picture.ratio || 1}))`,
            transform: `translate(-50%, -50%) translate(${100 * x}%, ${100 * y}%) scale(${
              mirrored ? -zoom : zoom
            }, ${upside ? -zoom : zoom})`,
          }}
        >
          <img
            src={picture.failed && id ? thumbnailUrl(id) : picture.shown}
            alt={props.label}
            draggable={false}
            style={{
              filter: `brightness(${look.light.brightness}) contrast(${look.light.contrast})`,
            }}
            className={picture.loading ? "coming" : ""}
          />
          {props.overlay && <Heat overlay={props.overlay} />}
          {props.boxes.map((box) => (
            <span
              key={`${box.x} ${box.y} ${box.width} ${box.height}`}
              className="region-box"
              style={{
                left: `${100 * box.x}%`,
                top: `${100 * box.y}%`,
                width: `${100 * box.width}%`,
                height: `${100 * box.height}%`,
                borderWidth: `${2 / zoom}px`,
              }}
            />
          ))}
        </div>
        {picture.failed && (
          <p className="screen-note" role="status">
            <strong>{t.pictureGone}.</strong> {picture.why} {id && t.pictureThumb}
          </p>
        )}
        {many && (
          <span className="screen-slice">
            {slice} / {slices}
          </span>
        )}
        <span className="screen-window">
          {[
            props.inHu && look.window && `C ${look.window.center} W ${look.window.width}`,
            zoom > 1 && `×${zoom.toFixed(1)}`,
            mirrored && "⇋",
            upside && "⥮",
          ]
            .filter(Boolean)
            .join(" ")}
        </span>
        {props.children}
      </div>
      <div className="pane-slices">
        {many && (
          <input
            type="range"
            min={1}
            max={slices}
            value={slice}
            aria-label={`${props.label}: ${t.slice(slice, slices)}`}
            onChange={(event) => onSlice(Number(event.target.value) - slice)}
          />
        )}
      </div>
    </div>
  );
}

function Heat({ overlay }: { overlay: Overlay }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const picture = pictureOf(overlay.cells, overlay.low, overlay.high);
    const element = canvas.current;
    if (!element || !picture) return;
    element.width = picture.width;
    element.height = picture.height;
    element.getContext("2d")?.putImageData(picture, 0, 0);
  }, [overlay]);
  return <canvas ref={canvas} className="heat" />;
}

function useZoomWheel(
  box: React.RefObject<HTMLElement | null>,
  zoom: (factor: number, clientX: number, clientY: number) => void,
): void {
  const zooming = useRef(zoom);
  zooming.current = zoom;
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const turned = (event: WheelEvent) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      zooming.current(1.0015 ** -event.deltaY, event.clientX, event.clientY);
    };
    element.addEventListener("wheel", turned, { passive: false });
    return () => element.removeEventListener("wheel", turned);
  }, [box]);
}

const LEAST = 0.02;

/** Drawing a box: each move tells how it is now, letting go that it is whole. */
function useDraw(
  stage: React.RefObject<HTMLElement | null>,
  look: Look,
  tell: ((part: Part, done: boolean) => void) | undefined,
) {
  const from = useRef<[number, number] | null>(null);
  const place = (event: PointerEvent) => {
    const box = stage.current?.getBoundingClientRect();
    return box ? placeIn(box, look, event.clientX, event.clientY) : undefined;
  };
  return {
    onPointerDown: (event: PointerEvent) => {
      from.current = place(event) ?? null;
      event.currentTarget.setPointerCapture(event.pointerId);
    },
    onPointerMove: (event: PointerEvent) => {
      const to = place(event);
      if (from.current && to) tell?.(partBetween(from.current, to), false);
    },
    onPointerUp: (event: PointerEvent) => {
      const to = place(event);
      const part = from.current && to && partBetween(from.current, to);
      from.current = null;
      if (part && part.width >= LEAST && part.height >= LEAST) tell?.(part, true);
    },
    onPointerCancel: () => {
      from.current = null;
    },
  };
}
