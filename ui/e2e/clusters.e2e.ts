import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { asked, expectAccessible, launch, open, settled, URL_ } from "./browser";

interface Run {
  name: string;
  left: number;
}

let browser: Browser;
let run: string;
let other: string;

beforeAll(async () => {
  browser = await launch();
  const runs = await asked<Run[]>("clusters");
  run = runs[0]?.name ?? "";
  other = runs[1]?.name ?? "";
});

afterAll(async () => {
  await browser.close();
});

const at = (more: Record<string, string> = {}) =>
  `#/clusters?${new URLSearchParams({ run, ...more })}`;
const rows = (page: Page) => page.locator(".cluster-list [data-hit]");
const members = (page: Page) => page.locator(".member-block [data-hit]");

describe("clusterings", () => {
  it("are listed, opened, and the back button goes back through all of it", async () => {
    const { page, complaints } = await open(browser, "#/clusters");
    await page.getByRole("heading", { name: "Clusterings" }).waitFor();
    await page.getByRole("link", { name: run, exact: true }).click();
    await rows(page).first().waitFor();
    expect(await page.textContent(".facts")).toMatch(/Silhouette.*Confidence/s);
    await page.locator(".cluster-name").first().click();
    await page.getByRole("heading", { name: "What distinguishes it" }).waitFor();
    await members(page).first().waitFor();
    await page.goBack();
    await rows(page).first().waitFor();
    await page.goBack();
    await page.getByRole("heading", { name: "Clusterings" }).waitFor();
    expect(complaints).toEqual([]);
    await page.context().close();
  });

  it("are found by name and put in order, which stays in the address", async () => {
    const { page } = await open(browser, at());
    await rows(page).first().waitFor();
    const all = await rows(page).count();
    await page.getByLabel("Find by name").fill("nothing is called so");
    await page.getByText("No cluster is called so").waitFor();
    await page.getByLabel("Find by name").fill("");
    await page.getByLabel("Order").selectOption("name");
    await page.waitForURL(/order=name/);
    expect(await rows(page).count()).toBe(all);
    await page.context().close();
  });

  it("are compared: how far they agree, where a cluster went, which images", async () => {
    const { page, complaints } = await open(browser, at());
    await page.getByRole("button", { name: "Compare", disabled: false }).waitFor();
    await page.keyboard.press("c");
    await page.waitForURL(/against=/);
    await page.goto(`${URL_}/${at({ against: other })}`);
    await page.locator(".flow").first().waitFor();
    expect(await page.textContent(".facts")).toMatch(/ARI.*0\.\d\d.*Images in both/s);
    await page.locator(".flow-head").first().click();
    await page.locator(".flow-parts .button").first().click();
    await page.waitForURL(/to=/);
    await page.locator(".both a").first().click();
    await page.locator(".look .screen img:not(.coming)").waitFor();
    expect(complaints).toEqual([]);
    await page.context().close();
  });
});

