// What the page costs: node e2e/measure.mjs http://127.0.0.1:8000
// Bytes of JavaScript before the first result, first paint, from a search to its pixels, the memory
// of the page before and after 100 searches, each after a collection of garbage, and a first visit
// on a slow line.
import { chromium } from "playwright-core";
import { firstVisit } from "./throttled.mjs";

const [, , url = "http://127.0.0.1:8000", rounds = "20"] = process.argv;
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox"],
});
const { rows } = await (await fetch(`${url}/v1/items?limit=200&filter=role=primary`)).json();
const studies = [...new Set(rows.map((row) => row.study_instance_uid))];
const middle = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];

await (await browser.newPage()).close(); // the start of the browser is not that of the page
const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
const session = await page.context().newCDPSession(page);
await session.send("Network.enable");
const scripts = new Map();
let bytes = 0;
session.on("Network.responseReceived", ({ requestId, type }) => scripts.set(requestId, type));
session.on("Network.loadingFinished", ({ requestId, encodedDataLength }) => {
  if (scripts.get(requestId) === "Script") bytes += encodedDataLength;
});
await page.goto(`${url}/#/search?study=${studies[0]}`);
await page.waitForSelector(".lanes .hit:not(.bones)");
const paint = await page.evaluate(
  () => performance.getEntriesByName("first-contentful-paint")[0]?.startTime,
);
const shift = await page.evaluate(
  () =>
    new Promise((done) => {
      let sum = 0;
      new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) if (!entry.hadRecentInput) sum += entry.value;
      }).observe({ type: "layout-shift", buffered: true });
      setTimeout(() => done(sum), 500);
    }),
);

const whole = [];
const api = [];
for (const study of studies.slice(1, 1 + Number(rounds))) {
  const timing = await page.evaluate(async (uid) => {
    const start = performance.now();
    window.location.hash = `#/search?study=${uid}`;
    await new Promise((done) => {
      const look = () => {
        const lanes = document.querySelector(".lanes:not(.stale)");
        const pictures = [...document.querySelectorAll(".lane:not(.priors) .hit img")].slice(0, 8);
        const drawn =
          pictures.length && pictures.every((each) => each.complete && each.naturalWidth);
        const asked = performance
          .getEntriesByType("resource")
          .some(
            (each) =>
              each.name.endsWith("/v1/search") && each.startTime >= start && each.responseEnd,
          );
        if (lanes && drawn && asked) requestAnimationFrame(done);
        else requestAnimationFrame(look);
      };
      look();
    });
    const end = performance.now();
    const call = performance
      .getEntriesByType("resource")
      .findLast((each) => each.name.endsWith("/v1/search"));
    const took = call.responseEnd - call.startTime;
    performance.clearResourceTimings();
    return [end - start, took];
  }, study);
  whole.push(timing[0]);
  api.push(timing[1]);
}
/** Bytes of the JavaScript heap that are in use, and elements that are held. */
async function held() {
  await page.waitForTimeout(1500);
  for (let round = 0; round < 3; round++) await session.send("HeapProfiler.collectGarbage");
  const { usedSize } = await session.send("Runtime.getHeapUsage");
  const { nodes } = await session.send("Memory.getDOMCounters");
  return { megabytes: Number((usedSize / 2 ** 20).toFixed(1)), nodes };
}

const searchMore = (from, count) =>
  page.evaluate(
    async ([uids, first, last]) => {
      for (let at = first; at < last; at++) {
        const uid = uids[at % uids.length];
        // Another weight makes another search of a study that was asked for before.
        window.location.hash = `#/search?study=${uid}~${1 + Math.floor(at / uids.length)}`;
        await new Promise((done) => setTimeout(done, 60));
        while (!document.querySelector(".lanes:not(.stale) .hit:not(.bones)"))
          await new Promise((done) => setTimeout(done, 30));
      }
    },
    [studies, from, from + count],
  );

await searchMore(0, 10);
const before = await held();
await searchMore(10, 100);
const after = await held();
await page.close();
const throttled = await firstVisit(browser, `${url}/#/search?study=${studies[0]}`);

const added = whole.map((each, at) => each - api[at]);
console.log(
  JSON.stringify(
    {
      script_bytes: bytes,
      first_contentful_paint_ms: Math.round(paint),
      layout_shift: Number(shift.toFixed(4)),
      search_to_pixels_p50_ms: Math.round(middle(whole)),
      api_p50_ms: Math.round(middle(api)),
      added_p50_ms: Math.round(middle(added)),
      searches: whole.length,
      before_100_searches: before,
      after_100_searches: after,
      first_visit_throttled: throttled,
    },
    null,
    1,
  ),
);
await browser.close();
