// How fluid the map is: node e2e/measure-map.mjs http://127.0.0.1:8000 [100000,1000000]
// Points are made here, in the place of those of the library. While the map is dragged, the
// intervals between frames are taken; then the time until all points are drawn again.
import { chromium } from "playwright-core";

const [, , url = "http://127.0.0.1:8000", sizes = "100000,1000000"] = process.argv;
const MOVES = 120;
const CLUSTERS = 40;
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox"],
});

for (const n of sizes.split(",").map(Number)) console.log(JSON.stringify(await measured(n)));
await browser.close();

async function measured(n) {
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
  await page.addInitScript(() => {
    window.frames_ = [];
    const frame = (now) => {
      window.frames_.push(now);
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  });
  const { points, codes } = made(n);
  const fill = (path, body) =>
    page.route(`**/v1/maps/${path}?**`, (route) =>
      route.fulfill({ contentType: "application/octet-stream", body: Buffer.from(body.buffer) }),
    );
  await fill("points", points);
  await fill("values", codes);
  await page.route("**/v1/maps/legend?**", async (route) => {
    const told = await (await route.fetch()).json();
    const values = Array.from({ length: CLUSTERS }, (_, at) => ({
      value: String(at),
      name: `cluster ${at}`,
      points: n / CLUSTERS,
    }));
    await route.fulfill({ json: { ...told, values, more: 0, more_points: 0, unknown: 0 } });
  });
  const began = performance.now();
  await page.goto(`${url}/#/map`);
  const drawn = () => page.waitForSelector(".map-points[data-drawn=all]", { timeout: 60_000 });
  await drawn();
  await page.waitForFunction(() => document.querySelectorAll(".legend-row").length > 10);
  await drawn();
  const first = performance.now() - began;
  const box = await page.locator(".map-stage").boundingBox();
  const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
  await page.mouse.move(x, y);
  await page.mouse.down();
  await page.evaluate(() => {
    window.frames_ = [];
  });
  for (let at = 0; at < MOVES; at += 1) {
    const turn = (at / MOVES) * 2 * Math.PI;
    await page.mouse.move(x + 200 * Math.sin(turn), y + 120 * Math.sin(2 * turn));
  }
  const frames = await page.evaluate(() => window.frames_);
  await page.mouse.up();
  const rested = performance.now();
  await page.waitForTimeout(50);
  await drawn();
  const rest = performance.now() - rested;
  const gaps = frames.slice(1).map((now, at) => now - frames[at]);
  gaps.sort((a, b) => a - b);
  const of = (share) => Math.round(10 * gaps[Math.floor(share * (gaps.length - 1))]) / 10;
  await page.close();
  return {
    points: n,
    frames: gaps.length,
    median_ms: of(0.5),
    p95_ms: of(0.95),
    all_drawn_ms: Math.round(rest),
    first_drawn_ms: Math.round(first),
  };
}

/** Clouds of points, as a map of many kinds of pictures has them. */
function made(n) {
  let seed = 7;
  const random = () => {
    seed = (seed * 1664525 + 1013904223) >>> 0;
    return seed / 2 ** 32;
  };
  const points = new Float32Array(2 * n);
  const codes = new Uint16Array(n);
  const middles = Array.from({ length: CLUSTERS }, () => [20 * random(), 20 * random()]);
  for (let at = 0; at < n; at += 1) {
    const cluster = at % CLUSTERS;
    const far = Math.sqrt(-2 * Math.log(1 - random()));
    const turn = 2 * Math.PI * random();
    points[2 * at] = middles[cluster][0] + far * Math.cos(turn);
    points[2 * at + 1] = middles[cluster][1] + far * Math.sin(turn);
    codes[at] = cluster + 1;
  }
  return { points, codes };
}
