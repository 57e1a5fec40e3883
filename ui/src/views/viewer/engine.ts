import {
  Enums,
  getConfiguration,
  getShouldUseCPURendering,
  init,
  RenderingEngine,
  StackViewport,
  setUseCPURendering,
} from "@cornerstonejs/core";
import type { Frame } from "./frame";
import { imageIdOf, register } from "./loading";

/** What is shown of a frame, beside itself. */
export interface Look {
  /** Black and white; nothing of a coloured frame. */
  range: readonly [number, number] | undefined;
  sigmoid: boolean;
  invert: boolean;
  across: boolean;
  down: boolean;
}

export type Point = readonly [number, number];

const VIEWPORT = "viewer";
let engines = 0;

/** A canvas in which frames of one stack are drawn. */
export class Display {
  readonly gpu: boolean;
  private readonly engine: RenderingEngine;
  private readonly viewport: StackViewport;
  private shown: readonly Frame[] = [];
  private frame: Frame | undefined;
  private closed = false;

  /**
   * Draws with WebGL where there is some and it is not to be plain, else without. Fails where
   * neither goes. `onLost` hears that WebGL has gone, after which this one draws no more.
   */
  constructor(
    private readonly element: HTMLDivElement,
    plain: boolean,
    onLost: () => void,
  ) {
    const usual = getConfiguration();
    init({ ...usual, rendering: { ...usual.rendering, webGlContextCount: 1 } });
    if (plain) setUseCPURendering(true, false);
    this.gpu = !getShouldUseCPURendering();
    register(!this.gpu);
    this.engine = new RenderingEngine(`viewer-${engines++}`);
    this.engine.enableElement({
      viewportId: VIEWPORT,
      type: Enums.ViewportType.STACK,
      element,
      defaultOptions: { background: [0, 0, 0] },
    });
    const viewport = this.engine.getViewport(VIEWPORT);
    if (!(viewport instanceof StackViewport)) throw new Error("no viewport for stacks");
    this.viewport = viewport;
    if (this.gpu)
      this.engine
        .getOffscreenMultiRenderWindow(VIEWPORT)
        .getOpenGLRenderWindow()
        .getCanvas()
        ?.addEventListener("webglcontextlost", onLost);
  }

  /** Draw a frame of a stack; the first one of another stack is fitted in. */
  async show(frames: readonly Frame[], at: number): Promise<void> {
    if (this.closed) return;
    const first = this.shown !== frames;
    this.shown = frames;
    this.frame = frames[at];
    if (first) await this.viewport.setStack(frames.map(imageIdOf), at);
    else await this.viewport.setImageIdIndex(at);
    if (!this.closed && first) this.fitIn();
  }

  look({ range, sigmoid, invert, across, down }: Look): void {
    if (this.closed || !this.frame) return;
    this.viewport.setProperties({
      ...(range && { voiRange: { lower: range[0], upper: range[1] } }),
      // (without WebGL, all are drawn as linear ones)
      ...(range &&
        this.gpu && {
          VOILUTFunction: sigmoid
            ? Enums.VOILUTFunctionType.SAMPLED_SIGMOID
            : Enums.VOILUTFunctionType.LINEAR,
        }),
      invert,
    });
    this.viewport.setCamera({ flipHorizontal: across, flipVertical: down });
    this.viewport.render();
  }

  zoom(by: number): void {
    this.viewport.setZoom(Math.min(40, Math.max(0.2, this.viewport.getZoom() * by)));
    this.viewport.render();
  }

  /** In pixels of the page. */
  pan(dx: number, dy: number): void {
    const [x, y] = this.viewport.getPan();
    this.viewport.setPan([x + dx, y + dy]);
    this.viewport.render();
  }

  fit(): void {
    this.fitIn();
    this.viewport.render();
  }

  /** WebGL measures from the middle of the first pixel to that of the last, and would cut both. */
  private fitIn(): void {
    this.viewport.resetCamera();
    const { rows = 0, columns = 0 } = this.frame?.layout ?? {};
    const least = Math.min(rows, columns);
    if (!this.gpu || least < 2) return;
    this.viewport.setZoom((least - 1) / least);
    const [from, to] = [this.toPage([0, 0]), this.toPage([1, 1])];
    this.viewport.setPan([(to[0] - from[0]) / 2, (to[1] - from[1]) / 2]);
  }

  resize(): void {
    if (!this.closed) this.engine.resize(true, true);
  }

  /** From pixels of the frame to those of the page, and back. */
  toPage([x, y]: Point): Point {
    const { row, column } = this.frame?.spacing ?? { row: 1, column: 1 };
    const [left, top] = this.viewport.worldToCanvas([x * column, y * row, 0]);
    return [left, top];
  }

  toFrame([left, top]: Point): Point {
    const { row, column } = this.frame?.spacing ?? { row: 1, column: 1 };
    const [x, y] = this.viewport.canvasToWorld([left, top]);
    return [x / column, y / row];
  }

  close(): void {
    this.closed = true;
    this.engine.destroy();
    this.element.replaceChildren();
  }
}

export { fetchAround, load } from "./loading";
