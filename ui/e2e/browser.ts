import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { expect } from "vitest";

export const URL_ = process.env.SYNTOPY_URL ?? "http://127.0.0.1:8000";
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf-8");

export function launch(...more: string[]): Promise<Browser> {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", ...more],
  });
}

export interface Opened {
  page: Page;
  /** What the browser complained of: errors of the page, and its policy that was broken. */
  complaints: string[];
}

export async function open(
  browser: Browser,
  hash = "",
  options: BrowserContextOptions = {},
): Promise<Opened> {
  const context = await browser.newContext({
    viewport: { width: 1440, height: 900 },
    locale: "en-GB",
    ...options,
  });
  // A browser that begins to look at requests while a page is open lets one more pass unseen.
  await context.route("**/from-the-start-on", (route) => route.continue());
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  const complaints: string[] = [];
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (said) => {
    if (said.text().includes("Content Security Policy")) complaints.push(said.text());
  });
  await page.goto(`${URL_}/${hash}`);
  return { page, complaints };
}

export const asked = async <T>(path: string): Promise<T> =>
  (await (await fetch(`${URL_}/v1/${path}`)).json()) as T;

/** Until nothing is being waited for. */
export async function settled(page: Page): Promise<void> {
  await page.waitForFunction(
    () => !document.querySelector("[aria-busy=true], .bone") && document.querySelector("main"),
  );
}

/** Sign in with a key where the page asks for one. */
export async function signIn(page: Page, key: string): Promise<void> {
  await page.getByRole("dialog", { name: "Sign in" }).waitFor();
  await page.waitForFunction(() => document.activeElement instanceof HTMLInputElement);
  await page.keyboard.type(key);
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor({ state: "detached" });
}

/** What the service says to such a request is kept from the page until this was done meanwhile. */
export async function held(page: Page, path: string, meanwhile: () => Promise<void>) {
  let go = () => {};
  const done = new Promise<void>((resolve) => {
    go = resolve;
  });
  let came = () => {};
  const asked = new Promise<void>((resolve) => {
    came = resolve;
  });
  await page.route(path, async (route) => {
    const response = await route.fetch();
    came();
    await done;
    await route.fulfill({ response });
  });
  const answered = page.waitForResponse(path);
  await meanwhile();
  await asked;
  go();
  await answered;
  await page.unroute(path);
  await page.evaluate(() => new Promise(requestAnimationFrame)); // what it set is drawn
}

/** Close a page whose routes fetch: what they still wait for is asked by nobody any more. */
export async function closed(page: Page): Promise<void> {
  await page.unrouteAll({ behavior: "ignoreErrors" });
  await page.context().close();
}

export const cards = (page: Page) => page.locator(".lane:not(.priors) [data-hit]");

/** axe-core finds nothing to object to, of WCAG 2.2 A and AA and of its best practices. */
export async function expectAccessible(page: Page): Promise<void> {
  await page.evaluate(AXE);
  const found = await page.evaluate(async () => {
    const { axe } = window as unknown as {
      axe: { run: (o: object) => Promise<{ violations: Violation[] }> };
    };
    const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
    const { violations } = await axe.run({ runOnly: { type: "tag", values: tags } });
    return violations.map(
      (each) => `${each.id}: ${each.nodes.map((n) => n.html.slice(0, 160)).join(" | ")}`,
    );
  });
  expect(found).toEqual([]);
}

interface Violation {
  id: string;
  nodes: { html: string }[];
}

/** Go by Tab to what has this name, as those do who have no pointer; Enter presses it. */
export async function tabTo(page: Page, name: RegExp): Promise<void> {
  const passed: string[] = [];
  for (let presses = 0; presses < 120; presses++) {
    await page.keyboard.press("Tab");
    const there = await page.evaluate(() => {
      const { activeElement: at } = document;
      if (!at || at === document.body) return "";
      const labelled = at instanceof HTMLInputElement || at instanceof HTMLSelectElement;
      const label = labelled ? at.labels?.[0]?.textContent : "";
      return `${label ?? ""} ${at.getAttribute("aria-label") ?? ""} ${at.textContent ?? ""}`;
    });
    if (name.test(there.trim())) return;
    passed.push(there.trim().slice(0, 40));
  }
  throw new Error(`Tab never comes to ${name}, but to ${passed.join(" | ")}`);
}
