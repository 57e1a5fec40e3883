import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { asked, cards, expectAccessible, launch, type Opened, open } from "./browser";
import { searched, viewed } from "./shown";

interface Row {
  study_instance_uid: string;
  series_instance_uid: string;
  modality: string;
  kind: string;
}

let browser: Browser;
let rows: Row[];
let volume: Row;

beforeAll(async () => {
  browser = await launch();
  rows = (await asked<{ rows: Row[] }>("items?limit=500")).rows;
  const found = rows.find(({ kind, modality }) => kind === "volume" && modality === "CT");
  if (!found) throw new Error("the library has no CT volume");
  volume = found;
});

afterAll(async () => {
  await browser.close();
});

const place = (row: Row, more = "") =>
  `#/view?study=${row.study_instance_uid}&series=${row.series_instance_uid}${more}`;
const said = (page: Page) => page.textContent(".at-place");

interface Viewing extends Opened {
  /** Of the frame that came first, which is the one that is seen. */
  frame: string;
}

async function view(where: Browser, hash: string): Promise<Viewing> {
  const opened = await open(where, hash);
  await viewed(opened.page);
  const frame = await opened.page.evaluate(
    () =>
      performance
        .getEntriesByType("resource")
        .map(({ name }) => name)
        .find((name) => /\/frames\/\d+$/.test(name)) ?? "",
  );
  return { ...opened, frame };
}

/** Brightness of the middle of the picture: as it is seen, and as the service draws it. */
async function brightness({ page, frame }: Viewing): Promise<[number, number]> {
  await page.waitForTimeout(400); // until it is on the screen
  const shot = (await page.locator(".viewer-canvas").screenshot()).toString("base64");
  return page.evaluate(
    async ([seen, url]) => {
      const load = async (src: string) => {
        const image = Object.assign(new Image(), { src });
        await image.decode();
        return image;
      };
      const screen = await load(`data:image/png;base64,${seen}`);
      const served = await load(`${url}/rendered?accept=image/png`);
      const mean = (draw: (pen: CanvasRenderingContext2D) => void) => {
        const { width, height } = screen;
        const canvas = Object.assign(document.createElement("canvas"), { width, height });
        const pen = canvas.getContext("2d");
        if (!pen) throw new Error("no canvas");
        draw(pen);
        const half = pen.getImageData(width / 4, height / 4, width / 2, height / 2).data;
        return half.reduce((sum, value, at) => sum + (at % 4 < 3 ? value : 0), 0) / half.length;
      };
      const scale = Math.min(screen.width / served.width, screen.height / served.height);
      const [width, height] = [served.width * scale, served.height * scale];
      return [
        mean((pen) => pen.drawImage(screen, 0, 0)),
        mean((pen) => {
          pen.fillRect(0, 0, screen.width, screen.height);
          const [left, top] = [(screen.width - width) / 2, (screen.height - height) / 2];
          pen.drawImage(served, left, top, width, height);
        }),
      ] as [number, number];
    },
    [shot, frame] as const,
  );
}

async function expectAlike(viewing: Viewing): Promise<void> {
  const [seen, served] = await brightness(viewing);
  expect(served).toBeGreaterThan(2);
  expect(Math.abs(seen - served)).toBeLessThan(3);
}

describe("a study that is opened", () => {
  it("comes with a key from the details of a hit, and back goes to them", async () => {
    const { page } = await open(browser, `#/search?study=${volume.study_instance_uid}`);
    await searched(page);
    await cards(page).first().click();
    await page.getByRole("link", { name: "Open the study" }).waitFor();
    const scripts = () =>
      page.evaluate(() => performance.getEntriesByType("resource").map(({ name }) => name));
    expect((await scripts()).filter((name) => name.includes("engine"))).toEqual([]);
    await page.keyboard.press("e");
    await viewed(page);
    expect((await scripts()).filter((name) => name.includes("engine")).length).toBe(1);
    await page.goBack();
    await page.waitForSelector(".drawer");
    await page.context().close();
  });

  it("is as bright as the service draws it, of each kind that there is", async () => {
    const kinds = new Map(rows.map((row) => [`${row.modality} ${row.kind}`, row]));
    for (const row of [...kinds.values()].slice(0, 4)) {
      const viewing = await view(browser, place(row));
      await expectAlike(viewing);
      expect(viewing.complaints).toEqual([]);
      await viewing.page.context().close();
    }
  });

  it("is drawn without WebGL as well", async () => {
    const plain = await chromium.launch({
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
      args: ["--no-sandbox", "--disable-3d-apis"],
    });
    const colours = rows.find(({ modality }) => modality === "US");
    for (const row of [volume, ...(colours ? [colours] : [])]) {
      const viewing = await view(plain, place(row));
      await viewing.page.getByText("Drawn without WebGL").waitFor();
      await expectAlike(viewing);
      expect(viewing.complaints).toEqual([]);
    }
    await plain.close();
  });

  it("goes on without WebGL where that is lost", async () => {
    const { page } = await open(browser);
    await page.addInitScript(() => {
      const contexts: WebGL2RenderingContext[] = [];
      Object.assign(window, { contexts });
      const usual = HTMLCanvasElement.prototype.getContext;
      HTMLCanvasElement.prototype.getContext = function (this: HTMLCanvasElement, ...asked) {
        const context = Reflect.apply(usual, this, asked);
        if (context instanceof WebGL2RenderingContext) contexts.push(context);
        return context;
      } as typeof usual;
    });
    await page.goto(`${new URL(page.url()).origin}/${place(volume)}`);
    await page.reload();
    await viewed(page);
    await page.evaluate(() => {
      const { contexts } = window as unknown as { contexts: WebGL2RenderingContext[] };
      for (const context of contexts) context.getExtension("WEBGL_lose_context")?.loseContext();
    });
    await page.getByText("Drawn without WebGL").waitFor();
    await page.keyboard.press("Home");
    await page.waitForSelector(".viewer-canvas[data-shown='1']");
    await page.context().close();
  });
});

