import { useEffect, useRef, useState } from "react";
import { renderedUrl, thumbnailUrl } from "../../api/client";
import { useWords, useWordsOf } from "../../lib/settings";
import type { Look } from "./state";
import type { Seen } from "./subject";
import { WORDS } from "./words";

const BLINK_MS = 650;

interface ScreensProps {
  seen: readonly Seen[];
  look: Look;
  /** Where in the volumes, from 0 to 1: both are scrolled together. */
  depth: number;
  onDepth: (depth: number) => void;
  names: readonly string[];
}

/** One picture, or two: beside each other, in turn, or what differs between them. */
export function Screens({ seen, look, depth, onDepth, names }: ScreensProps) {
  const t = useWordsOf(WORDS);
  const box = useRef<HTMLDivElement>(null);
  const most = Math.max(1, ...seen.map((each) => each.slices));
  const pair = seen.length > 1;
  const turn = useTurn(pair && look === "blink");
  const stacked = pair && look !== "side";
  useWheel(box, most > 1, (by) => onDepth(Math.min(1, Math.max(0, depth + by / (most - 1)))));
  return (
    <>
      <div ref={box} className={`screens${stacked ? ` stacked ${look}` : pair ? " pair" : ""}`}>
        {seen.map((each, at) => (
          <figure
            key={each.id}
            className={look === "blink" && stacked && at !== turn ? "away" : ""}
          >
            <Frame seen={each} depth={depth} />
            {pair && (
              <figcaption className={at ? "right" : ""}>
                {stacked && look === "blink" ? t.blinkNow(names[at] ?? "") : names[at]}
              </figcaption>
            )}
          </figure>
        ))}
      </div>
      {most > 1 && (
        <label className="depth">
          {t.slice}
          <input
            type="range"
            min={0}
            max={1}
            step={1 / (most - 1)}
            value={depth}
            onChange={(event) => onDepth(Number(event.target.value))}
          />
          <span>{seen.map((each) => `${sliceAt(each, depth)}/${each.slices}`).join(" · ")}</span>
        </label>
      )}
    </>
  );
}

export const sliceAt = (seen: Seen, depth: number): number =>
  1 + Math.round(depth * (seen.slices - 1));

export const frameUrl = (seen: Seen, depth: number): string =>
  renderedUrl(seen.id, { slice: seen.slices > 1 ? sliceAt(seen, depth) : undefined });

function Frame({ seen, depth }: { seen: Seen; depth: number }) {
  const t = useWords();
  const url = frameUrl(seen, depth);
  const [broken, setBroken] = useState("");
  const [drawn, setDrawn] = useState(false);
  const failed = broken === url;
  return (
    <>
      {!drawn && <span className="bone frame-bone" />}
      <img
        src={failed ? thumbnailUrl(seen.id) : url}
        alt=""
        draggable={false}
        onLoad={() => setDrawn(true)}
        onError={() => {
          setDrawn(true);
          setBroken(url);
        }}
      />
      {failed && (
        <p className="screen-note" role="status">
          <strong>{t.pictureGone}.</strong> {t.pictureThumb}
        </p>
      )}
    </>
  );
}

/** 0 and 1 in turn. */
function useTurn(active: boolean): number {
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    if (!active) return;
    const timer = setInterval(() => setTurn((now) => 1 - now), BLINK_MS);
    return () => clearInterval(timer);
  }, [active]);
  return turn;
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
    const turned = (event: WheelEvent) => {
      event.preventDefault(); // the slices move, not the page
      moving.current(Math.sign(event.deltaY));
    };
    element.addEventListener("wheel", turned, { passive: false });
    return () => element.removeEventListener("wheel", turned);
  }, [box, active]);
}
