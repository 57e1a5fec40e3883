import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { asked, expectAccessible, held, launch, open, settled, URL_ } from "./browser";

interface Listed {
  rows: { study_instance_uid: string; review: { version: number } | null }[];
}

let browser: Browser;
/** The reference that flags most, and what it flags. */
let reference: string;
let flagged: string[];

const scores = (name: string) =>
  asked<Listed>(
    `ood/scores?reference=${encodeURIComponent(name)}&flagged=true&sort=-judged_at&limit=100`,
  );

beforeAll(async () => {
  browser = await launch();
  const names = (await asked<{ name: string }[]>("ood/references")).map(({ name }) => name);
  const told = await Promise.all(
    names.map(async (name) => ({ name, rows: (await scores(name)).rows })),
  );
  const [most] = told.sort((a, b) => b.rows.length - a.rows.length);
  if (!most || most.rows.length < 3) throw new Error("no reference of this library flags three");
  reference = most.name;
  flagged = most.rows.map((row) => row.study_instance_uid);
});

afterAll(() => browser.close());

const at = (more = "") => `#/qa?reference=${encodeURIComponent(reference)}${more}`;
const uid = (page: Page) => new URLSearchParams(page.url().split("?")[1]).get("study");
const row = (page: Page, study: string) => page.locator(`[data-study="${study}"]`);

async function listed(page: Page): Promise<void> {
  await page.waitForSelector(".scores [data-study]");
  await page.waitForSelector(".qa-study .screen img:not(.coming)");
}

/** Another person decides, by another way than this page. */
async function decideElsewhere(study: string, verdict: string): Promise<void> {
  const path = `${URL_}/v1/reviews/${encodeURIComponent(`ood:${reference}`)}/subjects/${study}`;
  const seen = await fetch(path);
  const from: Record<string, string> = seen.ok
    ? { "If-Match": seen.headers.get("etag") ?? "*" }
    : { "If-None-Match": "*" };
  const answer = await fetch(path, {
    method: "PUT",
    headers: { "Content-Type": "application/json", ...from },
    body: JSON.stringify({ verdict, comment: "elsewhere" }),
  });
  expect(answer.ok).toBe(true);
}