describe("with the keyboard alone", () => {
  it("looks through slices, sets windows, turns round and measures", async () => {
    const { page } = await view(browser, place(volume));
    const [, of = ""] = ((await said(page)) ?? "").split(" / ");
    await page.keyboard.press("Home");
    await page.waitForURL(/at=1(&|$)/);
    expect(await said(page)).toBe(`1 / ${of}`);
    await page.keyboard.press("ArrowDown");
    await page.waitForURL(/at=2(&|$)/);
    await page.keyboard.press("n");
    await page.waitForURL(/window=40%2C400/);
    expect(await page.textContent(".at-window")).toBe("C 40 W 400");
    await page.keyboard.press("Shift+ArrowRight");
    await page.waitForURL(/window=40%2C41\d/);
    await page.keyboard.press("i");
    await page.keyboard.press("h");
    await page.waitForURL(/invert=1&flip=h/);
    expect(await page.textContent(".viewer-edge.left")).toBe("L");
    await page.keyboard.press("m");
    await page.keyboard.press("m");
    await page.locator(".viewer-said.length", { hasText: /^[\d.,]+ mm/ }).waitFor();
    await page.keyboard.press("Delete");
    await page.waitForSelector(".viewer-said.length", { state: "detached" });
    await page.keyboard.press("r");
    await page.waitForURL((url) => !/window|invert|flip/.test(url.hash));
    await page.reload();
    await viewed(page);
    expect(await said(page)).toBe(`2 / ${of}`);
    await page.keyboard.press(" ");
    await page.getByRole("button", { name: "Pause" }).waitFor();
    await page.waitForFunction(
      (all) => document.querySelector(".at-place")?.textContent !== all,
      `2 / ${of}`,
    );
    await page.keyboard.press("?");
    await page.getByRole("dialog", { name: "Keys" }).getByText("Invert").waitFor();
    await page.context().close();
  });
});

describe("with a pointer", () => {
  it("drags the window, measures, zooms by buttons and scrolls by the wheel", async () => {
    const { page } = await view(browser, place(volume));
    const box = await page.locator(".viewer-canvas").boundingBox();
    if (!box) throw new Error("no picture");
    const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
    const drag = async () => {
      await page.mouse.move(x, y);
      await page.mouse.down();
      await page.mouse.move(x + 60, y + 20, { steps: 4 });
      await page.mouse.up();
    };
    await drag();
    await page.waitForURL(/window=/);
    await page.getByRole("button", { name: "Measure" }).click();
    await drag();
    await page.locator(".viewer-said.length").waitFor();
    await page.getByRole("button", { name: "Larger" }).click();
    await page.mouse.move(x, y);
    const before = await said(page);
    await page.mouse.wheel(0, 80);
    await page.waitForFunction(
      (was) => document.querySelector(".at-place")?.textContent !== was,
      before,
    );
    await page.context().close();
  });
});

describe("when something is wrong", () => {
  it("says that the service is gone, and asks again on demand", async () => {
    const { page } = await open(browser);
    await page.route(/\/frames\/\d+$/, (route) => route.abort());
    await page.evaluate((hash) => {
      window.location.hash = hash;
    }, place(volume));
    await page.getByText("The service does not answer").waitFor();
    await page.unroute(/\/frames\/\d+$/);
    await page.getByRole("button", { name: "Try again" }).click();
    await viewed(page);
    await page.context().close();
  });

  it("shows what the service draws where originals cannot be had, and says why", async () => {
    for (const [status, why] of [
      [406, "no DICOM files"],
      [410, "originals are gone|original files are gone"],
    ] as const) {
      const { page } = await open(browser);
      await page.route("**/metadata", (route) =>
        route.fulfill({ status, contentType: "application/problem+json", body: "{}" }),
      );
      await page.evaluate((hash) => {
        window.location.hash = hash;
      }, place(volume));
      await page.getByText(new RegExp(why)).waitFor();
      await page.waitForSelector(".viewer-served .screen img:not(.coming)");
      await expectAccessible(page);
      await page.context().close();
    }
  });

  it("says of a study that is not there that it is not, and of none where to find one", async () => {
    const { page } = await open(browser, "#/view?study=1.2.3.4.5.6");
    await page.getByRole("alert").waitFor();
    await page.goto(`${page.url().split("#")[0]}#/view`);
    await page.getByRole("link", { name: "Go to Search" }).click();
    await page.waitForURL(/#\/search/);
    await page.context().close();
  });
});

describe("for everyone", () => {
  for (const theme of ["dark", "light"])
    it(`leaves axe nothing to object to in the ${theme} theme, wide and on a phone`, async () => {
      for (const viewport of [
        { width: 1440, height: 900 },
        { width: 390, height: 844 },
      ]) {
        const { page } = await open(browser, place(volume), { viewport });
        await page.evaluate((chosen) => localStorage.setItem("syntopy.theme", chosen), theme);
        await page.reload();
        await viewed(page);
        await page.keyboard.press("m");
        await page.keyboard.press("m");
        await expectAccessible(page);
        const wide = await page.evaluate(() => document.documentElement.scrollWidth);
        expect(wide).toBe(viewport.width);
        await page.context().close();
      }
    });
});
