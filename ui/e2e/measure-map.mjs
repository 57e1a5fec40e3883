// How fluid the map is: node e2e/measure-map.mjs http://127.0.0.1:8000 [100000,1000000]
// Points are made here, in the place of those of the library; "own" takes those of the library
// (benchmarks/big_map.py makes one of a million), and tells what came over the wire, too. While the
// map is dragged, the intervals between frames are taken; then the time until all points are drawn
// again, and the time until all that is in view is chosen.
import { chromium } from "playwright-core";

const [, , url = "http://127.0.0.1:8000", sizes = "100000,1000000"] = process.argv;
const MOVES = 120;
const CLUSTERS = 40;
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox"],
});

for (const said of sizes.split(","))
  console.log(JSON.stringify(await measured(said === "own" ? undefined : Number(said))));
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
  if (n !== undefined) await fillIn(page, n);
  const wire = await watched(page);
  const began = performance.now();
  await page.goto(`${url}/#/map`);
  const drawn = () => page.waitForSelector(".map-points[data-drawn=all]", { timeout: 60_000 });
  await drawn();
  await page.waitForFunction(() => document.querySelectorAll(".legend-row").length > 10);
  await drawn();
  const first = performance.now() - began;
  const bytes = wire.bytes();
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
  const choosing = performance.now();
  await page.keyboard.press("v");
  await page.waitForFunction(() => {
    const first = document.querySelector(".map-grid .thumb");
    return first && !first.classList.contains("bone");
  });
  const chosen = performance.now() - choosing;
  const gaps = frames.slice(1).map((now, at) => now - frames[at]);
  gaps.sort((a, b) => a - b);
  const of = (share) => Math.round(10 * gaps[Math.floor(share * (gaps.length - 1))]) / 10;
  const points = await page.getAttribute(".map-stage", "aria-label");
  const heap = await wire.heap();
  await page.close();
  return {
    points: Number(points.replace(/\D/g, "")),
    frames: gaps.length,
    median_ms: of(0.5),
    p95_ms: of(0.95),
    all_drawn_ms: Math.round(rest),
    first_drawn_ms: Math.round(first),
    first_grid_ms: Math.round(chosen),
    ...(n === undefined && { map_bytes: bytes, scripts_heap_mb: Math.round(heap / 1e6) }),
  };
}

/** What routes of maps send, and how much the page holds. */
async function watched(page) {
  const session = await page.context().newCDPSession(page);
  await session.send("Network.enable");
  await session.send("Performance.enable");
  const asked = new Map();
  session.on("Network.requestWillBeSent", ({ requestId, request }) => {
    if (request.url.includes("/v1/maps")) asked.set(requestId, 0);
  });
  session.on("Network.loadingFinished", ({ requestId, encodedDataLength }) => {
    if (asked.has(requestId)) asked.set(requestId, encodedDataLength);
  });
  return {
    bytes: () => [...asked.values()].reduce((sum, each) => sum + each, 0),
    heap: async () => {
      await session.send("HeapProfiler.collectGarbage");
      const { metrics } = await session.send("Performance.getMetrics");
      return metrics.find(({ name }) => name === "JSHeapUsedSize").value;
    },
  };
}

/** Points of this script in the place of those of the library. */
async function fillIn(page, n) {
  const { points, codes } = made(n);
  const fill = (path, body) =>
    page.route(`**/v1/maps/${path}?**`, (route) =>
      route.fulfill({ contentType: "application/octet-stream", body: Buffer.from(body.buffer) }),
    );
  await fill("points", points);
  await fill("values", codes);
  await page.route("**/v1/maps/items?**", async (route) => {
    const { at } = route.request().postDataJSON();
    await route.fulfill({ json: { tag: "", items: at.map((each) => `item${each}`) } });
  });
  await page.route("**/v1/maps/legend?**", async (route) => {
    const told = await (await route.fetch()).json();
    const values = Array.from({ length: CLUSTERS }, (_, at) => ({
      value: String(at),
      name: `cluster ${at}`,
      points: n / CLUSTERS,
    }));
    await route.fulfill({ json: { ...told, values, more: 0, more_points: 0, unknown: 0 } });
  });
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
