import type { Browser, Page, Route } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { asked, cards, expectAccessible, launch, open, settled, signIn } from "./browser";
import { searched } from "./shown";

let browser: Browser;
let studies: string[];

beforeAll(async () => {
  browser = await launch();
  const { rows } = await asked<{ rows: { study_instance_uid: string }[] }>("studies?limit=20");
  studies = rows.map((row) => row.study_instance_uid);
});

afterAll(async () => {
  await browser.close();
});

const PROBLEM = "application/problem+json";
const start = () => open(browser, `#/search?study=${studies[0]}`);

/** The service as it is when a session has ended, until somebody signs in. */
async function endSession(page: Page): Promise<void> {
  const refused = (route: Route) =>
    route.fulfill({ status: 401, contentType: PROBLEM, body: "{}" });
  await page.route("**/v1/**", refused);
  await page.route("**/v1/session", async (route) => {
    await page.unroute("**/v1/**", refused);
    await route.fulfill({ status: 204 });
  });
}

describe("a service that is gone or slow", () => {
  it("is said beside what could not be asked; the rest stays, and asking again mends it", async () => {
    const { page } = await start();
    await searched(page);
    await page.route("**/v1/studies/**", (route) => route.abort());
    await cards(page).first().click();
    const drawer = page.locator(".drawer");
    await drawer.getByText("The service does not answer").waitFor();
    expect(await cards(page).count()).toBeGreaterThan(5);
    await page.unroute("**/v1/studies/**");
    await drawer.getByRole("button", { name: "Try again" }).click();
    await drawer.getByRole("heading", { name: "Report" }).waitFor();
    await page.context().close();
  });

  it("keeps the results when facets cannot be counted, and counts them on demand", async () => {
    const { page } = await open(browser);
    await page.route("**/v1/facets**", (route) => route.abort());
    await page.goto(`${page.url().split("#")[0]}#/search?study=${studies[0]}`);
    await page.reload();
    await searched(page);
    const facets = page.locator(".facets");
    await facets.getByText("The service does not answer").waitFor();
    await page.unroute("**/v1/facets**");
    await facets.getByRole("button", { name: "Try again" }).click();
    await facets.locator("fieldset").first().waitFor();
    await page.context().close();
  });

  it("says after a while that it takes long, lets one stop waiting, and ask again", async () => {
    const { page } = await open(browser);
    await settled(page);
    await page.route("**/v1/search", () => new Promise(() => undefined));
    await page.locator(".tiles [data-hit]").first().click();
    await page.getByText("This takes longer than usual.").waitFor();
    await page.getByRole("button", { name: "Stop waiting" }).click();
    await page.getByText("You stopped waiting.").waitFor();
    await page.unroute("**/v1/search");
    await page.getByRole("button", { name: "Try again" }).click();
    await searched(page);
    await page.context().close();
  });
});

describe("a session that ends in the middle of work", () => {
  it("is begun anew above what is open, and the details come", async () => {
    const { page } = await start();
    await searched(page);
    await endSession(page);
    // (not by the pointer: the form may be there already, if something else asked before)
    await cards(page).first().dispatchEvent("click");
    await page.getByRole("dialog", { name: "Sign in" }).waitFor();
    await expectAccessible(page);
    const where = page.url();
    await signIn(page, "syn_key");
    await page.locator(".drawer").getByRole("heading", { name: "Report" }).waitFor();
    await page.waitForSelector(".drawer .screen img:not(.coming)");
    expect(page.url()).toBe(where);
    await page.context().close();
  });

  it("keeps what was typed, chosen and dropped", async () => {
    const { page } = await start();
    await searched(page);
    await settled(page);
    await page.getByRole("textbox", { name: /Describe/ }).fill("half a thought");
    await endSession(page);
    await page.locator(".facets label").first().dispatchEvent("click");
    await signIn(page, "syn_key");
    await searched(page);
    await settled(page);
    expect(await page.getByRole("textbox", { name: /Describe/ }).inputValue()).toBe(
      "half a thought",
    );
    expect(page.url()).toContain("f=");
    expect(await page.locator(".hit .no-picture").count()).toBe(0);
    await page.context().close();
  });
});

describe("a picture that cannot be drawn", () => {
  it("is told with its reason, its thumbnail stands in, and it can be asked for again", async () => {
    const { page } = await start();
    await searched(page);
    const body = JSON.stringify({ detail: "the files of this item are gone" });
    await page.route("**/rendered**", (route) =>
      route.fulfill({ status: 410, contentType: PROBLEM, body }),
    );
    await cards(page).first().click();
    const note = page.locator(".screen-note");
    await note.getByText("the files of this item are gone.").waitFor();
    expect(await page.getAttribute(".screen img", "src")).toContain("/thumbnail");
    await expectAccessible(page);
    await page.unroute("**/rendered**");
    await note.getByRole("button", { name: "Try again" }).click();
    await page.waitForSelector(".screen-note", { state: "detached" });
    expect(await page.getAttribute(".screen img", "src")).toContain("/rendered");
    await page.context().close();
  });

  it("leaves its place as it was when it is a thumbnail", async () => {
    const { page } = await open(browser);
    await page.route("**/thumbnail", (route) => route.fulfill({ status: 404, body: "" }));
    await page.reload();
    await page.getByText("No picture").first().waitFor();
    await expectAccessible(page);
    await page.context().close();
  });
});

