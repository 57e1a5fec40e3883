import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { asked, closed, expectAccessible, launch, open, settled, URL_ } from "./browser";

interface Info {
  studies: number;
  rejected_by_reason: Record<string, number>;
}

const PARTS = ["overview", "ingest", "rejected", "spaces", "jobs", "keys", "audit"];
let browser: Browser;

beforeAll(async () => {
  browser = await launch();
});

afterAll(async () => {
  await browser.close();
});

const at = (tab: string, more = "") => `#/library?tab=${tab}${more}`;
const tab = (page: Page) => page.locator(".tabs [aria-current=page]").textContent();

/** Ask for a job that nothing comes of, for it is stopped before it begins or soon after. */
async function job(): Promise<string> {
  const answer = await fetch(`${URL_}/v1/jobs`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ kind: "curate-outliers", parameters: { count: 3 } }),
  });
  return ((await answer.json()) as { id: string }).id;
}

describe("looking after the library", () => {
  it("begins with what is in it, and whose rows lead to where they can be seen", async () => {
    const info = await asked<Info>("library");
    const { page, complaints } = await open(browser, "#/library");
    await settled(page);
    const figures = await page.textContent(".figures");
    expect(figures).toContain(new Intl.NumberFormat("en").format(info.studies));
    await page.locator(".bars a").first().click();
    await page.waitForURL(/#\/search\?f=modality/);
    await page.goBack();
    await page.waitForSelector(".bars a");
    expect(complaints).toEqual([]);
    await page.context().close();
  });

  it("is walked through with keys alone, and the back button undoes it", async () => {
    const { page } = await open(browser, "#/library");
    await settled(page);
    for (const part of ["Intake", "Rejected", "Spaces", "Jobs"]) {
      await page.keyboard.press(".");
      await expect.poll(() => tab(page)).toContain(part);
    }
    await page.keyboard.press(",");
    await expect.poll(() => tab(page)).toContain("Spaces");
    await page.goBack();
    await expect.poll(() => tab(page)).toContain("Jobs");
    await page.keyboard.press("?");
    await page.getByText("New: index a folder, make a key").waitFor();
    await page.context().close();
  });

  it("tells of a job, follows it by its events, and stops it", async () => {
    const uid = await job();
    const { page } = await open(browser, at("jobs", `&job=${uid}`));
    await page.waitForSelector(".job-details");
    const stop = page.locator(".job-details").getByRole("button", { name: "Stop" });
    if (await stop.isVisible()) await stop.click();
    await page.locator("tr.open .tag", { hasText: /stopped|done/ }).waitFor();
    await page.keyboard.press("Escape");
    await page.waitForURL((url) => !url.hash.includes("job="));
    await page.keyboard.press("j");
    await page.keyboard.press("Enter");
    await page.waitForURL(/job=/);
    await page.context().close();
  });

  it("shows progress as it is told, without asking for the list again", async () => {
    const { page } = await open(browser, "#/search");
    const first = { ...RUNNING, done: 0, revision: 1 };
    const later = { ...RUNNING, done: 40, revision: 2, updated_at: "2026-01-01T00:00:10Z" };
    await page.route("**/v1/jobs?*", (route) => route.fulfill({ json: page_of([first]) }));
    await page.route("**/events", (route) =>
      route.fulfill({
        contentType: "text/event-stream",
        body: `retry: 600000\nid: 2\nevent: progress\ndata: ${JSON.stringify(later)}\n\n`,
      }),
    );
    await page.goto(`${URL_}/${at("ingest")}`);
    await page.getByText("40 of 100 · 4/s · about 15 s left").waitFor();
    await page.context().close();
  });
});

const RUNNING = {
  ...{ id: "b".repeat(24), kind: "index", parameters: { paths: ["/in"] }, state: "running" },
  ...{ what: "indexing", total: 100, result: null, code: "", error: "", asked_by: "op" },
  ...{ attempts: 1, cancelled: false, created_at: "2026-01-01T00:00:00Z", ended_at: "" },
  ...{ started_at: "2026-01-01T00:00:00Z", updated_at: "2026-01-01T00:00:00Z" },
};
const page_of = (rows: object[]) => ({ rows, cursor: "" });

describe("keys and the audit", () => {
  it("make a key, show it once, and revoke it after asking", async () => {
    const name = `walk ${Date.now()}`;
    const { page } = await open(browser, at("keys"));
    await settled(page);
    await page.keyboard.press("n");
    await page.getByRole("textbox", { name: /Name/ }).fill(name);
    await page.getByRole("radio", { name: /curator/ }).check();
    await page.getByRole("button", { name: "Make the key" }).click();
    const token = page.locator(".token");
    expect(await token.inputValue()).toMatch(/^syn_[0-9a-f]{12}_[\w-]{43}$/);
    expect(page.url()).not.toContain("syn_");
    await expectAccessible(page);
    await page.keyboard.press("Escape"); // what is shown once is not lost by a slip
    await page.getByRole("button", { name: "I have it" }).click();
    await page.locator("tr", { hasText: name }).getByRole("button").click();
    await page.getByText(`Revoke the key of ${name}?`).waitFor();
    await page.locator("dialog").getByRole("button", { name: "Revoke" }).click();
    await page.locator("dialog").waitFor({ state: "detached" });
    await page.locator("tr", { hasText: name }).waitFor({ state: "detached" });
    await page.getByRole("checkbox", { name: "Also those that are over" }).check();
    await page.locator("tr", { hasText: name }).getByText("revoked").waitFor();
    await page.context().close();
  });

  it("tell what was done, by whom, narrowed by what is in the address", async () => {
    const { page } = await open(browser, at("audit"));
    await settled(page);
    await page.locator(".line-form select").first().selectOption("keys");
    await page.waitForURL(/action=keys/);
    await page.locator("tbody tr", { hasText: "revoke" }).first().waitFor();
    await page.locator("[data-row]").first().click();
    await page.locator(".detail", { hasText: "Hash" }).waitFor();
    await page.goBack();
    await page.waitForURL((url) => !url.hash.includes("action"));
    const file = page.waitForEvent("download");
    await page.getByRole("link", { name: "JSON" }).click();
    expect((await file).suggestedFilename()).toBe("audit.jsonl");
    await page.context().close();
  });
});

describe("when something is wrong", () => {
  it("says that the service is gone, keeps what is shown, and goes on by itself", async () => {
    const { page } = await open(browser, "#/library");
    await settled(page);
    await page.route("**/v1/library/state", (route) => route.abort());
    await page.keyboard.press("r");
    await page.getByText("The service does not answer").waitFor();
    expect(await page.locator(".bars li").count()).toBeGreaterThan(0);
    await page.unroute("**/v1/library/state");
    await page.getByRole("button", { name: "Try again" }).first().click();
    await page.getByText("The service does not answer").waitFor({ state: "detached" });
    await page.context().close();
  });

  it("shows nobody what their role is refused, and says which role it takes", async () => {
    const { page } = await open(browser, "#/search");
    await page.route("**/v1/session", async (route) => {
      const answer = await route.fetch();
      await route.fulfill({ json: { ...(await answer.json()), role: "reader", name: "dr-who" } });
    });
    await page.goto(`${URL_}/${at("audit")}`);
    await page.getByText("This takes the role admin").waitFor();
    expect(await page.locator(".tabs a").count()).toBe(4);
    await page.goto(`${URL_}/${at("ingest")}`);
    await page.getByText("Starting takes the role operator.").waitFor();
    await closed(page);
  });

  it("tells what the service refuses where it was asked, and keeps what was typed", async () => {
    const { page } = await open(browser, at("keys", "&new=yes"));
    await page.route("**/v1/keys", (route) =>
      route.request().method() === "POST"
        ? route.fulfill({
            status: 403,
            contentType: "application/problem+json",
            json: { status: 403, code: "access_denied", detail: "no stronger key", title: "" },
          })
        : route.continue(),
    );
    await page.getByRole("textbox", { name: /Name/ }).fill("too strong");
    await page.getByRole("button", { name: "Make the key" }).click();
    await page.getByText("no stronger key").waitFor();
    expect(await page.getByRole("textbox", { name: /Name/ }).inputValue()).toBe("too strong");
    await page.keyboard.press("Escape");
    await page.waitForURL((url) => !url.hash.includes("new="));
    await page.context().close();
  });
});

describe("everybody", () => {
  it.each(["dark", "light"])("can use every part of it in the %s theme", async (theme) => {
    const { page } = await open(browser);
    await page.evaluate((chosen) => localStorage.setItem("syntopy.theme", chosen), theme);
    await page.reload();
    for (const part of PARTS) {
      await page.goto(`${URL_}/${at(part)}`);
      await settled(page);
      await expectAccessible(page);
    }
    await page.context().close();
  });

  it("can use it at the width of a phone, where nothing scrolls sideways", async () => {
    const { page } = await open(browser, "", { viewport: { width: 390, height: 844 } });
    for (const part of PARTS) {
      await page.goto(`${URL_}/${at(part)}`);
      await settled(page);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      expect(wide, part).toBeLessThanOrEqual(390);
      expect(await page.locator(".tabs [aria-current]").isVisible()).toBe(true);
    }
    await page.context().close();
  });

  it("can read it in German", async () => {
    const { page } = await open(browser, "#/library", { locale: "de-DE" });
    await settled(page);
    expect(await page.textContent(".tabs")).toContain("Aufnahme");
    await page.context().close();
  });
});
