import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  asked,
  cards,
  closed,
  expectAccessible,
  held,
  launch,
  open,
  settled,
  URL_,
} from "./browser";
import { searched } from "./shown";

interface Studies {
  rows: { study_instance_uid: string; patient: string; modalities: string[] }[];
}

let browser: Browser;
let study: string;
let another: string;

beforeAll(async () => {
  browser = await launch();
  const { rows } = await asked<Studies>("studies?limit=500&sort=study");
  const owners = rows.map((row) => row.patient);
  const twice = rows.find(
    (row) => row.patient && owners.filter((each) => each === row.patient).length > 1,
  );
  study = twice?.study_instance_uid ?? "";
  another = rows.find((row) => row.patient !== twice?.patient)?.study_instance_uid ?? "";
});

afterAll(async () => {
  await browser.close();
});

async function drop(page: Page, name: string, bytes: number): Promise<void> {
  await page.evaluate(
    async ([called, size]) => {
      const canvas = Object.assign(document.createElement("canvas"), { width: 128, height: 128 });
      const pen = canvas.getContext("2d");
      for (let at = 0; at < 128; at += 8) {
        if (pen) pen.fillStyle = `hsl(0 0% ${at / 2 + 20}%)`;
        pen?.fillRect(at, (at * 3) % 64, 9, 90);
      }
      const picture = await new Promise<Blob | null>((done) => canvas.toBlob(done, "image/png"));
      const parts = Number(size) ? [new Uint8Array(Number(size))] : picture ? [picture] : [];
      const data = new DataTransfer();
      data.items.add(new File(parts, String(called), { type: "image/png" }));
      document.body.dispatchEvent(new DragEvent("dragover", { dataTransfer: data, bubbles: true }));
      document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));
    },
    [name, bytes],
  );
}

