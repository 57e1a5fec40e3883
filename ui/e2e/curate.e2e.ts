import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { asked, expectAccessible, held, launch, open, settled, URL_ } from "./browser";
import { moved, posed, subject } from "./shown";

interface Row {
  id: string;
  labels: Record<string, string[]>;
}
interface Review {
  subject: string;
  verdict: string;
  comment: string;
  labels: string[];
  version: number;
}

let browser: Browser;
let items: Row[];
/** Each walk has queues of its own, and each run of the walks. */
const RUN = Date.now().toString(36);
let queues = 0;

beforeAll(async () => {
  browser = await launch();
  items = (await asked<{ rows: Row[] }>("items?limit=60")).rows;
});

afterAll(async () => {
  await browser.close();
});

const send = (method: string, path: string, body: unknown, headers = {}) =>
  fetch(`${URL_}/v1/${path}`, {
    method,
    headers: { "Content-Type": "application/json", ...headers },
    body: JSON.stringify(body),
  });

async function fill(name: string, subjects: string[][]): Promise<string> {
  const queue = `${name}:${RUN}-${queues++}`;
  const answer = await send("POST", `reviews/${encodeURIComponent(queue)}/subjects`, { subjects });
  expect(answer.status).toBe(200);
  return queue;
}

const some = (n: number) => items.slice(0, n).map(({ id }) => [id]);
const pairs = (n: number) =>
  Array.from({ length: n }, (_, at) => [items[2 * at]?.id ?? "", items[2 * at + 1]?.id ?? ""]);
const address = (queue: string, more = "") => `#/curate?queue=${encodeURIComponent(queue)}${more}`;
/** A queue of three that is shown, the first of it accepted. */
async function accepted(name: string): Promise<{ page: Page; queue: string; first: string }> {
  const queue = await fill(name, some(3));
  const { page } = await open(browser, address(queue));
  await posed(page);
  const first = subject(page);
  await page.keyboard.press("a");
  await moved(page, first);
  await decided(queue, ["accept", "", ""]);
  return { page, queue, first };
}
const stands = async (queue: string) =>
  (await asked<{ rows: Review[] }>(`reviews?queue=${encodeURIComponent(queue)}`)).rows;

/** Until the service knows so many verdicts. */
async function decided(queue: string, verdicts: string[]): Promise<Review[]> {
  for (let round = 0; round < 100; round++) {
    const rows = await stands(queue);
    if (JSON.stringify(rows.map((row) => row.verdict)) === JSON.stringify(verdicts)) return rows;
    await new Promise((resolve) => setTimeout(resolve, 150));
  }
  expect((await stands(queue)).map((row) => row.verdict)).toEqual(verdicts);
  return [];
}

describe("finding", () => {
  it("asks for a job, follows it, and works at the queue that it fills", async () => {
    const { page, complaints } = await open(browser, "#/curate");
    await settled(page);
    const card = page.locator(".task", { hasText: "Outliers" });
    await card.getByRole("button", { name: /Find/ }).click();
    await page.getByLabel("How many").fill("3");
    await page.getByRole("button", { name: "Start" }).click();
    await card.getByText(/new in the queue/).waitFor({ timeout: 60_000 });
    await card.getByRole("link", { name: /^Work/ }).click();
    await page.waitForURL(/queue=outliers&at=/);
    await posed(page);
    await page.getByText(/of the least typical/).waitFor();
    expect(complaints).toEqual([]);
    await page.context().close();
  });

  it("says in the form what was refused", async () => {
    const { page } = await open(browser, "#/curate");
    await settled(page);
    await page
      .locator(".task", { hasText: "Leakage" })
      .getByRole("button", { name: /Find/ })
      .click();
    await page.getByLabel("Only items that pass").fill("age=old");
    await page.getByRole("button", { name: "Start" }).click();
    await page.locator("dialog [role=alert]").waitFor();
    await page.context().close();
  });
});

