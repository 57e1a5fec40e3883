import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { asked, cards, expectAccessible, launch, open, settled, URL_ } from "./browser";
import { both, searched } from "./shown";

interface Row {
  id: string;
  patient: string;
  study_instance_uid: string;
  labels: Record<string, string[]>;
}

let browser: Browser;
let film: Row;
let others: Row[];
let volume: Row | undefined;

beforeAll(async () => {
  browser = await launch();
  const of = async (filter: string) =>
    (await asked<{ rows: Row[] }>(`items?limit=200&filter=${encodeURIComponent(filter)}`)).rows;
  const rows = await of("kind=image and role=primary");
  // One of which something is known.
  const first = rows.find((row) => row.patient && Object.keys(row.labels).length) ?? rows[0];
  if (!first) throw new Error("the library has no images");
  film = first;
  others = rows.filter((row) => row.patient !== film.patient);
  volume = (await of("kind=volume and role=primary and slices>=8"))[0];
});

afterAll(async () => {
  await browser.close();
});

const param = (page: Page, name: string) =>
  new URLSearchParams(new URL(page.url()).hash.split("?")[1]).get(name);
const until = (page: Page, name: string, value: RegExp | null) =>
  page.waitForFunction(
    ([key, source]) => {
      const said = new URLSearchParams(window.location.hash.split("?")[1]).get(String(key));
      return source === null
        ? said === null
        : said !== null && new RegExp(String(source)).test(said);
    },
    [name, value?.source ?? null],
  );
const placed = (page: Page, said: RegExp) =>
  page.locator(".compare-step [role=status]", { hasText: said }).waitFor();