describe("files", () => {
  it("of two gigabytes are refused before anything of them is read or sent", async () => {
    const { page } = await open(browser);
    await settled(page);
    let sent = 0;
    page.on("request", (request) => {
      if (request.method() === "POST") sent += 1;
    });
    const read = await page.evaluate(() => {
      let touched = 0;
      const file = new File(["x"], "scan.nii.gz");
      Object.defineProperty(file, "size", { value: 2 * 1024 ** 3 });
      for (const name of ["slice", "stream", "arrayBuffer", "text"] as const)
        Object.defineProperty(file, name, { value: () => (touched += 1) });
      for (const kind of ["dragover", "drop"]) {
        const event = new DragEvent(kind, { bubbles: true });
        Object.defineProperty(event, "dataTransfer", {
          value: { types: ["Files"], files: [file] },
        });
        document.body.dispatchEvent(event);
      }
      return touched;
    });
    await page.getByText(/more than \d+ MB/).waitFor();
    expect([sent, read]).toEqual([0, 0]);
    expect(page.url()).not.toContain("file=");
    await page.context().close();
  });

  it("that are pasted are searched with, and once sent say all there is to say", async () => {
    const { page } = await open(browser);
    await settled(page);
    let sent = 0;
    page.on("request", (request) => {
      if (request.url().includes("/files")) sent += 1;
    });
    await page.evaluate(async () => {
      const canvas = Object.assign(document.createElement("canvas"), { width: 128, height: 128 });
      const pen = canvas.getContext("2d");
      for (let at = 0; at < 128; at += 8) {
        if (pen) pen.fillStyle = `hsl(0 0% ${at / 2 + 20}%)`;
        pen?.fillRect(at, (at * 3) % 64, 9, 90);
      }
      const blob = await new Promise<Blob | null>((done) => canvas.toBlob(done, "image/png"));
      const clipboardData = new DataTransfer();
      if (blob) clipboardData.items.add(new File([blob], "image.png", { type: "image/png" }));
      document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true }));
    });
    await searched(page);
    await page.waitForTimeout(1000); // what references say would be asked for by now
    expect(sent).toBe(1);
    expect(await page.locator(".chip-thumb img").count()).toBe(1);
    await page.context().close();
  });
});

describe("the back button", () => {
  it("undoes each step, and nothing that was only looked at", async () => {
    const { page } = await open(browser);
    await settled(page);
    const steps = [page.url().split("#")[1] ?? ""];
    const step = async (act: () => Promise<unknown>) => {
      const before = page.url();
      await act();
      await page.waitForFunction((was) => location.href !== was, before);
      steps.push(page.url().split("#")[1] ?? "");
      await searched(page);
    };
    await step(() => page.locator(".tiles [data-hit]").first().click());
    await settled(page);
    await step(() => page.locator(".facets label").first().click());
    await step(() => page.getByRole("button", { name: "By patient" }).click());
    await page.keyboard.press("d"); // a look, no step
    steps[steps.length - 1] = page.url().split("#")[1] ?? "";
    await step(() => cards(page).nth(1).click());
    for (const expected of steps.slice(0, -1).reverse()) {
      await page.goBack();
      await page.waitForFunction((hash) => location.hash === `#${hash}` || !hash, expected);
    }
    await page.waitForSelector(".tiles [data-hit]");
    await page.context().close();
  });
});

describe("two tabs", () => {
  it("each keep their own search", async () => {
    const { page } = await start();
    const other = await page.context().newPage();
    await other.goto(`${page.url().split("#")[0]}#/search?study=${studies[5]}&list=dense`);
    await searched(other);
    await searched(page);
    await page.keyboard.press("g");
    await page.waitForURL(/group=patient/);
    expect(other.url()).not.toContain("group=");
    expect(await page.locator(".hits.dense").count()).toBe(0);
    await page.context().close();
  });
});

describe("what somebody's machine asks for", () => {
  it("is heeded: more contrast without a violation, less motion without any", async () => {
    for (const colorScheme of ["dark", "light"] as const) {
      const { page } = await open(browser, `#/search?study=${studies[0]}`, {
        contrast: "more",
        reducedMotion: "reduce",
      });
      await page.evaluate((theme) => localStorage.setItem("syntopy.theme", theme), colorScheme);
      await page.reload();
      await searched(page);
      await expectAccessible(page);
      const moving = await page.evaluate(() => document.getAnimations().length);
      expect(moving).toBe(0);
      await page.context().close();
    }
  });
});

describe("on the first visit", () => {
  it("says how to read the results, once", async () => {
    const { page } = await start();
    await page.getByText("+ and − steer the search").waitFor();
    await page.getByRole("button", { name: "Understood" }).click();
    await page.getByText("+ and − steer the search").waitFor({ state: "detached" });
    await page.reload();
    await searched(page);
    expect(await page.getByText("+ and − steer the search").count()).toBe(0);
    await page.context().close();
  });
});