describe("working with the keyboard alone", () => {
  it("accepts, rejects with a comment, skips, goes back, undoes, and comes to the end", async () => {
    const queue = await fill("mine", some(4));
    const { page, complaints } = await open(browser, address(queue));
    await posed(page);
    const first = subject(page);
    await page.keyboard.press("a");
    await moved(page, first);
    await page.keyboard.press("c");
    await page.keyboard.type("rotated");
    await page.keyboard.press("Escape");
    const second = subject(page);
    await page.keyboard.press("r");
    await moved(page, second);
    const third = subject(page);
    await page.keyboard.press("s");
    await moved(page, third);
    const rows = await decided(queue, ["accept", "reject", "skip", ""]);
    expect(rows[1]?.comment).toBe("rotated");
    await page.keyboard.press("k");
    await page.waitForURL(new RegExp(`at=${third}`));
    await page.keyboard.press("u");
    await decided(queue, ["accept", "reject", "", ""]);
    await page.reload(); // what was decided, and what is this tab's, stays
    await posed(page);
    expect(await page.textContent(".shares-words")).toContain("1 accepted");
    await page.keyboard.press("a");
    await moved(page, third);
    await posed(page);
    await page.keyboard.press("a");
    await page.getByText("Nothing is left to decide").waitFor();
    await decided(queue, ["accept", "reject", "accept", "accept"]);
    await page.goBack();
    await posed(page);
    expect(complaints).toEqual([]);
    await page.context().close();
  });

  it("is not led back to a subject by an answer that comes late", async () => {
    const { page, queue } = await accepted("late");
    await held(page, "**/undo", async () => {
      await page.keyboard.press("u");
      await page.keyboard.press("l");
      await page.waitForURL(/list=all/);
    });
    await decided(queue, ["", "", ""]);
    await settled(page);
    expect(page.url()).toMatch(/list=all/);
    await held(page, "**/next*", async () => {
      await page.keyboard.press("l"); // back to work, and on to the map before there is any
      await page.keyboard.press("3");
      await page.waitForURL(/#\/map/);
    });
    await settled(page);
    expect(page.url()).toMatch(/#\/map/);
    await page.context().close();
  });

  it("are in the list, also one that was on its way when it was opened", async () => {
    const queue = await fill("late", some(2));
    const { page } = await open(browser, address(queue));
    await posed(page);
    let go = () => {};
    const gone = new Promise<void>((resolve) => {
      go = resolve;
    });
    await page.route("**/subjects/*", async (route) => {
      await gone;
      await route.continue();
    });
    await page.keyboard.press("a");
    await page.keyboard.press("l");
    await page.waitForURL(/list=all/);
    const next = (state: string) =>
      page.locator(`button:${state}`, { hasText: "What becomes of the accepted" });
    await next("disabled").waitFor();
    go();
    await next("enabled").waitFor();
    await page.context().close();
  });

  it("shows a pair beside each other, in turn, and by what differs", async () => {
    const queue = await fill("duplicates", pairs(2));
    const { page } = await open(browser, address(queue));
    await posed(page);
    expect(await page.locator(".screens.pair figure").count()).toBe(2);
    await page.keyboard.press("b");
    await page.waitForSelector(".screens.blink");
    await page.keyboard.press("o");
    await page.waitForURL(/look=difference/);
    expect(await page.locator(".difference thead th").allTextContents()).toEqual(["Left", "Right"]);
    await page.context().close();
  });
});

describe("several people", () => {
  it("say who was quicker, and let one insist", async () => {
    const queue = await fill("mine", some(2));
    const { page } = await open(browser, address(queue));
    await posed(page);
    const [mine] = await stands(queue);
    const path = `reviews/${encodeURIComponent(queue)}/subjects/${mine?.subject}`;
    await send("PUT", path, { verdict: "reject", comment: "no" }, { "If-Match": '"0"' });
    await page.keyboard.press("a");
    await page.getByText(/was quicker/).waitFor();
    expect(await page.textContent(".notice.warn")).toContain("rejected, “no”");
    await page.getByRole("button", { name: "Mine counts" }).click();
    await decided(queue, ["accept", ""]);
    await page.context().close();
  });

  it("are given other subjects", async () => {
    const queue = await fill("mine", some(6));
    const one = await open(browser, address(queue));
    await posed(one.page);
    const two = await open(browser, address(queue));
    await posed(two.page);
    expect(subject(two.page)).not.toBe(subject(one.page));
    await one.page.context().close();
    await two.page.context().close();
  });
});

describe("when something is wrong", () => {
  it("keeps decisions while the service is gone, and sends them when it is back", async () => {
    const queue = await fill("mine", some(4));
    const { page } = await open(browser, address(queue));
    await posed(page);
    await settled(page);
    const first = subject(page);
    await page.route(/subjects\/[^/]*$/, (route) =>
      route.request().method() === "PUT" ? route.abort() : route.continue(),
    );
    await page.keyboard.press("a");
    await moved(page, first);
    await page.getByText("1 decision is not sent yet").waitFor();
    await page.keyboard.press("r");
    await page.getByText("2 decisions are not sent yet").waitFor();
    await page.reload();
    await page.getByText("2 decisions are not sent yet").waitFor();
    await page.unroute(/subjects\/[^/]*$/);
    await decided(queue, ["accept", "reject", "", ""]);
    await page.waitForSelector(".notice.warn", { state: "detached" });
    await page.context().close();
  });

  it("says so where a queue or a subject is not there", async () => {
    const { page } = await open(browser, "#/curate?queue=none%20such");
    await page.getByRole("alert").waitFor();
    await page.context().close();
  });
});

describe("what was decided", () => {
  it("is listed by verdict, exported, and becomes a tag", async () => {
    const { page, first } = await accepted("mine");
    await page.keyboard.press("l");
    await page.waitForURL(/list=all/);
    await page.getByRole("button", { name: "Accepted", exact: true }).click();
    await page.waitForURL(/list=accept/);
    await settled(page);
    expect(await page.locator(".row-open").count()).toBe(1);
    const csv = await page.getByRole("link", { name: "CSV" }).getAttribute("href");
    expect(await (await fetch(`${URL_}${csv}`)).text()).toContain(first);
    await page.getByRole("button", { name: "What becomes of the accepted" }).click();
    await page.getByLabel("Name").fill(`left-out-${RUN}`);
    await page.getByRole("button", { name: "Make it" }).click();
    await page.getByText("1 items").waitFor();
    const tagged = await asked<{ rows: Row[] }>(`items?filter=label:tag=left-out-${RUN}`);
    expect(tagged.rows.map(({ id }) => id)).toEqual([first]);
    await page.context().close();
  });
});

describe("for everyone", () => {
  it("works in 390 pixels, and nothing is cut off", async () => {
    const queue = await fill("duplicates", pairs(2));
    const { page } = await open(browser, address(queue), { viewport: { width: 390, height: 844 } });
    await posed(page);
    await settled(page);
    const wide = () => page.evaluate(() => document.documentElement.scrollWidth);
    expect(await wide()).toBe(390);
    await expectAccessible(page);
    const first = subject(page);
    await page.getByRole("button", { name: "The same" }).click();
    await moved(page, first);
    await page.getByRole("button", { name: "Decisions" }).click();
    await settled(page);
    expect(await wide()).toBe(390);
    await page.context().close();
  });

  for (const theme of ["dark", "light"])
    it(`leaves axe nothing to object to in the ${theme} theme`, async () => {
      const queue = await fill("duplicates", pairs(2));
      const { page } = await open(browser, "#/curate");
      await page.evaluate((chosen) => localStorage.setItem("syntopy.theme", chosen), theme);
      await page.reload();
      await settled(page);
      await expectAccessible(page);
      await page.getByRole("button", { name: /Find/ }).last().click();
      await page.waitForSelector("dialog");
      await expectAccessible(page);
      await page.goto(`${URL_}/${address(queue)}`);
      await posed(page);
      await settled(page);
      await expectAccessible(page);
      await page.keyboard.press("a");
      await page.goto(`${URL_}/${address(queue, "&list=all")}`);
      await settled(page);
      await expectAccessible(page);
      await page.context().close();
    });

  it("speaks German", async () => {
    const { page } = await open(browser, "#/curate", { locale: "de-DE" });
    await page.getByRole("heading", { name: "Beinahe-Duplikate" }).waitFor();
    await page.context().close();
  });
});
