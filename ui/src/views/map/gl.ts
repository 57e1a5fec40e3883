import { STYLE_STEP } from "./colours";
import type { Frame, Painter } from "./painter";

/** All that is needed is WebGL 1, so that software renderers and old machines do. */
const VERTEX = `
precision highp float;
attribute vec2 place;
attribute float style;
uniform vec2 middle, stretch;
uniform float size, cover;
uniform vec3 rows[${STYLE_STEP}];
uniform vec3 ground;
varying vec4 tint;
varying float edge;
void main() {
  float out_ = floor(style / ${STYLE_STEP}.0);
  int row = int(style - out_ * ${STYLE_STEP}.0 + 0.5) - 1;
  bool faded = out_ > 0.5 && out_ < 1.5;
  bool lifted = out_ > 1.5;
  float across = size * (faded ? 0.8 : lifted ? 1.4 : 1.0);
  float layer = lifted ? -0.5 : faded ? 0.5 : 0.0;
  gl_Position = row < 0 ? vec4(2.0, 2.0, 2.0, 1.0) : vec4((place - middle) * stretch, layer, 1.0);
  gl_PointSize = across + 1.0;
  vec3 colour = rows[row < 0 ? 0 : row];
  tint = vec4(faded ? mix(colour, ground, 0.78) : colour, lifted ? 1.0 : cover);
  edge = across / (across + 1.0) * 0.5;
}`;
const FRAGMENT = `
precision mediump float;
varying vec4 tint;
varying float edge;
void main() {
  float far = length(gl_PointCoord - 0.5);
  float within = clamp((0.5 - far) / (0.5 - edge + 0.001), 0.0, 1.0);
  if (within < 0.1) discard;
  gl_FragColor = vec4(tint.rgb, tint.a * within);
}`;

/** A painter by WebGL; undefined where there is none. */
export function glPainter(canvas: HTMLCanvasElement): Painter | undefined {
  const gl = canvas.getContext("webgl", {
    alpha: false,
    antialias: false,
    depth: true,
    preserveDrawingBuffer: true, // a picture is finished in several frames
  });
  const program = gl && programOf(gl);
  if (!gl || !program) return undefined;
  const places = gl.createBuffer();
  const styles = gl.createBuffer();
  const uniform = (name: string) => gl.getUniformLocation(program, name);
  const at = {
    middle: uniform("middle"),
    stretch: uniform("stretch"),
    size: uniform("size"),
    cover: uniform("cover"),
    rows: uniform("rows"),
    ground: uniform("ground"),
  };
  const attribute = (name: string, buffer: WebGLBuffer, size: number, type: number) => {
    const place = gl.getAttribLocation(program, name);
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.enableVertexAttribArray(place);
    gl.vertexAttribPointer(place, size, type, false, 0, 0);
  };
  const fill = (buffer: WebGLBuffer, data: Float32Array | Uint8Array) => {
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.bufferData(gl.ARRAY_BUFFER, data, gl.STATIC_DRAW);
  };
  // biome-ignore lint/correctness/useHookAtTopLevel: it is no hook, it is WebGL's own name
  gl.useProgram(program);
  attribute("place", places, 2, gl.FLOAT);
  attribute("style", styles, 1, gl.UNSIGNED_BYTE);
  gl.enable(gl.BLEND);
  gl.blendFunc(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA);
  gl.enable(gl.DEPTH_TEST);
  gl.depthFunc(gl.LEQUAL);
  return {
    load: (points) => fill(places, points),
    dress: (each) => fill(styles, each),
    colours(rows, ground) {
      const flat = new Float32Array(3 * STYLE_STEP);
      rows.slice(0, STYLE_STEP).forEach((colour, row) => {
        flat.set(colour, 3 * row);
      });
      gl.uniform3fv(at.rows, flat);
      gl.uniform3f(at.ground, ...ground);
      gl.clearColor(...ground, 1);
    },
    draw: (frame) => drawFrame(gl, at, frame),
    drop() {
      gl.deleteBuffer(places);
      gl.deleteBuffer(styles);
      gl.deleteProgram(program);
    },
  };
}

type Uniforms = Record<"middle" | "stretch" | "size" | "cover", WebGLUniformLocation | null>;

function drawFrame(gl: WebGLRenderingContext, at: Uniforms, frame: Frame): void {
  const { sight, ratio } = frame;
  gl.viewport(0, 0, gl.drawingBufferWidth, gl.drawingBufferHeight);
  if (frame.clear) gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
  gl.uniform2f(at.middle, sight.x, sight.y);
  gl.uniform2f(at.stretch, (2 * sight.scale) / sight.width, (2 * sight.scale) / sight.height);
  gl.uniform1f(at.size, frame.size * ratio);
  gl.uniform1f(at.cover, frame.cover);
  if (frame.count) gl.drawArrays(gl.POINTS, frame.first, frame.count);
}

function programOf(gl: WebGLRenderingContext): WebGLProgram | undefined {
  const program = gl.createProgram();
  for (const [kind, source] of [
    [gl.VERTEX_SHADER, VERTEX],
    [gl.FRAGMENT_SHADER, FRAGMENT],
  ] as const) {
    const shader = gl.createShader(kind);
    if (!shader) return undefined;
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  return gl.getProgramParameter(program, gl.LINK_STATUS) ? program : undefined;
}
