// "I have 200,000 unlabelled series: what is in here?" From the map to an export: named clusters,
// duplicates, leakage, odd ones out, what to label next; by pointer, by keyboard, and on a phone.
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { asked, launch, open, settled, tabTo } from "./browser";
import { mapped, moved, posed, subject } from "./shown";

interface Run {
  name: string;
}
let browser: Browser;
let run: string;
/** Names of this walk are its own. */
const MINE = Date.now().toString(36);

beforeAll(async () => {
  browser = await launch();
  run = (await asked<Run[]>("clusters"))[0]?.name ?? "";
});

afterAll(() => browser.close());

const items = async (filter: string) =>
  (await asked<{ rows: { id: string }[] }>(`items?limit=500&filter=${encodeURIComponent(filter)}`))
    .rows;
const card = (page: Page, task: string) => page.locator(".task", { hasText: task });
/** Find what a task finds, whatever was found before, and begin to work at it. */
async function find(page: Page, task: string, label = ""): Promise<void> {
  await card(page, task).getByRole("button", { name: /Find/ }).click();
  if (label) await page.locator("dialog select").first().selectOption(label);
  await page.getByRole("button", { name: "Start" }).click();
  await card(page, task)
    .getByText(/new in the queue/)
    .waitFor({ timeout: 60_000 });
  await card(page, task).getByRole("link", { name: /^Work/ }).last().click();
  await page.waitForURL(/queue=/);
  await posed(page);
}

/** Decide, and wait for the next. */
async function decide(page: Page, act: () => Promise<void>): Promise<string> {
  const decided = subject(page);
  await act();
  await moved(page, decided);
  return decided;
}

