// OHIF beside Syntopy, at the same name: who has signed in to the page lists and opens studies there.
// SYNTOPY_KEY has the key of a reader, OHIF_URL says where OHIF is.

import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { launch, signIn, URL_ } from "../browser";

const KEY = process.env.SYNTOPY_KEY ?? "";
const OHIF = process.env.OHIF_URL ?? "";
/** Studies, each of one image, stored in one of the usual ways each. */
const SYNTAXES = (process.env.SYNTAXES ?? "").split(" ");
/** Its place among the fields above the list, which have no names. */
const DESCRIPTION = 4;
let browser: Browser;
let context: BrowserContext;
let studies: Study[];

interface Study {
  uid: string;
  description: string;
}

type Attributes = Record<string, { Value?: (string | number)[] }>;

beforeAll(async () => {
  const name = new URL(URL_).hostname;
  browser = await launch(`--host-resolver-rules=MAP ${name} 127.0.0.1`);
  context = await browser.newContext({
    ignoreHTTPSErrors: true,
    viewport: { width: 1440, height: 900 },
    locale: "en-GB",
  });
  const page = await context.newPage();
  await page.goto(`${URL_}/`);
  await signIn(page, KEY);
  studies = (await ask(page, "studies")).map((row) => ({
    uid: first(row, "0020000D"),
    description: first(row, "00081030"),
  }));
  await page.close();
}, 120_000);

afterAll(async () => {
  await browser.close();
});

const ask = (page: Page, path: string): Promise<Attributes[]> =>
  page.evaluate(async (asked) => (await fetch(`/dicomweb/${asked}`)).json(), path);

const first = (row: Attributes | undefined, tag: string) => String(row?.[tag]?.Value?.[0] ?? "");

interface Opened {
  page: Page;
  /** What was refused, and what broke. */
  complaints: string[];
}

async function open(path: string): Promise<Opened> {
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  const complaints: string[] = [];
  page.on("response", (answer) => {
    if (answer.status() >= 400) complaints.push(`${answer.status()} ${answer.url()}`);
  });
  page.on("pageerror", (error) => complaints.push(error.message));
  await page.goto(`${OHIF}${path}`);
  return { page, complaints };
}

const viewer = (study: Pick<Study, "uid">, more = "") =>
  `/viewer?StudyInstanceUIDs=${study.uid}${more}`;

/** How many greys the first viewport shows; none before it shows a picture. */
const greys = (page: Page) =>
  page.evaluate(() => {
    const canvas = document.querySelector<HTMLCanvasElement>("canvas.cornerstone-canvas");
    const drawn = canvas?.getContext("2d")?.getImageData(0, 0, canvas.width, canvas.height).data;
    return new Set(drawn?.filter((_, at) => at % 4 === 0)).size;
  });

const drawn = (page: Page, study: string) =>
  expect.poll(() => greys(page), { message: study, timeout: 60_000 }).toBeGreaterThan(16);

describe("OHIF beside Syntopy", () => {
  it("lists the studies, and those that are looked for", async () => {
    const { page, complaints } = await open("/");
    const rows = page.locator("tbody").last().locator("tr");
    await expect.poll(() => rows.count()).toBe(studies.length);
    const chests = studies.filter((study) => study.description === "XR CHEST PA");
    expect(chests.length).toBeGreaterThan(0);
    await page.locator("tbody").first().locator("input").nth(DESCRIPTION).fill("chest");
    await expect.poll(() => rows.count()).toBe(chests.length);
    expect(await rows.first().textContent()).toContain("XR CHEST PA");
    expect(complaints).toEqual([]);
    await page.close();
  });

  it("draws each, whatever its transfer syntax", async () => {
    expect(SYNTAXES.length).toBeGreaterThan(4);
    for (const uid of SYNTAXES) {
      const { page, complaints } = await open(viewer({ uid }));
      await drawn(page, uid);
      expect(complaints).toEqual([]);
      await page.close();
    }
  }, 240_000);

  it("opens a study at the slice that a link names", async () => {
    const volume = studies.find((study) => study.description === "CT HEAD") as Study;
    const start = await context.newPage();
    await start.goto(`${URL_}/`);
    const [series] = await ask(start, `studies/${volume.uid}/series?Modality=CT`);
    const stack = `studies/${volume.uid}/series/${first(series, "0020000E")}`;
    const instances = await ask(start, `${stack}/metadata`);
    await start.close();
    const ninth = instances.find((row) => first(row, "00200013") === "9");
    expect(ninth).toBeDefined();
    const named = [
      `&SeriesInstanceUIDs=${first(series, "0020000E")}`,
      `&initialSopInstanceUid=${first(ninth, "00080018")}`,
    ];
    const { page, complaints } = await open(viewer(volume, named.join("")));
    await drawn(page, volume.uid);
    await expect.poll(() => page.textContent("body")).toContain("I:9 (");
    expect(complaints).toEqual([]);
    await page.close();
  });
});
