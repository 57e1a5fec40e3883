import { type PointerEvent, useEffect, useRef, useState } from "react";
import { bandOf, labelled, lineOf, scaleOf } from "./chart";

export interface Plotted {
  title: string;
  unit: string;
  /** Of each window; null where nothing came. */
  values: (number | null)[];
  /** Of each window the interval around its value. */
  band?: ([number, number] | null)[];
  /** Beyond which of each window, to both sides, is an alarm. */
  limits?: number[];
  /** A rate that was declared. */
  rule?: number;
  alarms: boolean[];
  /** The window in which a change is likely to have begun. */
  began?: number | undefined;
  said: (value: number) => string;
}

interface ChartProps {
  plotted: Plotted;
  names: string[];
  at: number;
  onAt: (at: number) => void;
  /** What the chart says at the chosen window. */
  reading: string;
}

const HEIGHT = 190;
const EDGE = { left: 46, right: 14, top: 12, bottom: 26 };

/** Values over windows with their axes; the figures stand in the table beside it, too. */
export function Chart({ plotted, names, at, onAt, reading }: ChartProps) {
  const [box, width] = useWidth();
  const { values, band, limits, rule, alarms, began, said } = plotted;
  const right = width - EDGE.right;
  const across = Math.max(1, right - EDGE.left);
  const x = (window: number) =>
    names.length === 1
      ? EDGE.left + across / 2
      : EDGE.left + (across * window) / (names.length - 1);
  const all = [
    ...values.filter((value) => value !== null),
    ...(band ?? []).flatMap((each) => each ?? []),
    ...(limits ?? []).flatMap((limit) => [limit, -limit]),
    ...(rule === undefined ? [] : [rule]),
  ];
  const scale = scaleOf(all, HEIGHT - EDGE.bottom, EDGE.top);
  const points = values.map((value, window) =>
    value === null ? undefined : { x: x(window), y: scale.at(value) },
  );
  const ground = band?.map((each, window) =>
    each ? { x: x(window), low: scale.at(each[0]), high: scale.at(each[1]) } : undefined,
  );
  const inside = limits?.map((limit, window) => ({
    x: x(window),
    low: scale.at(-limit),
    high: scale.at(limit),
  }));
  function point(event: PointerEvent<SVGSVGElement>): void {
    const left = event.clientX - event.currentTarget.getBoundingClientRect().left;
    const step = across / Math.max(1, names.length - 1);
    onAt(Math.min(names.length - 1, Math.max(0, Math.round((left - EDGE.left) / step))));
  }
  const marked = points[at];
  return (
    <figure className="chart">
      <figcaption>
        <strong>{plotted.title}</strong> <span>{plotted.unit}</span>
        <output>{reading}</output>
      </figcaption>
      <div ref={box}>
        <svg
          width={width}
          height={HEIGHT}
          viewBox={`0 0 ${width} ${HEIGHT}`}
          aria-hidden="true"
          onPointerMove={point}
          onPointerDown={point}
        >
          {inside && <path className="chart-inside" d={bandOf(inside)} />}
          {inside?.length && (
            <path
              className="chart-limits"
              d={
                lineOf(inside.map(({ x, low }) => ({ x, y: low }))) +
                lineOf(inside.map(({ x, high }) => ({ x, y: high })))
              }
            />
          )}
          {scale.ticks.map((tick) => (
            <g key={tick}>
              <line
                className={tick === 0 ? "chart-zero" : "chart-grid"}
                x1={EDGE.left}
                x2={right}
                y1={scale.at(tick)}
                y2={scale.at(tick)}
              />
              <text x={EDGE.left - 7} y={scale.at(tick) + 4} textAnchor="end">
                {said(tick)}
              </text>
            </g>
          ))}
          {ground && <path className="chart-band" d={bandOf(ground)} />}
          {rule !== undefined && (
            <line
              className="chart-rule"
              x1={EDGE.left}
              x2={right}
              y1={scale.at(rule)}
              y2={scale.at(rule)}
            />
          )}
          {began !== undefined && (
            <line
              className="chart-began"
              x1={x(began)}
              x2={x(began)}
              y1={EDGE.top}
              y2={HEIGHT - EDGE.bottom}
            />
          )}
          {marked && (
            <line
              className="chart-at"
              x1={marked.x}
              x2={marked.x}
              y1={EDGE.top}
              y2={HEIGHT - EDGE.bottom}
            />
          )}
          <path className="chart-line" d={lineOf(points)} />
          {points.map(
            (each, window) =>
              each && mark(each, alarms[window] === true, window === at, names[window] ?? ""),
          )}
          {labelled(names.length, Math.floor(across / 116)).map((window) => (
            <text
              key={names[window]}
              x={x(window)}
              y={HEIGHT - 8}
              textAnchor={window === names.length - 1 && names.length > 1 ? "end" : "middle"}
            >
              {names[window]}
            </text>
          ))}
        </svg>
      </div>
    </figure>
  );
}

/** A window: a diamond where it is an alarm, so that the colour alone does not say it. */
function mark({ x, y }: { x: number; y: number }, alarm: boolean, here: boolean, name: string) {
  const className = `chart-mark${alarm ? " alarm" : ""}${here ? " here" : ""}`;
  const size = here ? 5.5 : alarm ? 5 : 2.6;
  return alarm ? (
    <path
      key={name}
      className={className}
      d={`M${x} ${y - size - 1}L${x + size + 1} ${y}L${x} ${y + size + 1}L${x - size - 1} ${y}Z`}
    />
  ) : (
    <circle key={name} className={className} cx={x} cy={y} r={size} />
  );
}

function useWidth(): [React.RefObject<HTMLDivElement | null>, number] {
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(520);
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const observer = new ResizeObserver(([entry]) => {
      if (entry) setWidth(Math.max(220, Math.floor(entry.contentRect.width)));
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return [box, width];
}