describe("searching", () => {
  it("begins with a study, and tells this patient's priors from other patients", async () => {
    const { page, complaints } = await open(browser, `#/search?study=${study}`);
    await searched(page);
    expect(await page.locator(".priors [data-hit]").count()).toBeGreaterThan(0);
    expect(await cards(page).count()).toBeGreaterThan(10);
    expect(await page.textContent(".found")).toMatch(/\d+ studies nearest of \d+ that pass/);
    await page.reload(); // an answer from the cache must keep the policy of the page
    await searched(page);
    expect(complaints).toEqual([]);
    await page.context().close();
  });

  it("begins with a picture of the start, whose study becomes the query", async () => {
    const { page } = await open(browser);
    await page.locator(".tiles [data-hit]").first().click();
    await searched(page);
    expect(page.url()).toContain("#/search?study=");
    expect(await page.locator(".chip").count()).toBe(1);
    await page.goBack();
    await page.waitForSelector(".tiles [data-hit]");
    await page.context().close();
  });

  it("says what it is for, tries a phrase of its labels, and leads to the other places", async () => {
    const { page } = await open(browser);
    await settled(page);
    await page.locator(".phrases button").first().click();
    await searched(page);
    expect(page.url()).toContain("text=");
    await page.goBack();
    await page.getByRole("link", { name: /See all at once/ }).click();
    await page.waitForURL(/#\/map/);
    await page.goBack();
    await page.getByRole("button", { name: "Hide this" }).click();
    await page.waitForSelector(".around", { state: "detached" });
    await page.reload();
    await page.waitForSelector(".tiles [data-hit]");
    expect(await page.locator(".around").count()).toBe(0);
    await page.context().close();
  });

  it("takes a phrase beside a study, and each can be weighted, turned round and removed", async () => {
    const { page } = await open(browser, `#/search?study=${study}&study=${another}`);
    await searched(page);
    await page.getByRole("textbox", { name: /Describe/ }).fill("normal");
    await page.keyboard.press("Enter");
    await page.waitForURL(/text=normal/);
    await searched(page);
    await page.getByLabel("Weight: “normal”").selectOption("2");
    await page.waitForURL(/text=normal%7E2/);
    await page.locator(".chip").nth(1).locator(".sign").click();
    await page.waitForURL(new RegExp(`study=${another}%7E-1`));
    await searched(page);
    await page.getByRole("button", { name: "Remove “normal”" }).click();
    await page.waitForURL((url) => !url.hash.includes("text="));
    await page.context().close();
  });

  it("takes a dropped file, keeps its name to itself, and says when it is gone", async () => {
    const { page } = await open(browser);
    const sent = page.waitForRequest(/search\/files/);
    await drop(page, "Doe^Jane.png", 0);
    expect((await sent).postData() ?? "").not.toContain("Doe");
    await searched(page);
    expect(page.url()).not.toContain("Doe");
    await page.reload();
    await page.getByText("Files are not part of the address").waitFor();
    await page.context().close();
  });

  it("refuses a file that is too large before anything is sent", async () => {
    const { page } = await open(browser);
    let sent = 0;
    page.on("request", (request) => {
      if (request.url().includes("files")) sent += 1;
    });
    await drop(page, "large.dcm", 3 << 20);
    await page.getByText(/more than \d+ MB/).waitFor();
    expect(sent).toBe(0);
    await page.context().close();
  });

  it("narrows by facets, whose state is in the address and in the back button", async () => {
    const { page } = await open(browser, `#/search?study=${study}`);
    await searched(page);
    await settled(page);
    const first = page.locator(".facets fieldset", { hasText: "Modality" }).locator("label").last();
    const modality = (await first.locator(".facet-name").textContent()) ?? "";
    await first.click();
    await page.waitForURL(new RegExp(`f=modality%3D${modality}`));
    await searched(page);
    await settled(page);
    for (const name of await page.locator(".lane:not(.priors) .hit-name").allTextContents())
      expect(name.startsWith(modality)).toBe(true);
    await page.goBack();
    await page.waitForURL((url) => !url.hash.includes("f="));
    expect(await first.locator("input").isChecked()).toBe(false);
    await page.context().close();
  });

  it("narrows by words of reports, offered ones and any other, and goes back", async () => {
    const { page, complaints } = await open(browser);
    await settled(page);
    const group = page.locator(".facets fieldset", { hasText: "Report words" });
    const first = group.locator("label").first();
    const word = (await first.locator(".facet-name").textContent()) ?? "";
    const primary = "role=primary%20and%20";
    const studies = Number(await first.locator(".facet-count").textContent());
    const { rows } = await asked<Studies>(`studies?limit=500&filter=${primary}word=${word}`);
    expect(rows.length).toBe(studies);
    await first.click();
    await page.waitForURL(new RegExp(`f=word%3D${word}`));
    const field = group.getByRole("textbox", { name: "Another word" });
    await field.fill("two words");
    await page.keyboard.press("Enter");
    await group.getByText("One word at a time").waitFor();
    await field.fill("FINDINGS");
    await page.keyboard.press("Enter");
    await page.waitForURL(/f=word%3Dfindings/);
    const rare = group.locator("label", { hasText: "findings" });
    const counted = await asked<Studies>(`studies?limit=500&filter=${primary}word=findings`);
    await rare.locator(".facet-count", { hasText: String(counted.rows.length) }).waitFor();
    expect(await rare.locator("input").isChecked()).toBe(true);
    await page.goBack();
    await page.waitForURL((url) => !url.hash.includes("findings"));
    await page.goBack();
    await page.waitForURL((url) => !url.hash.includes("f="));
    await settled(page);
    expect(await first.locator("input").isChecked()).toBe(false);
    expect(complaints).toEqual([]);
    await page.context().close();
  });

  it("says that a query is unlike a reference, without moving what is shown", async () => {
    const { rows } = await asked<{ rows: { study_instance_uid: string }[] }>(
      "ood/scores?reference=chest&flagged=true&sort=p_value&limit=1",
    );
    const { page } = await open(browser, `#/search?study=${rows[0]?.study_instance_uid}`);
    await searched(page);
    const before = await cards(page).first().boundingBox();
    const remark = page.getByRole("button", { name: /^Unlike what reference “chest”/ });
    await remark.waitFor();
    expect(await cards(page).first().boundingBox()).toEqual(before);
    await remark.click();
    await page.getByText("Hits may be nearest without being near.").waitFor();
    await expectAccessible(page);
    await page.context().close();
  });

  it("shows the details of a hit, with what differs and the report", async () => {
    const { page, complaints } = await open(browser, `#/search?study=${study}`);
    await searched(page);
    await cards(page).first().click();
    await page.waitForSelector(".drawer .screen img:not(.coming)");
    expect(await page.locator(".difference tr").count()).toBeGreaterThan(2);
    await page.getByRole("heading", { name: "Report" }).waitFor();
    await page.goBack();
    await page.waitForSelector(".drawer", { state: "detached" });
    expect(complaints).toEqual([]);
    await page.context().close();
  });
});

describe("with the keyboard alone", () => {
  it("asks, goes through the hits, opens one, likes it, keeps it and closes it", async () => {
    const { page } = await open(browser);
    await settled(page);
    await page.keyboard.press("/");
    await page.keyboard.type(study);
    await page.keyboard.press("Enter");
    await searched(page);
    await page.keyboard.press("Escape");
    await page.keyboard.press("j");
    await page.keyboard.press("ArrowRight");
    const second = await cards(page).nth(1).getAttribute("data-hit");
    expect(await page.evaluate(() => (document.activeElement as HTMLElement).dataset.hit)).toBe(
      second,
    );
    await page.keyboard.press("Enter");
    await page.waitForSelector(".drawer");
    await page.keyboard.press("k");
    await page.waitForURL((url) => !url.hash.includes(`hit=${second}`));
    await page.keyboard.press("c");
    await page.waitForURL(/keep=/);
    await page.keyboard.press("Escape");
    await page.waitForSelector(".drawer", { state: "detached" });
    await page.keyboard.press("+");
    await page.waitForFunction(() => document.querySelectorAll(".chip").length === 2);
    await searched(page);
    await page.keyboard.press("d");
    await page.waitForSelector(".hits.dense");
    await page.keyboard.press("?");
    await page.getByRole("dialog", { name: "Keys" }).waitFor();
    const licences = await page.getByRole("link", { name: /Licences/ }).getAttribute("href");
    expect(await (await page.request.get(`${URL_}${licences}`)).text()).toContain("react-dom");
    await page.keyboard.press("Escape");
    await page.waitForSelector("dialog", { state: "detached" });
    await page.context().close();
  });

  it("goes to the facets before they are there, and chooses when they are", async () => {
    const { page } = await open(browser, `#/search?study=${study}`);
    await searched(page);
    await settled(page);
    await page.locator(".facets input[type=checkbox]").first().check();
    await settled(page);
    const chosen = page.url();
    await held(page, "**/v1/facets*", async () => {
      await page.reload();
      await page.locator(".facet-skeleton").waitFor();
      await page.keyboard.press("f");
      await page.waitForFunction(() => document.activeElement?.id === "facets");
    });
    await page.waitForFunction(() => document.activeElement?.matches("#facets label input"));
    await page.keyboard.press("Space");
    await page.waitForURL((url) => url.href !== chosen);
    await page.context().close();
  });

  it("scrolls through the slices of a volume", async () => {
    const { rows } = await asked<{
      rows: { id: string; kind: string; study_instance_uid: string }[];
    }>("items?limit=500&filter=kind=volume");
    const volume = rows[0]?.study_instance_uid ?? "";
    const { page } = await open(browser, `#/search?study=${volume}&f=kind%3Dvolume`);
    await searched(page);
    await cards(page).first().click();
    const place = page.locator(".screen-slice");
    const before = await place.textContent();
    await page.keyboard.press("Escape");
    await page.waitForSelector(".drawer", { state: "detached" });
    await page.route("**/v1/studies/**", async (route) => {
      await new Promise((done) => setTimeout(done, 700));
      await route.continue();
    });
    await page.reload();
    await searched(page);
    // Pressed at once, before anything of the details is there.
    await page.keyboard.press("j");
    await page.keyboard.press("Enter");
    await page.keyboard.press("ArrowDown");
    await place.waitFor();
    expect(await place.textContent()).not.toBe(before);
    await closed(page);
  });
});

describe("when something is wrong", () => {
  it("says that the service is gone, keeps the query, and asks again on demand", async () => {
    const { page } = await open(browser);
    await settled(page);
    await page.route("**/v1/search", (route) => route.abort());
    await page.locator(".tiles [data-hit]").first().click();
    await page.getByText("The service does not answer").waitFor();
    expect(await page.locator(".chip").count()).toBe(1);
    await page.unroute("**/v1/search");
    await page.getByRole("button", { name: "Try again" }).click();
    await searched(page);
    await page.context().close();
  });

  it("shows what was refused with its request id", async () => {
    const { page } = await open(browser, "#/search?study=1.2.3.4.5.6");
    await page.getByRole("alert").waitFor();
    expect(await page.textContent("[role=alert]")).toMatch(
      /1\.2\.3\.4\.5\.6.*Request [0-9a-f]{32}/s,
    );
    await page.context().close();
  });

  it("points at what is wrong in a filter, beside the filter", async () => {
    const { page } = await open(browser);
    await page.getByLabel("Filter by hand").fill("age=old");
    await page.keyboard.press("Enter");
    await page.locator(".field-error", { hasText: "age is a number" }).waitFor();
    await page.context().close();
  });

  it("asks to sign in when the session is over, and goes on with what was asked", async () => {
    const { page } = await open(browser);
    await settled(page);
    const refused = { status: 401, contentType: "application/problem+json", body: "{}" };
    await page.route("**/v1/search", (route) => route.fulfill(refused));
    await page.route("**/v1/session", (route) => route.fulfill({ status: 204 }));
    await page.locator(".tiles [data-hit]").first().click();
    await page.getByRole("dialog", { name: "Sign in" }).waitFor();
    await expectAccessible(page);
    await page.unroute("**/v1/search");
    await page.getByLabel("API key").fill("syn_key");
    await page.keyboard.press("Enter");
    await searched(page);
    expect(await page.locator("dialog").count()).toBe(0);
    await page.context().close();
  });
});

describe("on a phone", () => {
  it("finds, filters and shows details in 390 pixels, and nothing is cut off", async () => {
    const { page } = await open(browser, `#/search?study=${study}`, {
      viewport: { width: 390, height: 844 },
    });
    await searched(page);
    const wide = () => page.evaluate(() => document.documentElement.scrollWidth);
    expect(await wide()).toBe(390);
    await page.getByRole("button", { name: "Filters" }).click();
    await page.locator(".facets label").first().click();
    await page.waitForURL(/f=/);
    await page.locator(".facets-close").click();
    await searched(page);
    await cards(page).first().click();
    await page.waitForSelector(".drawer .screen img:not(.coming)");
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
      await page.reload();
      await settled(page);
      await expectAccessible(page);
      await page.goto(`${URL_}/#/search?study=${study}&study=${another}~-1&list=dense`);
      await searched(page);
      await settled(page);
      await expectAccessible(page);
      await page.keyboard.press("d");
      await page.keyboard.press("j");
      await page.keyboard.press("Enter");
      await page.waitForSelector(".drawer .screen img:not(.coming)");
      await settled(page);
      await expectAccessible(page);
      await page.keyboard.press("?");
      await page.getByRole("dialog", { name: "Keys" }).waitFor();
      await expectAccessible(page);
      await page.context().close();
    });

  it("speaks German where the browser does, and remembers what was chosen", async () => {
    const { page } = await open(browser, "", { locale: "de-DE" });
    await page.getByRole("heading", { name: "Welche Studien sehen aus wie Ihre?" }).waitFor();
    expect(await page.getAttribute("html", "lang")).toBe("de");
    await page.getByRole("button", { name: "English" }).click();
    await page.reload();
    await page.getByRole("heading", { name: "Which studies look like yours?" }).waitFor();
    await page.context().close();
  });
});