describe("a curator of an archive", () => {
  it("sees what is in it, names a part, clears out, labels, and takes it along", async () => {
    const { page, complaints } = await open(browser, "#/map");
    await mapped(page);
    const names = await page.locator(".legend-row .facet-name").allTextContents();
    expect(names.length).toBeGreaterThan(3);
    await page.locator(".legend-only").first().click();
    await page.waitForURL(/only=/);
    await page.waitForSelector(".map-grid button");

    await page.getByRole("link", { name: "Clusters" }).click();
    await page.getByRole("link", { name: run, exact: true }).click();
    await page.locator(".cluster-name").first().click();
    await page.getByRole("heading", { name: "What distinguishes it" }).waitFor();
    await page.locator(".member-block [data-hit]").first().waitFor();
    await page.getByRole("button", { name: /^Rename/ }).click();
    await page.getByLabel("Name", { exact: true }).fill(`named ${MINE}`);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: `named ${MINE}` }).waitFor();
    await page.getByRole("button", { name: "Label", exact: true }).click();
    await page.getByLabel("Label", { exact: true }).fill(`kind${MINE}`);
    await page.getByLabel("Value").fill("one");
    await page.keyboard.press("Enter");
    await page.getByText(`Labelled kind${MINE} = one`).waitFor();
    const labelled = await items(`label:kind${MINE}=one`);
    const file = page.waitForEvent("download");
    await page.getByRole("link", { name: "CSV" }).click();
    expect((await file).suggestedFilename()).toMatch(/\.csv$/);
    expect(labelled.length).toBeGreaterThan(0);

    await page.getByRole("link", { name: "Curate" }).click();
    await settled(page);
    await find(page, "Near-duplicates");
    expect(await page.locator(".screens.pair figure").count()).toBe(2);
    await decide(page, () => page.getByRole("button", { name: "The same" }).click());
    await page.getByRole("button", { name: "Decisions" }).first().click(); // or at the end of a queue
    await page.getByRole("button", { name: "Accepted", exact: true }).click();
    await settled(page);
    await page.getByRole("button", { name: "What becomes of the accepted" }).click();
    await page.getByLabel("Name").fill(`twins-${MINE}`);
    await page.getByRole("button", { name: "Make it" }).click();
    await page.getByText(/\d items/).waitFor();
    expect((await items(`label:tag=twins-${MINE}`)).length).toBeGreaterThan(0);
    expect(complaints).toEqual([]);
    await page.context().close();
  });

  it("finds leakage, odd ones, and what to label next, and labels it", async () => {
    const { page } = await open(browser, "#/curate");
    await settled(page);
    await find(page, "Leakage");
    await decide(page, () =>
      page.getByRole("button", { name: "A leak", exact: false }).first().click(),
    );
    await page.getByRole("link", { name: "Curate" }).click();
    await settled(page);
    await find(page, "Outliers");
    await page.getByText(/of the least typical/).waitFor();
    await decide(page, () => page.getByRole("button", { name: "Leave out" }).click());
    await page.getByRole("link", { name: "Curate" }).click();
    await settled(page);
    await find(page, "What to label next", "label");
    const value = page.locator(".values .value").first();
    const said = ((await value.locator("span").textContent()) ?? "").trim();
    const given = await decide(page, () => value.click());
    const labelled = `label:label="${said}"`;
    await expect
      .poll(async () => (await items(labelled)).some(({ id }) => id === given))
      .toBe(true);
    await page.context().close();
  });

  it("does all of it with the keyboard alone", async () => {
    const { page } = await open(browser);
    await settled(page);
    await page.keyboard.press("3");
    await mapped(page);
    await page.keyboard.press("v"); // what is in view, as a grid
    await page.waitForSelector(".map-grid button");
    await page.keyboard.press("4");
    await page.getByRole("link", { name: run, exact: true }).waitFor();
    await page.keyboard.press("j");
    await page.keyboard.press("Enter");
    await page.locator(".cluster-list [data-hit]").first().waitFor();
    await page.keyboard.press("j");
    await page.keyboard.press("Enter");
    await page.locator(".member-block [data-hit]").first().waitFor();
    await page.keyboard.press("e");
    await page.keyboard.press("Control+a");
    await page.keyboard.type(`typed ${MINE}`);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: `typed ${MINE}` }).waitFor();
    await page.keyboard.press("t");
    await page.keyboard.type(`typed-${MINE}`);
    await page.keyboard.press("Enter");
    await expect
      .poll(async () => (await items(`label:tag=typed-${MINE}`)).length)
      .toBeGreaterThan(0);

    await page.keyboard.press("5");
    await settled(page);
    await tabTo(page, /^Work.*[Ss]uspected|^Work.*label-errors/);
    await page.keyboard.press("Enter");
    await posed(page);
    await decide(page, () => page.keyboard.press("a"));
    await decide(page, () => page.keyboard.press("r"));
    await page.keyboard.press("u");
    await page.keyboard.press("l");
    await page.waitForURL(/list=/);
    await settled(page);
    await tabTo(page, /CSV/);
    const file = page.waitForEvent("download");
    await page.keyboard.press("Enter");
    expect((await file).suggestedFilename()).toMatch(/\.csv$/);
    await page.context().close();
  });

  it("works through a queue on a phone", async () => {
    const { page } = await open(browser, "#/map", {
      viewport: { width: 390, height: 844 },
      hasTouch: true,
    });
    const wide = async () =>
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(390);
    await mapped(page);
    await wide();
    await page.getByRole("link", { name: "Clusters" }).tap();
    await page.getByRole("link", { name: run, exact: true }).tap();
    await page.locator(".cluster-name").first().tap();
    await page.locator(".member-block [data-hit]").first().waitFor();
    await wide();
    await page.getByRole("link", { name: "Curate" }).tap();
    await settled(page);
    await wide();
    await card(page, "Near-duplicates").getByRole("link", { name: /^Work/ }).first().tap();
    await posed(page);
    await decide(page, () => page.getByRole("button", { name: "Different" }).tap());
    await wide();
    await page.context().close();
  });
});