describe("a cluster", () => {
  it("is renamed in place; of two who do so, the second is told and loses nothing", async () => {
    const [mine, theirs] = [`first ${Date.now()}`, `second ${Date.now()}`];
    const first = await open(browser, at({ cluster: "0" }));
    const second = await open(browser, at({ cluster: "0" }));
    for (const { page } of [first, second]) {
      await page.getByRole("heading", { level: 1 }).waitFor();
      const seen = page.waitForResponse(/clusters\/name/);
      await page.getByRole("button", { name: /^Rename/ }).click();
      await seen;
    }
    await first.page.getByLabel("Name", { exact: true }).fill(mine);
    await first.page.keyboard.press("Enter");
    await first.page.getByRole("heading", { name: mine }).waitFor();
    await second.page.getByLabel("Name", { exact: true }).fill(theirs);
    await second.page.keyboard.press("Enter");
    await second.page.getByText(`It is called “${mine}” now`).waitFor();
    await expectAccessible(second.page);
    await second.page.getByRole("button", { name: "Use mine" }).click();
    await second.page.getByRole("heading", { name: theirs }).waitFor();
    await second.page.getByRole("button", { name: /^Rename/ }).click();
    await second.page.getByRole("button", { name: "Take the name that was found" }).click();
    await second.page.getByRole("button", { name: "Save", exact: true }).click();
    await second.page.locator(".naming").waitFor({ state: "detached" });
    for (const { page } of [first, second]) await page.context().close();
  });

  it("has members that are chosen one by one, as a range, all, and none", async () => {
    const { page } = await open(browser, at({ cluster: "0" }));
    await members(page).nth(4).waitFor();
    await members(page).nth(1).click();
    await members(page)
      .nth(4)
      .click({ modifiers: ["Shift"] });
    await page.getByRole("heading", { name: "4 selected" }).waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("heading", { name: /^All \d+ members$/ }).waitFor();
    await page.getByLabel("Sort").selectOption("confidence");
    await page.waitForURL(/sort=confidence/);
    await page.context().close();
  });

  it("is labelled as a whole, and that is taken back", async () => {
    const { page } = await open(browser, at({ cluster: "1" }));
    await members(page).first().waitFor();
    await page.getByRole("button", { name: "Label", exact: true }).click();
    await page.getByLabel("Label", { exact: true }).fill("walk");
    await page.getByLabel("Value").fill("through");
    await expectAccessible(page);
    await page.keyboard.press("Enter");
    await page.getByText("Labelled walk = through").waitFor();
    const { rows: labelled } = await asked<{ rows: unknown[] }>("items?filter=label:walk=through");
    expect(labelled.length).toBeGreaterThan(0);
    await page.getByRole("button", { name: "Undo" }).click();
    await page.getByText("Undone.").waitFor();
    const left = await asked<{ rows: unknown[] }>("items?filter=label:walk=through");
    expect(left.rows).toEqual([]);
    await page.context().close();
  });

  it("becomes a saved set; a name that is taken is said, and what was typed stays", async () => {
    const { page } = await open(browser, at({ cluster: "0" }));
    await members(page).nth(1).waitFor();
    const name = `walked ${Date.now()}`;
    for (const taken of [false, true]) {
      await members(page).nth(0).focus();
      await page.keyboard.press("x");
      await page.keyboard.press("v");
      await page.getByLabel("Name of the set").fill(name);
      await page.keyboard.press("Enter");
      if (!taken) await page.getByText(`Saved as set ${name}`).waitFor();
      else await page.getByText("There is a set of this name already").waitFor();
    }
    expect(await page.getByLabel("Name of the set").inputValue()).toBe(name);
    await page.context().close();
  });

  it("is sent as a table with nothing but its own rows", async () => {
    const { page } = await open(browser, at({ cluster: "0" }));
    const link = page.getByRole("link", { name: "CSV" });
    const href = await link.getAttribute("href");
    const [head, ...lines] = (await (await fetch(`${URL_}${href}`)).text()).trim().split("\n");
    const place = head?.split(",").indexOf("cluster") ?? -1;
    expect(new Set(lines.map((line) => line.split(",")[place]))).toEqual(new Set(["0"]));
    await page.context().close();
  });
});

describe("with the keyboard alone", () => {
  it("goes to a cluster, looks at members, chooses, goes on to the next, and up again", async () => {
    const { page } = await open(browser, "#/clusters");
    await settled(page);
    await page.keyboard.press("j");
    await page.keyboard.press("Enter");
    await rows(page).first().waitFor();
    await page.keyboard.press("j");
    await page.keyboard.press("j");
    await page.keyboard.press("Enter");
    await page.waitForURL(/cluster=/);
    await members(page).first().waitFor();
    await page.keyboard.press("j");
    await page.keyboard.press("x");
    await page.getByRole("heading", { name: "1 selected" }).waitFor();
    await page.keyboard.press("Enter");
    await page.locator(".look .screen img:not(.coming)").waitFor();
    const looked = page.url();
    await page.keyboard.press("j");
    await page.waitForURL((url) => url.href !== looked);
    await page.keyboard.press("Escape");
    await page.waitForURL((url) => !url.hash.includes("item="));
    await page.keyboard.press("a");
    await page.getByRole("heading", { name: /^All \d+ members$/ }).waitFor();
    const here = page.url();
    await page.keyboard.press("[");
    await page.waitForURL((url) => url.href !== here);
    await page.keyboard.press("?");
    await page.getByRole("dialog", { name: "Keys" }).waitFor();
    await page.keyboard.press("Escape");
    await page.keyboard.press("u");
    await page.waitForURL((url) => !url.hash.includes("cluster="));
    await page.context().close();
  });
});

