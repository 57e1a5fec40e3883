// "Is this scan like what my model was validated on?" A reference is made, studies are judged by it,
// those that are flagged are looked at and decided, drift is asked for, and a script reads it all.
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { asked, launch, open, settled, tabTo } from "./browser";

interface Judged {
  rows: { study_instance_uid: string; p_value: number; review: { verdict: string } | null }[];
}
interface Reference {
  name: string;
  items: number;
}

let browser: Browser;
/** That which was there before, and is judged by already. */
let known: string;
const MINE = `walked ${Date.now().toString(36)}`;
const SLOW = { timeout: 80_000 };

beforeAll(async () => {
  browser = await launch();
  known = (await asked<Reference[]>("ood/references"))[0]?.name ?? "";
});

afterAll(() => browser.close());

const at = (reference: string, more = "") =>
  `#/qa?reference=${encodeURIComponent(reference)}${more}`;
const flagged = (reference: string) =>
  asked<Judged>(
    `ood/scores?reference=${encodeURIComponent(reference)}&flagged=true&sort=-judged_at&limit=200`,
  );
const shown = (page: Page) => page.waitForSelector(".qa-study .screen img:not(.coming)");
const study = (page: Page) =>
  new URLSearchParams(new URL(page.url()).hash.split("?")[1]).get("study") ?? "";

async function verdictOf(reference: string, uid: string): Promise<string> {
  const { rows } = await flagged(reference);
  return rows.find((row) => row.study_instance_uid === uid)?.review?.verdict ?? "";
}

async function expectVerdict(reference: string, uid: string, verdict: string): Promise<void> {
  await expect.poll(() => verdictOf(reference, uid)).toBe(verdict);
}

describe("whoever answers for quality", () => {
  it("makes a reference, judges the library, decides, and asks about drift", async () => {
    const { page, complaints } = await open(browser, "#/qa?tab=references");
    await settled(page);
    await page.getByRole("button", { name: /New reference/ }).click();
    await page.getByLabel("Name").fill(MINE);
    await page.getByLabel("Filter").fill("modality=CT and kind=volume");
    await page.getByLabel(/rate/i).fill("0.25");
    await page.getByRole("button", { name: "Fit and calibrate" }).click();
    await page.getByRole("heading", { name: MINE }).waitFor(SLOW);

    await page.getByRole("button", { name: "Judge the library" }).click();
    await page.getByRole("dialog").getByLabel("Filter").fill("kind=volume and role=primary");
    await page.getByRole("dialog").locator("button[type=submit]").click();
    await page.getByRole("button", { name: "See them" }).click(SLOW);
    await page.locator(".scores [data-study]").first().click();
    await shown(page);
    await page.getByText("The share of usual cases that look as unlike").waitFor();
    expect(await page.locator(".qa-right .figures tbody tr").count()).toBeGreaterThan(0);
    await page.waitForSelector(".qa-right ol.nearest .thumb");
    const uid = study(page) || (await flagged(MINE)).rows[0]?.study_instance_uid || "";
    await page.fill(".comment textarea", "not what it was validated on");
    await page.getByRole("button", { name: /^Reject/ }).click();
    await expectVerdict(MINE, uid, "reject");

    await page.getByRole("button", { name: "Drift", exact: true }).click();
    await page
      .getByRole("button", { name: /New report/ })
      .first()
      .click();
    await page.getByRole("dialog").getByRole("button", { name: "Ask for it" }).click();
    await page.locator(".drift-group").first().waitFor(SLOW);
    expect(complaints).toEqual([]);
    await page.context().close();
  });

  it("goes through what is flagged with the keyboard alone", async () => {
    const { page } = await open(browser);
    await settled(page);
    await page.keyboard.press("6");
    await page.waitForSelector(".qa-head select");
    await tabTo(page, /^Reference(?!s$)/);
    await page.keyboard.type(known);
    await page.keyboard.press("Escape");
    await page.waitForURL((url) => url.hash.includes(encodeURIComponent(known)));
    await page.waitForSelector(".scores [data-study]");
    await shown(page);
    await page.keyboard.press("j");
    await page.waitForURL(/study=/);
    await shown(page);
    const uid = study(page);
    const before = await verdictOf(known, uid);
    await page.waitForSelector(".screen img.heat");
    await page.keyboard.press("h");
    await page.keyboard.press("c");
    await page.keyboard.type("looked at");
    await page.keyboard.press("Escape");
    await page.keyboard.press("a");
    await page.waitForURL((url) => !url.hash.includes(uid));
    await expectVerdict(known, uid, "accept");
    await page.locator(`[data-study="${uid}"] .decided.accept`).waitFor();
    await page.keyboard.press("u");
    await expectVerdict(known, uid, before);
    await page.keyboard.press("t");
    await page.waitForURL(/tab=drift/);
    await page.keyboard.press("t");
    await page.waitForURL(/tab=references/);
    await page.context().close();
  });

  it("decides on a phone", async () => {
    const { page } = await open(browser, at(known, "&show=open"), {
      viewport: { width: 390, height: 844 },
      hasTouch: true,
    });
    await page.locator(".scores [data-study]").first().tap();
    await shown(page);
    const uid = study(page);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(390);
    await page.getByRole("button", { name: /^Accept/ }).tap();
    await expectVerdict(known, uid, "accept");
    await page.context().close();
  });
});
