/** Where values lie on a chart. */
export interface Scale {
  low: number;
  high: number;
  ticks: number[];
  at: (value: number) => number;
}

const STEPS = [1, 2, 2.5, 5, 10];

/** A scale that holds all values and has round ticks, from `bottom` up to `top` in pixels. */
export function scaleOf(values: readonly number[], bottom: number, top: number, count = 5): Scale {
  const known = values.filter(Number.isFinite);
  let low = Math.min(...known, 0);
  let high = Math.max(...known, 0);
  if (low === high) high = low + 1;
  const step = roundStep((high - low) / count);
  low = Math.floor(low / step + 1e-9) * step;
  high = Math.ceil(high / step - 1e-9) * step;
  const ticks = Array.from({ length: Math.round((high - low) / step) + 1 }, (_, at) =>
    Number((low + at * step).toPrecision(10)),
  );
  return {
    low,
    high,
    ticks,
    at: (value) => bottom + ((value - low) / (high - low)) * (top - bottom),
  };
}

/** The smallest round number that is no smaller. */
function roundStep(wanted: number): number {
  const power = 10 ** Math.floor(Math.log10(wanted));
  return (STEPS.find((step) => step * power >= wanted - 1e-12) ?? 10) * power;
}

export interface Point {
  x: number;
  y: number;
}

/** A line through points; a gap where there is none. */
export function lineOf(points: readonly (Point | undefined)[]): string {
  let drawing = false;
  return points
    .map((point) => {
      const said = point && `${drawing ? "L" : "M"}${point.x.toFixed(1)} ${point.y.toFixed(1)}`;
      drawing = point !== undefined;
      return said ?? "";
    })
    .join("");
}

/** The ground between two lines, in one piece for each run of points that both have. */
export function bandOf(pairs: readonly ({ x: number; low: number; high: number } | undefined)[]) {
  const runs: { x: number; low: number; high: number }[][] = [];
  let open = false;
  for (const pair of pairs) {
    if (pair && open) runs.at(-1)?.push(pair);
    else if (pair) runs.push([pair]);
    open = pair !== undefined;
  }
  return runs
    .map((run) => {
      const over = run.map(({ x, high }) => ({ x, y: high }));
      const under = [...run].reverse().map(({ x, low }) => ({ x, y: low }));
      return `${lineOf([...over, ...under])}Z`;
    })
    .join("");
}

/** Which of so many labels are drawn: no more than fit, evenly, the last one among them. */
export function labelled(count: number, most: number): number[] {
  const every = Math.max(1, Math.ceil(count / Math.max(1, most)));
  return Array.from({ length: count }, (_, at) => at).filter(
    (at) => (count - 1 - at) % every === 0,
  );
}
