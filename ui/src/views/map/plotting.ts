import { type RefObject, useCallback, useEffect, useRef, useState } from "react";
import { useSettings } from "../../lib/settings";
import type { Sight } from "./camera";
import { GROUND, type Row, rgb } from "./colours";
import { glPainter } from "./gl";
import { plainPainter } from "./plain";
import { type Plot, plotOn } from "./plot";

/** Why it is not drawn by WebGL, or not at all. */
export type Trouble = "" | "absent" | "lost" | "none";

export interface Drawn {
  canvas: { key: string; ref: RefObject<HTMLCanvasElement | null> };
  plot: Plot | undefined;
  trouble: Trouble;
  again: () => void;
}

/** A plot by WebGL; where there is none, or it is lost, on a plain canvas. */
export function usePlot(): Drawn {
  const ref = useRef<HTMLCanvasElement>(null);
  const [plot, setPlot] = useState<Plot | undefined>();
  const [trouble, setTrouble] = useState<Trouble>("");
  const [round, setRound] = useState(0);
  const plain = trouble !== "";
  // biome-ignore lint/correctness/useExhaustiveDependencies: another round begins on another canvas
  useEffect(() => {
    const canvas = ref.current;
    if (!canvas) return;
    const painter = plain ? plainPainter(canvas) : glPainter(canvas);
    if (!painter) {
      setTrouble(plain ? "none" : "absent");
      return;
    }
    const made = plotOn(painter, (some, all) => {
      canvas.dataset.drawn = some === all ? "all" : "some";
    });
    const lost = () => setTrouble("lost");
    canvas.addEventListener("webglcontextlost", lost);
    setPlot(made);
    return () => {
      canvas.removeEventListener("webglcontextlost", lost);
      made.drop();
      setPlot(undefined);
    };
  }, [plain, round]);
  const again = useCallback(() => {
    setTrouble("");
    setRound((n) => n + 1);
  }, []);
  return { canvas: { key: `${plain} ${round}`, ref }, plot, trouble, again };
}

interface Picture {
  points: Float32Array;
  styles: Uint8Array;
  rows: readonly Row[];
  sight: Sight;
  ratio: number;
  /** Nothing is drawn before the stage has a size. */
  ready: boolean;
  moving: RefObject<boolean>;
}

/** Draws again whatever has changed. */
export function useDrawn(plot: Plot | undefined, picture: Picture): void {
  const { points, styles, rows, sight, ratio, ready, moving } = picture;
  const { theme } = useSettings();
  useEffect(() => plot?.load(points), [plot, points]);
  useEffect(() => plot?.dress(styles), [plot, styles]);
  useEffect(() => {
    const ground = rgb(GROUND[theme]);
    plot?.colours(
      rows.map((row) => rgb(row.colour)),
      ground,
    );
  }, [plot, rows, theme]);
  useEffect(() => {
    if (ready) plot?.look(sight, ratio, moving.current);
  }, [plot, sight, ratio, ready, moving]);
}
