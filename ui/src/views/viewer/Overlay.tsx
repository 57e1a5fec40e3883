import { useSettings, useWordsOf } from "../../lib/settings";
import type { Display } from "./engine";
import type { Frame, Window } from "./frame";
import { type Line, lengthOf } from "./measure";
import { edges } from "./stack";
import type { ViewerState } from "./state";
import { WORDS } from "./words";

interface OverlayProps {
  display: Display;
  frame: Frame;
  window: Window | undefined;
  state: ViewerState;
  at: number;
  of: number;
  lines: readonly Line[];
}

/** What lies above the picture: its place, its window, how it lies in the patient, lines. */
export function Overlay({ display, frame, window, state, at, of, lines }: OverlayProps) {
  const w = useWordsOf(WORDS);
  const { language } = useSettings();
  const figure = (value: number) =>
    value.toLocaleString(language, { maximumFractionDigits: 2, useGrouping: false });
  const said = (line: Line): string => {
    const { length, unit } = lengthOf(line, frame);
    const value = length.toLocaleString(language, { maximumFractionDigits: 1 });
    if (unit === "pixel") return `${value} ${w.pixels}`;
    return unit === "mm" ? `${value} mm` : `${value} mm ${w.detector}`;
  };
  const side = edges(frame, state);
  const last = lines.at(-1);
  return (
    <>
      <svg className="viewer-lines" aria-hidden="true">
        {lines.map((line, each) => {
          const [from, to] = [display.toPage(line[0]), display.toPage(line[1])];
          return (
            // biome-ignore lint/suspicious/noArrayIndexKey: lines have no name but their place
            <g key={each}>
              <line className="under" x1={from[0]} y1={from[1]} x2={to[0]} y2={to[1]} />
              <line x1={from[0]} y1={from[1]} x2={to[0]} y2={to[1]} />
              <circle cx={from[0]} cy={from[1]} r={4} />
              <circle cx={to[0]} cy={to[1]} r={4} />
            </g>
          );
        })}
      </svg>
      {lines.map((line, each) => {
        const [from, to] = [display.toPage(line[0]), display.toPage(line[1])];
        const place = { left: (from[0] + to[0]) / 2, top: (from[1] + to[1]) / 2 + 10 };
        return (
          // biome-ignore lint/suspicious/noArrayIndexKey: as above
          <span key={each} className="viewer-said length" aria-hidden="true" style={place}>
            {said(line)}
          </span>
        );
      })}
      <p className="sr" role="status">
        {last && w.measured(said(last))}
      </p>
      {(["left", "right", "top", "bottom"] as const).map(
        (each) =>
          side[each] && (
            <span key={each} className={`viewer-edge ${each}`}>
              {side[each]}
            </span>
          ),
      )}
      {window && (
        <span className="viewer-said at-window">
          C {figure(window.center)} W {figure(window.width)}
        </span>
      )}
      {of > 1 && (
        <span className="viewer-said at-place">
          {at + 1} / {of}
        </span>
      )}
    </>
  );
}