describe("incoming studies", () => {
  it("are decided by keys alone: next, reject with a comment, accept, undo", async () => {
    const { page, complaints } = await open(browser, at());
    await listed(page);
    await page.keyboard.press("j");
    const [, second = "", third = ""] = flagged;
    await page.waitForURL((url) => url.hash.includes(second));
    await page.keyboard.press("c");
    await page.keyboard.type("half of it is missing");
    await page.keyboard.press("Escape");
    await page.keyboard.press("r");
    await page.waitForURL((url) => url.hash.includes(third));
    await row(page, second).locator(".decided.reject").waitFor();
    await page.keyboard.press("u");
    await page.waitForURL((url) => url.hash.includes(second));
    await row(page, second).locator(".decided").waitFor({ state: "detached" });
    await page.keyboard.press("a");
    await row(page, second).locator(".decided.accept").waitFor();
    await page.keyboard.press("k");
    await page.keyboard.press("u");
    await row(page, second).locator(".decided").waitFor({ state: "detached" });
    expect(complaints).toEqual([]);
    await page.context().close();
  });

  it("that somebody has left are not opened by a verdict that comes late", async () => {
    const [first = ""] = flagged;
    const { page } = await open(browser, at(`&study=${first}`));
    await listed(page);
    await held(page, "**/subjects/*", async () => {
      await page.keyboard.press("a");
      await page.keyboard.press("7");
      await page.waitForURL(/#\/library/);
    });
    await settled(page);
    expect(page.url()).toMatch(/#\/library/);
    await page.context().close();
  });

  it("have no verdict when it is taken back before it has come", async () => {
    const [first = ""] = flagged;
    const { page, complaints } = await open(browser, at(`&study=${first}`));
    await listed(page);
    const takenBack = page.waitForResponse("**/undo");
    await held(page, "**/subjects/*", async () => {
      await page.keyboard.press("r");
      await page.keyboard.press("u");
    });
    expect((await takenBack).ok()).toBe(true);
    await settled(page);
    await row(page, first).locator(".decided.reject").waitFor({ state: "detached" });
    expect(uid(page)).toBe(first);
    expect(complaints).toEqual([]);
    await page.context().close();
  });

  it("say why: findings, detectors, nearest cases, and where the picture is unlike", async () => {
    const { page } = await open(browser, at(`&study=${flagged[0]}`));
    await listed(page);
    await page.waitForSelector(".qa-right ol.nearest .thumb");
    expect(await page.locator(".qa-right .figures tbody tr").count()).toBeGreaterThan(0);
    await page.waitForSelector(".screen img.heat");
    await page.keyboard.press("h");
    await page.locator(".screen img.heat").waitFor({ state: "detached" });
    const links = await page.locator(".qa-right ol.nearest a").first().getAttribute("href");
    expect(links).toContain(`#/compare?study=${flagged[0]}`);
    await page.keyboard.press("s");
    await page.waitForURL(/#\/search\?study=/);
    await page.goBack();
    await listed(page);
    expect(uid(page)).toBe(flagged[0]);
    await page.context().close();
  });

  it("that somebody else decided meanwhile are not written over, and nothing is lost", async () => {
    const [study = ""] = flagged;
    const { page } = await open(browser, at(`&study=${study}`));
    await listed(page);
    await decideElsewhere(study, "accept");
    await page.fill(".comment textarea", "my reason");
    await page.keyboard.press("Escape");
    await page.keyboard.press("r");
    await page.getByText("Somebody else decided meanwhile").waitFor();
    await row(page, study).locator(".decided.accept").waitFor();
    expect(await page.inputValue(".comment textarea")).toBe("my reason");
    await expectAccessible(page);
    await page.getByRole("button", { name: "Mine counts" }).click();
    await row(page, study).locator(".decided.reject").waitFor();
    await decideElsewhere(study, "");
    await page.context().close();
  });

  it("are narrowed by flag and field, and the back button undoes it", async () => {
    const { page } = await open(browser, at());
    await listed(page);
    await page.getByRole("button", { name: "All", exact: true }).click();
    await page.waitForURL(/show=all/);
    await page.locator(".narrow-by select").first().selectOption({ index: 1 });
    await page.waitForURL(/f=|order=/);
    await page.getByLabel("Filter by hand").fill("age=old");
    await page.keyboard.press("Enter");
    await page.getByRole("alert").first().waitFor();
    await page.goBack();
    await page.goBack();
    await page.goBack();
    await listed(page);
    expect(page.url()).not.toMatch(/show|f=|order|filter/);
    await page.context().close();
  });

  it("say that the service is gone, keep what was typed, and decide when it is back", async () => {
    const [study = ""] = flagged;
    const { page } = await open(browser, at(`&study=${study}`));
    await listed(page);
    await page.route("**/v1/reviews/**", (route) => route.abort());
    await page.fill(".comment textarea", "kept");
    await page.keyboard.press("Escape");
    await page.keyboard.press("a");
    await page.getByText("The service does not answer").waitFor();
    expect(await page.inputValue(".comment textarea")).toBe("kept");
    await page.unroute("**/v1/reviews/**");
    await page.getByRole("button", { name: "Try again" }).click();
    await row(page, study).locator(".decided.accept").waitFor();
    await page.keyboard.press("u");
    await row(page, study).locator(".decided").waitFor({ state: "detached" });
    await page.context().close();
  });
});

/** A report with an alarm, which no small library gives: four windows of two scanners. */
const WINDOWS = ["2026-01-01", "2026-01-08", "2026-01-15", "2026-01-22"];
function part(group: string, flagged_: number) {
  const [low, high] = [Math.max(0, flagged_ - 0.1), Math.min(1, flagged_ + 0.2)];
  const tested = { differs: flagged_ > 0.3, report: null, sentences: [] };
  return { group, studies: 20, patients: 18, flagged: flagged_, low, high, ...tested };
}
const STEPS = [0.1, 0.2, 0.6, 1.1].map((level) => ({
  cases: 18,
  mean: level,
  low: level - 0.2,
  high: level + 0.2,
  level,
  limit: 0.5,
  error: 0.1,
  alarm: level > 0.5,
}));
const ROWS = [
  ...WINDOWS.map((first, at_) => ({
    window: {
      name: `${first} to later`,
      first,
      last: first,
      whole: part("", 0.05 + 0.1 * at_),
      groups: [part("A", 0.05), part("B", 0.1 + 0.2 * at_)],
    },
  })),
  ...["", "A", "B"].map((group) => ({
    watch: {
      detector: "knn",
      group,
      reference: 40,
      own: false,
      run_length: 1000,
      first: group === "A" ? null : 2,
      since: group === "A" ? null : 1,
      lasting: group !== "A",
      steps: group === "A" ? STEPS.map((step) => ({ ...step, level: 0, alarm: false })) : STEPS,
    },
  })),
];

async function withReport(page: Page): Promise<void> {
  const headline = "Sustained change in B since about 2026-01-08: images look less usual.";
  const about = { reference, filter: "", by: "manufacturer", alarm: 0.05, alpha: 0.01 };
  const rest = {
    changed: true,
    headline,
    sentences: ["one"],
    notes: [],
    held_out: 40,
    patients: 72,
  };
  const job = {
    id: "d",
    kind: "drift",
    parameters: { reference, by: "manufacturer" },
    state: "done",
    result: { ...about, ...rest, detectors: ["knn"] },
    created_at: "2026-02-01T08:00:00+00:00",
  };
  await page.route("**/v1/jobs?kind=drift*", (route) =>
    route.fulfill({ json: { rows: [job], cursor: "" } }),
  );
  await page.route("**/v1/jobs/d/result*", (route) =>
    route.fulfill({ json: { rows: ROWS, cursor: "" } }),
  );
}

describe("drift", () => {
  it("is told in a sentence, drawn with its alarms, and read window by window by keys", async () => {
    const { page, complaints } = await open(browser);
    await withReport(page);
    await page.goto(`${URL_}/${at("&tab=drift")}`);
    await page.getByText("Sustained change in B").waitFor();
    expect(await page.locator(".drift-group").count()).toBe(3);
    expect(await page.locator(".chart-mark.alarm").count()).toBeGreaterThan(3);
    const slider = page.getByRole("slider", { name: "Window" });
    await slider.focus();
    await page.keyboard.press("ArrowLeft");
    expect(await slider.getAttribute("aria-valuetext")).toContain("2026-01-15");
    expect(await page.locator(".chart output").nth(1).textContent()).toContain("0.60");
    await page.getByText("Figures as a table").click();
    await page.getByRole("table").first().waitFor();
    await settled(page);
    await expectAccessible(page);
    expect(complaints).toEqual([]);
    await page.context().close();
  });

  it("is asked for as a job, which can be stopped", async () => {
    const { page } = await open(browser, at("&tab=drift"));
    await settled(page);
    await page.keyboard.press("n");
    await page.getByRole("dialog").waitFor();
    await expectAccessible(page);
    await page.getByLabel("Filter").fill("modality=");
    await page.getByRole("button", { name: "Ask for it" }).click();
    await page.getByRole("alert").waitFor();
    await page.getByRole("button", { name: "Cancel" }).click();
    expect(await page.getByRole("dialog").count()).toBe(0);
    await page.context().close();
  });
});

describe("references", () => {
  it("are listed with their reports, and a name that is taken is refused in the form", async () => {
    const { page } = await open(browser, at("&tab=references"));
    await page.getByRole("heading", { name: reference }).waitFor();
    await page.getByText("Told from corrupted copies").waitFor();
    await page.keyboard.press("n");
    await page.getByLabel("Name").fill(reference);
    await page.getByRole("button", { name: "Fit and calibrate" }).click();
    await page.getByRole("alert").waitFor();
    expect(await page.getByLabel("Name").inputValue()).toBe(reference);
    await page.keyboard.press("Escape");
    await page.keyboard.press("t");
    await page.waitForFunction(() => !location.hash.includes("tab="));
    await page.context().close();
  });

  it("say what to do where there are none", async () => {
    const { page } = await open(browser);
    await page.route("**/v1/ood/references", (route) => route.fulfill({ json: [] }));
    await page.goto(`${URL_}/#/qa`);
    await page.getByText("No reference set yet").waitFor();
    await expectAccessible(page);
    await page.getByRole("button", { name: "Make a reference" }).click();
    await page.getByRole("dialog", { name: "New reference" }).waitFor();
    await page.context().close();
  });

  it("that are unknown lead to those that are there", async () => {
    const { page } = await open(browser, "#/qa?reference=none");
    await page.getByText("There is no reference “none”").waitFor();
    await page.getByRole("button", { name: "Show the newest" }).click();
    await page.waitForFunction(() => !location.hash.includes("none"));
    await page.context().close();
  });
});

describe("on a phone", () => {
  it("shows, explains and decides in 390 pixels, and nothing is cut off", async () => {
    const { page } = await open(browser, at(), { viewport: { width: 390, height: 844 } });
    const wide = () => page.evaluate(() => document.documentElement.scrollWidth);
    await page.locator(".scores [data-study]").first().click();
    await page.waitForSelector(".qa-study .screen img:not(.coming)");
    await settled(page);
    expect(await wide()).toBe(390);
    await expectAccessible(page);
    await page.getByRole("button", { name: "Close" }).click();
    for (const tab of ["Drift", "References"]) {
      await page.getByRole("button", { name: tab, exact: true }).click();
      await settled(page);
      expect(await wide()).toBe(390);
    }
    await page.context().close();
  });
});

describe("for everyone", () => {
  for (const theme of ["dark", "light"])
    it(`leaves axe nothing to object to in the ${theme} theme`, async () => {
      const { page } = await open(browser, at());
      await page.evaluate((chosen) => localStorage.setItem("syntopy.theme", chosen), theme);
      await page.reload();
      await listed(page);
      await settled(page);
      await expectAccessible(page);
      await page.goto(`${URL_}/${at("&tab=references")}`);
      await page.getByText("Told from corrupted copies").waitFor();
      await settled(page);
      await expectAccessible(page);
      await page.keyboard.press("?");
      await page.getByRole("dialog", { name: "Keys" }).waitFor();
      await expectAccessible(page);
      await page.context().close();
    });

  it("speaks German", async () => {
    const { page } = await open(browser, at("&tab=drift"), { locale: "de-DE" });
    await page.getByRole("heading", { name: "Hat sich geändert, was eintrifft?" }).waitFor();
    await page.getByRole("button", { name: "Eingang" }).click();
    await page.getByRole("button", { name: "Zu prüfen" }).waitFor();
    await page.context().close();
  });
});
