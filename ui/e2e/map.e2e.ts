import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { asked, closed, expectAccessible, launch, open, URL_ } from "./browser";
import { mapped, searched } from "./shown";

interface Told {
  items: string[];
  map: { points: number };
}

let browser: Browser;
let items: string[];

beforeAll(async () => {
  browser = await launch();
  items = (await asked<Told>("maps/items")).items;
});

afterAll(async () => {
  await browser.close();
});

const stage = (page: Page) => page.locator(".map-stage");
const chosen = async (page: Page) =>
  Number(((await page.textContent(".map-chosen h2")) ?? "").match(/\d+/)?.[0] ?? -1);

async function middle(page: Page): Promise<[number, number, number, number]> {
  const box = await stage(page).boundingBox();
  if (!box) throw new Error("there is no stage");
  return [box.x, box.y, box.width, box.height];
}

/** Whether anything but the ground is drawn, by what the page itself can see of its canvas. */
const colours = (page: Page) =>
  page.evaluate(() => {
    const canvas = document.querySelector<HTMLCanvasElement>(".map-points");
    const copy = Object.assign(document.createElement("canvas"), { width: 400, height: 400 });
    const pen = copy.getContext("2d");
    if (!canvas || !pen) return 0;
    pen.drawImage(canvas, 0, 0, 400, 400);
    return new Set(new Uint32Array(pen.getImageData(0, 0, 400, 400).data.buffer)).size;
  });

