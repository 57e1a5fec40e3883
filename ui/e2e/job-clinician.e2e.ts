// "I have this study open: show me the cases most like it, and why, without this patient's own
// priors." From the file to the viewer, by pointer, by keyboard alone, and on a phone.
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { SearchAnswer } from "../src/api/client";
import { asked, cards, launch, open, settled, URL_ } from "./browser";
import { dropFiles, originals } from "./original";
import { both, searched, viewed } from "./shown";

interface Row {
  id: string;
  patient: string;
  study_instance_uid: string;
  series_instance_uid: string;
  modality: string;
}

let browser: Browser;
/** A film of a patient who has others. */
let film: Row;

beforeAll(async () => {
  browser = await launch();
  const { rows } = await asked<{ rows: Row[] }>(
    "items?limit=500&filter=kind=image and role=primary",
  );
  const patients = rows.map((row) => row.patient);
  const often = (row: Row) =>
    patients.filter((each) => row.patient && each === row.patient).length > 1;
  const found = rows.find((row) => row.modality === "DX" && often(row));
  if (!found) throw new Error("nobody has two films in this library");
  film = found;
});

afterAll(() => browser.close());

const coloured = (page: Page) =>
  page.waitForFunction(() => document.querySelectorAll(".pane canvas.heat").length === 2);
/** The region on the left, and what is like it on the right. */
const boxes = (page: Page) =>
  page.waitForFunction(() => document.querySelectorAll(".region-box").length === 2);

describe("a clinician with a study", () => {
  it("drops its file, sees who is like it and why, narrows, compares, and opens one", async () => {
    const { page, complaints } = await open(browser);
    await settled(page);
    const answered = page.waitForResponse("**/v1/search/files");
    await dropFiles(page, await originals(film));
    const answer = (await (await answered).json()) as SearchAnswer;
    await searched(page);
    const owners = answer.hits.map((hit) => hit.patient);
    expect(owners).not.toContain(film.patient);
    expect(new Set(answer.priors.map((prior) => prior.patient))).toEqual(new Set([film.patient]));
    expect(await page.locator(".priors [data-hit]").count()).toBe(answer.priors.length);
    await cards(page)
      .first()
      .getByText(/closer than/)
      .waitFor();

    await page.locator(".facets fieldset", { hasText: "Sex" }).locator("label").first().click();
    await page.waitForURL(/f=sex/);
    await searched(page);
    await cards(page).first().click();
    await page.waitForSelector(".drawer .screen img:not(.coming)");
    await page.getByRole("heading", { name: "Report" }).waitFor();
    await page.locator(".drawer").getByRole("button", { name: "Compare" }).click();
    await both(page);
    await page.getByText("Dropped file, DX").waitFor();
    await page.getByRole("button", { name: "Alike" }).click();
    await coloured(page);

    await page.getByRole("button", { name: "Region" }).click();
    const stage = await page.locator(".ours .stage").boundingBox();
    if (!stage) throw new Error("no picture");
    await page.mouse.move(stage.x + stage.width * 0.3, stage.y + stage.height * 0.3);
    await page.mouse.down();
    await page.mouse.move(stage.x + stage.width * 0.6, stage.y + stage.height * 0.6);
    await page.mouse.up();
    await boxes(page);
    await page.getByRole("button", { name: "Results" }).click();
    await searched(page);
    await cards(page).first().click();
    await page.locator(".drawer").getByRole("link", { name: "Open the study" }).click();
    await viewed(page);
    await page.goBack();
    await page.waitForSelector(".drawer");
    expect(page.url()).toContain("f=sex");
    expect(complaints).toEqual([]);
    await page.context().close();
  });

  it("asks in words and goes from hit to hit with the keyboard alone", async () => {
    const { page } = await open(browser);
    await settled(page);
    await page.keyboard.press("/");
    await page.keyboard.type("pleural effusion");
    await page.keyboard.press("Enter");
    await searched(page);
    await page.keyboard.press("Escape");
    await page.keyboard.press("j");
    await page.keyboard.press("s"); // the first of them becomes the query
    await page.waitForURL(/study=/);
    await searched(page);
    await page.waitForSelector("#facets input[type=checkbox]");
    await page.keyboard.press("f");
    await page.waitForFunction(() => document.activeElement?.closest("#facets fieldset"));
    await page.keyboard.press("Space");
    await page.waitForURL(/f=/);
    await page.keyboard.press("Escape");
    await searched(page);
    await page.keyboard.press("j");
    await page.keyboard.press("Enter");
    await page.waitForSelector(".drawer .screen img:not(.coming)");
    await page.keyboard.press("v");
    await both(page);
    await page.keyboard.press("a");
    await coloured(page);
    await page.keyboard.press("j");
    await page.locator(".compare-step [role=status]", { hasText: /^2 of/ }).waitFor();
    await coloured(page);
    await page.keyboard.press("b");
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("Enter");
    await boxes(page);
    await page.keyboard.press("Escape");
    await searched(page);
    await page.keyboard.press("j");
    await page.keyboard.press("e");
    await viewed(page);
    await page.context().close();
  });

  it("follows the link of another system on a phone", async () => {
    const { page } = await open(browser, `similar?study=${film.study_instance_uid}`, {
      viewport: { width: 390, height: 844 },
      hasTouch: true,
    });
    const wide = async () =>
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(390);
    await searched(page);
    await page.getByRole("button", { name: "Filters" }).tap();
    await page.locator(".facets label").first().tap();
    await page.waitForURL(/f=/);
    await page.locator(".facets-close").tap();
    await searched(page);
    await wide();
    await cards(page).first().tap();
    await page.waitForSelector(".drawer .screen img:not(.coming)");
    await page.locator(".drawer").getByRole("button", { name: "Compare" }).tap();
    await both(page);
    await page.getByRole("button", { name: "Alike" }).tap();
    await coloured(page);
    await page.getByRole("button", { name: "Next" }).tap();
    await page.waitForURL(/hit=/);
    await wide();
    await page.getByRole("button", { name: "Results" }).tap();
    await page.locator(".drawer").getByRole("link", { name: "Open the study" }).tap();
    await viewed(page);
    await wide();
    await page.context().close();
  });
});

