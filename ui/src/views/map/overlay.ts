import { onScreen, type Place, type Sight } from "./camera";
import { fittingLabels, type Label } from "./geometry";

/** What lies above the points. */
export interface Above {
  sight: Sight;
  ratio: number;
  labels: readonly Label[];
  /** What was chosen by hand, and what is being drawn now, in units of the map. */
  lasso: readonly Place[];
  drawing: readonly Place[];
  /** The point that is pointed at, and that whose details are open. */
  rings: readonly { place: Place; strong: boolean }[];
}

interface Inks {
  text: string;
  ground: string;
  accent: string;
  font: string;
}

const LINE = 20;
/** Above the place that a name is of, so that it does not hide it. */
const RISE = 15;
const LONGEST = 30;

export function drawAbove(canvas: HTMLCanvasElement, above: Above): void {
  const pen = canvas.getContext("2d");
  if (!pen) return;
  const { sight, ratio } = above;
  const style = getComputedStyle(canvas);
  const inks: Inks = {
    text: style.getPropertyValue("--text"),
    ground: style.getPropertyValue("--map-ground"),
    accent: style.getPropertyValue("--accent"),
    font: `600 12px ${style.getPropertyValue("--font")}`,
  };
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, sight.width, sight.height);
  outline(pen, sight, above.lasso, inks, false);
  outline(pen, sight, above.drawing, inks, true);
  names(pen, sight, above.labels, inks);
  for (const { place, strong } of above.rings) ring(pen, onScreen(sight, ...place), strong, inks);
}

function outline(
  pen: CanvasRenderingContext2D,
  sight: Sight,
  corners: readonly Place[],
  inks: Inks,
  open: boolean,
): void {
  if (corners.length < 2) return;
  pen.beginPath();
  for (const corner of corners) pen.lineTo(...onScreen(sight, ...corner));
  if (!open) pen.closePath();
  pen.lineWidth = 1.5;
  pen.strokeStyle = inks.accent;
  pen.setLineDash(open ? [] : [5, 4]);
  pen.stroke();
  pen.setLineDash([]);
}

function names(
  pen: CanvasRenderingContext2D,
  sight: Sight,
  labels: readonly Label[],
  inks: Inks,
): void {
  pen.font = inks.font;
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.lineJoin = "round";
  pen.lineWidth = 4;
  const short = labels.map((label) => ({ ...label, words: shortened(label.words) }));
  for (const { words, x, y } of fittingLabels(
    short,
    sight,
    (each) => pen.measureText(each).width,
    LINE,
  )) {
    pen.strokeStyle = inks.ground;
    pen.strokeText(words, x, y - RISE);
    pen.fillStyle = inks.text;
    pen.fillText(words, x, y - RISE);
  }
}

const shortened = (words: string): string =>
  words.length > LONGEST ? `${words.slice(0, LONGEST - 1).trimEnd()}…` : words;

function ring(pen: CanvasRenderingContext2D, [x, y]: Place, strong: boolean, inks: Inks): void {
  pen.beginPath();
  pen.arc(x, y, strong ? 9 : 8, 0, 2 * Math.PI);
  pen.lineWidth = 5;
  pen.strokeStyle = inks.ground;
  pen.stroke();
  pen.lineWidth = strong ? 3 : 2;
  pen.strokeStyle = strong ? inks.accent : inks.text;
  pen.stroke();
}