describe("the map", () => {
  it("draws all points in the colours of a clustering, and breaks no policy", async () => {
    const { page, complaints } = await open(browser, "#/map");
    await mapped(page);
    expect(await colours(page)).toBeGreaterThan(2);
    const rows = page.locator(".legend-row .facet-count");
    const counts = (await rows.allTextContents()).map((each) => Number(each.replace(/\D/g, "")));
    expect(counts.reduce((a, b) => a + b, 0)).toBe(items.length);
    expect(complaints).toEqual([]);
    await page.context().close();
  });

  it("is walked by keys, opens a picture, and goes back step by step", async () => {
    const { page } = await open(browser, "#/map");
    await mapped(page);
    await page.keyboard.press("ArrowRight");
    await page.waitForSelector(".peek strong:not(:empty)");
    await page.keyboard.press("ArrowLeft");
    await page.keyboard.press("Enter");
    await page.waitForURL(/item=/);
    await page.getByRole("link", { name: "Search from this" }).waitFor();
    expect(await page.locator(".map-details .screen img").count()).toBe(1);
    await page.goBack();
    await page.waitForSelector(".map-about");
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("s");
    await page.waitForURL(/#\/search\?item=/);
    await page.context().close();
  });

  it("chooses by a lasso, by what is in view, and takes it back", async () => {
    const { page } = await open(browser, "#/map");
    await mapped(page);
    const [x, y, width, height] = await middle(page);
    await page.keyboard.down("Shift");
    await page.mouse.move(x + 2, y + 2);
    await page.mouse.down();
    for (const [dx, dy] of [
      [width - 4, 2],
      [width - 4, height * 0.6],
      [2, height * 0.6],
    ] as const)
      await page.mouse.move(x + dx, y + dy, { steps: 6 });
    await page.mouse.up();
    await page.keyboard.up("Shift");
    await page.waitForURL(/lasso=/);
    const some = await chosen(page);
    expect(some).toBeGreaterThan(0);
    expect(some).toBeLessThan(items.length);
    await page.keyboard.press("v");
    await page.waitForFunction(
      (n) => !document.body.textContent?.includes(`${n} pictures of`),
      some,
    );
    expect(await chosen(page)).toBe(items.length);
    await page.goBack();
    await page.waitForFunction(
      (n) => document.body.textContent?.includes(`${n} pictures of`),
      some,
    );
    await page.reload();
    await mapped(page);
    expect(await chosen(page)).toBe(some);
    await page.keyboard.press("x");
    await page.waitForSelector(".map-about");
    await page.context().close();
  });

  it("rings the point whose picture is pointed at in the grid", async () => {
    const { page } = await open(browser, "#/map?colour=none");
    await mapped(page);
    await page.keyboard.press("v");
    await page.waitForSelector(".map-grid");
    const above = () =>
      page.evaluate(() => document.querySelector<HTMLCanvasElement>(".map-above")?.toDataURL());
    const before = await above();
    await page.locator(".map-grid button").nth(2).hover();
    await page.waitForSelector(".map-grid button.pointed");
    expect(await above()).not.toBe(before);
    await page.locator(".map-grid button").nth(2).click();
    await page.waitForURL(/item=/);
    await page.context().close();
  });

  it("hides and shows by its legend, with the keyboard, too", async () => {
    const { page } = await open(browser, "#/map");
    await mapped(page);
    const first = page.locator(".legend-row").first();
    const all = items.length;
    const own = Number(
      ((await first.locator(".facet-count").textContent()) ?? "").replace(/\D/g, ""),
    );
    await first.focus();
    await page.keyboard.press("Enter");
    await page.waitForURL(/hide=/);
    expect(await chosen(page)).toBe(all - own);
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.waitForURL(/only=/);
    expect(await chosen(page)).toBe(own);
    await page.getByRole("button", { name: "Show all" }).first().click();
    await page.waitForSelector(".map-about");
    await page.context().close();
  });

  it("filters, and says where a filter cannot be read, losing nothing", async () => {
    const { page } = await open(browser, "#/map?hide=none");
    await mapped(page);
    await page.keyboard.press("/");
    await page.keyboard.type("kind=image and");
    await page.keyboard.press("Enter");
    await page.getByRole("alert").waitFor();
    expect(await page.getByRole("textbox", { name: "Filter" }).inputValue()).toBe("kind=image and");
    await page.getByRole("textbox", { name: "Filter" }).fill("kind=image");
    await page.keyboard.press("Enter");
    await page.waitForURL(/filter=kind%3Dimage(&|$)/);
    await page.waitForFunction(() => !document.querySelector("[role=alert]"));
    expect(await chosen(page)).toBeGreaterThan(0);
    await page.context().close();
  });

  it("keeps what is chosen: a set once, a tag that can be taken back", async () => {
    const { page } = await open(browser, "#/map?colour=none");
    await mapped(page);
    await page.keyboard.press("v");
    const name = `map ${Date.now()}`;
    const save = async () => {
      await page.getByRole("button", { name: "Save as set" }).click();
      await page.getByLabel("Name of the set").fill(name);
      await page.keyboard.press("Enter");
    };
    await save();
    await page.getByText(`Set “${name}” has ${items.length}`).waitFor();
    await save();
    await page.getByText(`There is a set “${name}” already`).waitFor();
    await page.getByRole("button", { name: "Add to it" }).click();
    await page.getByText(`Set “${name}” has ${items.length}`).waitFor();
    await page.getByRole("button", { name: "Tag", exact: true }).click();
    await page.getByLabel("Tag", { exact: true }).fill(name);
    await page.keyboard.press("Enter");
    await page.getByText(`got the tag “${name}”`).waitFor();
    await page.getByRole("button", { name: "Undo" }).click();
    await page.getByText("Taken back.").waitFor();
    const { rows } = await asked<{ rows: unknown[] }>(
      `items?filter=${encodeURIComponent(`label:tag="${name}"`)}`,
    );
    expect(rows).toEqual([]);
    await page.context().close();
  });

  it("starts a search with some of what is chosen", async () => {
    const { page } = await open(browser, "#/map?colour=none");
    await mapped(page);
    await page.keyboard.press("v");
    await page.getByRole("link", { name: "Search from these" }).click();
    await searched(page);
    expect(await page.locator(".chip").count()).toBe(6);
    await page.context().close();
  });
});

describe("when something is wrong", () => {
  it("asks for the map again when it has got other points meanwhile", async () => {
    const { page } = await open(browser, "#/map?colour=none");
    await mapped(page);
    let asked = 0;
    await page.route("**/v1/maps/points?**", (route) => {
      asked += 1;
      return route.continue();
    });
    const problem = { status: 412, code: "changed_meanwhile", detail: "other points" };
    const changed = { status: 412, contentType: "application/problem+json", json: problem };
    await page.route("**/v1/maps/items?**", (route) => route.fulfill(changed), { times: 1 });
    await page.keyboard.press("v");
    await page.waitForSelector(".map-grid img");
    expect(asked).toBe(1);
    expect(await page.locator("[role=alert]").count()).toBe(0);
    await page.context().close();
  });

  it("says that a picture cannot be asked for, and opens it when it can", async () => {
    const { page } = await open(browser, "#/map?colour=none");
    await mapped(page);
    await page.route("**/v1/maps/items?**", (route) => route.abort());
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("Enter");
    await page.getByText("The service does not answer").waitFor();
    await page.unroute("**/v1/maps/items?**");
    await page.getByRole("button", { name: "Try again" }).click();
    await page.waitForURL(/item=/);
    await page.context().close();
  });

  it("is drawn plainly where there is no WebGL, and says so", async () => {
    const { page } = await open(browser);
    await page.addInitScript(() => {
      const usual = HTMLCanvasElement.prototype.getContext;
      HTMLCanvasElement.prototype.getContext = function (this: HTMLCanvasElement, ...said: never) {
        return String(said[0]).startsWith("webgl") ? null : Reflect.apply(usual, this, said);
      } as typeof usual;
    });
    await page.goto(`${URL_}/#/map`);
    await page.reload();
    await page.getByText("Drawn without WebGL").waitFor();
    await mapped(page);
    expect(await colours(page)).toBeGreaterThan(2);
    await expectAccessible(page);
    await page.context().close();
  });

  it("goes on plainly when the graphics are lost, and tries them again", async () => {
    const { page } = await open(browser, "#/map");
    await mapped(page);
    await page.evaluate(() => {
      const canvas = document.querySelector<HTMLCanvasElement>(".map-points");
      canvas?.getContext("webgl")?.getExtension("WEBGL_lose_context")?.loseContext();
    });
    await page.getByText("The graphics driver gave up").waitFor();
    await mapped(page);
    expect(await colours(page)).toBeGreaterThan(2);
    await page.getByRole("button", { name: "Try WebGL" }).click();
    await page.waitForFunction(() => !document.querySelector(".map-trouble"));
    await mapped(page);
    await page.context().close();
  });

  it("says that the service is gone, and asks again", async () => {
    const { page } = await open(browser);
    await page.route("**/v1/maps/points**", (route) => route.abort());
    await page.goto(`${URL_}/#/map?filter=kind%3Dimage`);
    await page.getByText("The service does not answer").waitFor();
    await page.unroute("**/v1/maps/points**");
    await page.getByRole("button", { name: "Try again" }).click();
    await mapped(page);
    expect(page.url()).toContain("filter=kind%3Dimage");
    await page.context().close();
  });

  it("offers to make a map where there is none, and tells how far it is", async () => {
    const { page } = await open(browser);
    const job = { id: "j1", kind: "map", state: "queued", what: "", done: 0, total: 0 };
    let made = false;
    await page.route("**/v1/maps?**", (route) =>
      made ? route.continue() : route.fulfill({ json: [] }),
    );
    await page.route("**/v1/jobs?**", (route) => route.fulfill({ json: { rows: [], cursor: "" } }));
    await page.route("**/v1/jobs", (route) => route.fulfill({ status: 202, json: job }));
    await page.route("**/v1/jobs/j1/events", (route) => {
      made = true;
      const told = [
        ["progress", { ...job, state: "running", what: "laying out", done: 3, total: 10 }],
        ["end", { ...job, state: "done" }],
      ] as const;
      const body = told.map(([name, data]) => `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`);
      return route.fulfill({ contentType: "text/event-stream", body: body.join("") });
    });
    await page.goto(`${URL_}/#/map`);
    await page.getByRole("heading", { name: "This space has no map yet" }).waitFor();
    await expectAccessible(page);
    await page.getByRole("button", { name: "Make the map" }).click();
    await mapped(page);
    await page.context().close();
  });

  it.each([0, 1])("stands with %d points", async (n) => {
    const { page, complaints } = await open(browser);
    const short = async (path: string, bytes: number) =>
      page.route(`**/v1/maps/${path}?**`, async (route) => {
        const answer = await route.fetch();
        await route.fulfill({
          response: answer,
          body: (await answer.body()).subarray(0, bytes * n),
        });
      });
    await short("points", 8);
    await short("values", 2);
    await page.goto(`${URL_}/#/map`);
    if (n) await mapped(page);
    else await page.getByText("Nothing is left on this map").waitFor();
    expect(complaints).toEqual([]);
    await closed(page);
  });
});

describe("anyone", () => {
  it.each(["dark", "light"])("can use it, in the %s theme", async (theme) => {
    const { page } = await open(browser);
    await page.addInitScript((each) => localStorage.setItem("syntopy.theme", each), theme);
    for (const hash of [
      "#/map",
      "#/map?colour=field:modality&filter=kind%3Dimage",
      `#/map?item=${items[3]}`,
    ]) {
      await page.goto(`${URL_}/${hash}`);
      await page.reload();
      await mapped(page);
      await expectAccessible(page);
    }
    await page.context().close();
  });

  it("can use it at 390 pixels, where nothing moves sideways", async () => {
    const { page } = await open(browser, "#/map", { viewport: { width: 390, height: 844 } });
    await mapped(page);
    await page.getByRole("button", { name: "In view" }).click();
    await page.waitForSelector(".map-grid");
    const [wide, inner] = await page.evaluate(() => [
      document.documentElement.scrollWidth,
      window.innerWidth,
    ]);
    expect(wide).toBe(inner);
    await expectAccessible(page);
    await page.context().close();
  });

  it("reads it in German", async () => {
    const { page } = await open(browser, "#/map", { locale: "de-DE" });
    await mapped(page);
    await page.getByText("So geht es").waitFor();
    await page.keyboard.press("?");
    await page.getByText("Zum nächsten Bild in dieser Richtung").waitFor();
    await page.context().close();
  });
});