describe("comparing", () => {
  it("comes from a hit of a search, and goes back to it", async () => {
    const { page, complaints } = await open(browser, `#/search?study=${film.id}`);
    await searched(page);
    await cards(page).nth(1).focus();
    const second = await cards(page).nth(1).getAttribute("data-hit");
    await page.keyboard.press("v");
    await both(page);
    expect(param(page, "hit")).toBe(second);
    await placed(page, /^2 of \d+$/);
    expect(await page.locator(".difference tbody tr").count()).toBeGreaterThan(0);
    await page.getByRole("heading", { name: "Labels and reports" }).waitFor();
    await page.keyboard.press("Escape");
    await page.waitForSelector(".drawer");
    expect(page.url()).toContain("#/search?");
    await page.goBack();
    await both(page);
    expect(complaints).toEqual([]);
    await page.context().close();
  });

  it("steps through the hits by keys, looks closer at both, and has all of it in the address", async () => {
    const { page } = await open(browser, `#/compare?study=${film.id}`);
    await both(page);
    await page.keyboard.press("j");
    await until(page, "hit", /./);
    await both(page);
    await placed(page, /^2 of/);
    await page.keyboard.press("+");
    await page.keyboard.press("x");
    await until(page, "a", /z1\.25\/0\/0,m/);
    expect(param(page, "b")).toBe(param(page, "a"));
    await page.keyboard.press("l");
    await until(page, "link", /off/);
    await page.keyboard.press("x");
    await until(page, "b", /^z1\.25\/0\/0$/);
    expect(param(page, "a")).toContain("m");
    await page.reload();
    await both(page);
    expect(param(page, "a")).toContain("m");
    await page.keyboard.press("r");
    await until(page, "a", null);
    await page.context().close();
  });

  it("says what differs, and on demand what does not", async () => {
    const { page } = await open(browser, `#/compare?study=${film.id}`);
    await both(page);
    const few = await page.locator(".difference tbody tr").count();
    await page.keyboard.press("e");
    await page.locator(".difference tbody tr").nth(few).waitFor();
    expect(param(page, "all")).toBe("1");
    await page.context().close();
  });

  it("colours where both are alike", async () => {
    const { page } = await open(browser, `#/compare?study=${film.id}`);
    await both(page);
    await page.keyboard.press("a");
    await page.waitForSelector(".ours canvas.heat");
    expect(await page.locator(".theirs canvas.heat").count()).toBe(1);
    const coloured = await page.locator(".ours canvas.heat").evaluate((element) => {
      const canvas = element as HTMLCanvasElement;
      const data = canvas.getContext("2d")?.getImageData(0, 0, canvas.width, canvas.height).data;
      return [...(data ?? [])].some((value, at) => at % 4 === 3 && value > 0);
    });
    expect(coloured).toBe(true);
    await page.context().close();
  });

  it("searches by a region that is drawn, and by one that is made with keys", async () => {
    const { page } = await open(browser, `#/compare?study=${film.id}`);
    await both(page);
    await page.keyboard.press("b");
    const stage = await page.locator(".ours .stage").boundingBox();
    if (!stage) throw new Error("no picture");
    const at = (x: number, y: number) =>
      [stage.x + stage.width * x, stage.y + stage.height * y] as const;
    await page.mouse.move(...at(0.25, 0.4));
    await page.mouse.down();
    await page.mouse.move(...at(0.5, 0.6));
    await page.mouse.up();
    await until(page, "box", /^\d+,\d+,\d+,\d+$/);
    await both(page);
    const { columns } = await asked<{ columns: number }>(`items/${film.id}/frame`);
    expect(Number(param(page, "box")?.split(",")[2]) / columns).toBeCloseTo(0.25, 1);
    expect(await page.locator(".region-box").count()).toBe(2);
    await page.getByText(/candidates looked at, by the/).waitFor();
    await page.keyboard.press("Delete");
    await until(page, "box", null);
    await both(page);

    await page.keyboard.press("b");
    await page.getByRole("button", { name: "Search by this region" }).waitFor();
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("Shift+ArrowDown");
    await page.keyboard.press("Enter");
    await until(page, "box", /,/);
    await both(page);
    await page.goBack();
    await until(page, "box", null);
    await page.context().close();
  });

  it("compares what was kept, with the query and with each other", async () => {
    const [one, other] = others;
    if (!one || !other) throw new Error("too few images");
    const kept = `keep=${one.id}&keep=${other.id}`;
    const { page } = await open(browser, `#/compare?${kept}`);
    await both(page);
    await placed(page, /^1 of 1$/);
    await page.goto(`${URL_}/#/compare?study=${film.id}&${kept}`);
    await both(page);
    await page.keyboard.press("h");
    await until(page, "of", /kept/);
    await both(page);
    await placed(page, /^1 of 2$/);
    await page.keyboard.press("p");
    await until(page, "left", new RegExp(one.id));
    await both(page);
    await placed(page, /^1 of 1$/);
    await page.goBack();
    await until(page, "left", null);
    await page.context().close();
  });

  it("scrolls slices of two volumes together", async () => {
    if (!volume) return; // a library of films alone
    const { page } = await open(browser, `#/compare?study=${volume.id}&f=kind%3Dvolume`);
    await both(page);
    const shown = page.locator(".screen-slice");
    if ((await shown.count()) === 2) {
      const before = await shown.allTextContents();
      const forward = Number(before[0]?.split("/")[0]) === 1 ? "ArrowDown" : "ArrowUp";
      for (let press = 0; press < 3; press++) await page.keyboard.press(forward);
      await until(page, "a", /s\d+/);
      await until(page, "b", /s\d+/);
      expect((await shown.allTextContents())[0]).not.toBe(before[0]);
    }
    await page.context().close();
  });
});