describe("a new clustering", () => {
  it("is asked for by a form that says how many images pass, followed, and cancelled", async () => {
    const { page, complaints } = await open(browser, "#/clusters");
    await settled(page);
    await page.keyboard.press("n");
    await page.getByText(/\d images pass/).waitFor();
    await page.getByLabel("Only images that pass").fill("age=old");
    await page.locator(".field-error", { hasText: "age is a number" }).waitFor();
    await page.getByLabel("Only images that pass").fill("");
    await page.getByText(/\d images pass/).waitFor();
    await page.getByLabel("Name", { exact: true }).fill(run);
    await page.getByText("There is a clustering of this name").waitFor();
    await page.getByLabel("Name", { exact: true }).fill(`walked ${Date.now()}`);
    await page.getByRole("button", { name: "Start" }).click();
    await page.waitForURL(/job=/);
    await page
      .getByText(/Waits for its turn|Running|reading|neighbour/)
      .first()
      .waitFor();
    await expectAccessible(page);
    await page.getByRole("button", { name: "Cancel" }).click();
    await page.getByText("Stopped", { exact: true }).waitFor();
    await page.getByRole("link", { name: "Change the settings" }).click();
    await page.getByRole("heading", { name: "New clustering" }).waitFor();
    expect(complaints).toEqual([]);
    await page.context().close();
  });
});

describe("when something is wrong", () => {
  it("says that the service is gone, and asks again on demand", async () => {
    const { page } = await open(browser, "#/clusters");
    await settled(page);
    await page.route("**/v1/clusters/run*", (route) => route.abort());
    await page.getByRole("link", { name: run, exact: true }).click();
    await page.getByText("The service does not answer").waitFor();
    await page.unroute("**/v1/clusters/run*");
    await page.getByRole("button", { name: "Try again" }).click();
    await rows(page).first().waitFor();
    await page.context().close();
  });

  it("says that a clustering or a cluster is not there", async () => {
    const { page } = await open(browser, "#/clusters?run=frist");
    await page.getByText("That is not in this library").waitFor();
    await page.goto(`${URL_}/${at({ cluster: "4711" })}`);
    await page.getByText(/4711/).waitFor();
    await page.context().close();
  });

  it("says what to do where nothing was clustered yet", async () => {
    const { page } = await open(browser);
    await page.route("**/v1/clusters", (route) => route.fulfill({ json: [] }));
    await page.goto(`${URL_}/#/clusters`);
    await page.getByText("Nothing has been clustered yet").waitFor();
    await page.getByRole("button", { name: "New clustering" }).click();
    await page.getByRole("heading", { name: "New clustering" }).waitFor();
    await page.context().close();
  });

  it("keeps a name that could not be saved", async () => {
    const { page } = await open(browser, at({ cluster: "0" }));
    await page.getByRole("button", { name: /^Rename/ }).click();
    await page.getByLabel("Name", { exact: true }).fill("not lost");
    await page.route("**/v1/clusters/name*", (route) => route.abort());
    await page.keyboard.press("Enter");
    await page.getByText("The service does not answer").waitFor();
    expect(await page.getByLabel("Name", { exact: true }).inputValue()).toBe("not lost");
    await page.context().close();
  });
});

describe("for everyone", () => {
  for (const theme of ["dark", "light"])
    it(`leaves axe nothing to object to in the ${theme} theme`, async () => {
      const { page } = await open(browser);
      await page.evaluate((chosen) => localStorage.setItem("syntopy.theme", chosen), theme);
      for (const hash of [
        "#/clusters",
        at(),
        at({ cluster: "0" }),
        at({ against: other, from: "0" }),
        "#/clusters?new=kmeans&o=tries%3D4",
      ]) {
        await page.goto(`${URL_}/${hash}`);
        await page.reload();
        await settled(page);
        await expectAccessible(page);
      }
      await page.goto(`${URL_}/${at({ cluster: "0" })}`);
      await members(page).first().click();
      await page.keyboard.press("Enter");
      await page.locator(".look .screen img:not(.coming)").waitFor();
      await expectAccessible(page);
      await page.context().close();
    });

  it("works in 390 pixels, in German, and nothing is cut off", async () => {
    const { page } = await open(browser, at(), {
      viewport: { width: 390, height: 844 },
      locale: "de-DE",
    });
    const wide = () => page.evaluate(() => document.documentElement.scrollWidth);
    await rows(page).first().waitFor();
    expect(await wide()).toBe(390);
    await page.locator(".cluster-name").first().click();
    await members(page).first().waitFor();
    expect(await wide()).toBe(390);
    await members(page).first().click();
    await page.getByRole("heading", { name: "1 ausgewählt" }).waitFor();
    await expectAccessible(page);
    for (const hash of [at({ against: other, from: "0" }), "#/clusters?new=", "#/clusters"]) {
      await page.goto(`${URL_}/${hash}`);
      await settled(page);
      expect(await wide()).toBe(390);
    }
    await page.context().close();
  });
});
