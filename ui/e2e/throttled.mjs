// The first visit as a slow line and a slow processor see it: 1.6 Mbit/s with 150 ms there and
// back, a quarter of the processor, nothing kept from before.
const NETWORK = {
  offline: false,
  latency: 150,
  downloadThroughput: 1.6e6 / 8,
  uploadThroughput: 750e3 / 8,
};
const SLOWER = 4;

/** Runs in the page from its start: when the first result has its picture, or a key does something. */
function watch(pressing) {
  const look = () => {
    if (pressing) {
      if (document.querySelector("dialog[open]")) window.reached = performance.now();
      else window.dispatchEvent(new KeyboardEvent("keydown", { key: "?" }));
    } else {
      const picture = document.querySelector(".lanes .hit:not(.bones) img");
      if (picture?.complete && picture.naturalWidth) window.reached = performance.now();
    }
    if (!window.reached) setTimeout(look, 20);
  };
  look();
}

/** One visit in a context of its own. */
async function visit(browser, address, pressing) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  const session = await context.newCDPSession(page);
  let bytes = 0;
  await session.send("Network.enable");
  session.on("Network.loadingFinished", ({ encodedDataLength }) => {
    bytes += encodedDataLength;
  });
  await session.send("Network.emulateNetworkConditions", NETWORK);
  await session.send("Emulation.setCPUThrottlingRate", { rate: SLOWER });
  await page.addInitScript(watch, pressing);
  await page.goto(address, { waitUntil: "commit" });
  await page.waitForFunction(() => window.reached, undefined, { polling: 50 });
  const times = await page.evaluate(() => ({
    reached: window.reached,
    painted: performance.getEntriesByName("first-contentful-paint")[0]?.startTime,
  }));
  await context.close();
  return { ...times, bytes };
}

/** Medians of some visits, in ms: first paint, first result with its picture, first key. */
export async function firstVisit(browser, address, rounds = 5) {
  const results = [];
  const keys = [];
  for (let round = 0; round < rounds; round++) {
    results.push(await visit(browser, address, false));
    keys.push(await visit(browser, address, true));
  }
  const middle = (values) => Math.round(values.sort((a, b) => a - b)[values.length >> 1]);
  return {
    first_contentful_paint_ms: middle([...results, ...keys].map(({ painted }) => painted)),
    first_result_ms: middle(results.map(({ reached }) => reached)),
    key_works_ms: middle(keys.map(({ reached }) => reached)),
    bytes_until_first_result: middle(results.map(({ bytes }) => bytes)),
  };
}