describe("what is on the left in Compare", () => {
  it("may be a volume that was dropped: its slices are drawn, and are compared", async () => {
    const long = encodeURIComponent("kind=volume and modality=CT and slices>=12");
    const { rows } = await asked<{ rows: Row[] }>(`items?limit=1&filter=${long}`);
    const [volume] = rows;
    const files = volume ? await originals(volume) : [];
    const { page } = await open(browser);
    await settled(page);
    await dropFiles(page, files);
    await searched(page);
    await page.keyboard.press("j");
    await page.keyboard.press("v");
    await both(page);
    await page.keyboard.press("a");
    await coloured(page);
    const place = page.locator(".ours .screen-slice");
    const before = await place.textContent();
    const came = page.waitForResponse("**/v1/files/look");
    await page.keyboard.press("ArrowUp");
    await page.waitForFunction(
      (said) => document.querySelector(".ours .screen-slice")?.textContent !== said,
      before,
    );
    await (await came).finished();
    await both(page);
    const sent: string[] = [];
    page.on("request", (request) => sent.push(new URL(request.url()).pathname));
    for (let step = 0; step < 3; step++) {
      const drawn = page.locator(".ours .screen img").first();
      const src = (await drawn.getAttribute("src")) ?? "";
      await page.keyboard.press("ArrowUp");
      await page.waitForFunction(
        (was) => document.querySelector(".ours .screen img")?.getAttribute("src") !== was,
        src,
      );
    }
    await settled(page);
    expect(sent).not.toContain("/v1/files/look"); // they came with the one before
    await page.goto(`${URL_}/#/search`); // nothing of it is kept
    await page.reload();
    await page.goBack();
    await page.getByText("Files are not part of the address").waitFor();
    await page.context().close();
  });
});