describe("when something is wrong", () => {
  it("says what to do where there is nothing to compare", async () => {
    const { page } = await open(browser, "#/compare");
    await page.getByText("Nothing to compare yet").waitFor();
    await expectAccessible(page);
    await page.getByRole("link", { name: "To Search" }).click();
    await page.waitForURL(/#\/search/);
    await page.context().close();
  });

  it("says so plainly where no encoder tells places apart, and the pictures stay", async () => {
    const { page } = await open(browser, `#/compare?study=${film.id}`);
    await both(page);
    const detail = "plain: tells no places of a picture apart";
    await page.route("**/matching?**", (route) =>
      route.fulfill({
        status: 422,
        contentType: "application/problem+json",
        body: JSON.stringify({ status: 422, code: "query", detail, request_id: "ab12" }),
      }),
    );
    await page.keyboard.press("a");
    await page.getByRole("alert").getByText(detail).waitFor();
    expect(await page.locator(".pane .stage img").count()).toBe(2);
    await page.unroute("**/matching?**");
    await page.getByRole("button", { name: "Try again" }).click();
    await page.waitForSelector("canvas.heat");
    await page.context().close();
  });

  it("keeps everything when the service is gone, and asks again on demand", async () => {
    const { page } = await open(browser, "#/compare");
    await page.getByText("Nothing to compare yet").waitFor();
    await page.route("**/v1/search", (route) => route.abort());
    await page.goto(`${URL_}/#/compare?study=${film.id}&overlay=1`);
    await page.getByText("The service does not answer").first().waitFor();
    await page.unroute("**/v1/search");
    await page.getByRole("button", { name: "Try again" }).first().click();
    await both(page);
    expect(param(page, "overlay")).toBe("1");
    await page.context().close();
  });

  it("says that a hit is not among those found now, and goes to the first", async () => {
    const { page } = await open(browser, `#/compare?study=${film.id}&hit=${film.id}`);
    await page.getByText("This one is not among the hits").waitFor();
    await page.getByRole("button", { name: "First hit" }).click();
    await both(page);
    await placed(page, /^1 of/);
    await page.context().close();
  });
});

describe("on a phone", () => {
  it("shows one above the other or one alone, and nothing is cut off", async () => {
    const { page } = await open(browser, `#/compare?study=${film.id}`, {
      viewport: { width: 390, height: 844 },
    });
    await both(page);
    const wide = () => page.evaluate(() => document.documentElement.scrollWidth);
    expect(await wide()).toBe(390);
    const [ours, theirs] = [page.locator(".ours .screen"), page.locator(".theirs .screen")];
    const [above, below] = [await ours.boundingBox(), await theirs.boundingBox()];
    expect((above?.y ?? 0) + (above?.height ?? 0)).toBeLessThanOrEqual(below?.y ?? 0);
    await page.getByRole("group", { name: "Pictures" }).getByText("Hit").click();
    await until(page, "tab", /theirs/);
    expect(await ours.isVisible()).toBe(false);
    await page.getByRole("button", { name: "Next" }).click();
    await until(page, "hit", /./);
    expect(await wide()).toBe(390);
    await expectAccessible(page);
    await page.context().close();
  });
});

describe("for everyone", () => {
  for (const theme of ["dark", "light"])
    it(`leaves axe nothing to object to in the ${theme} theme`, async () => {
      const { page } = await open(browser);
      await page.evaluate((chosen) => localStorage.setItem("syntopy.theme", chosen), theme);
      const kept = others[0]?.id ?? "";
      await page.goto(`${URL_}/#/compare?study=${film.id}&keep=${kept}&overlay=1&all=1`);
      await page.reload();
      await both(page);
      await settled(page);
      await expectAccessible(page);
      await page.keyboard.press("b");
      await page.waitForSelector(".draw-bar");
      await expectAccessible(page);
      await page.keyboard.press("?");
      await page.getByRole("dialog", { name: "Keys" }).waitFor();
      await expectAccessible(page);
      await page.context().close();
    });

  it("speaks German", async () => {
    const { page } = await open(browser, "#/compare", { locale: "de-DE" });
    await page.getByText("Noch nichts zu vergleichen").waitFor();
    await page.context().close();
  });
});
