// Pictures of every view in both themes: npm run shots -- http://127.0.0.1:8000 FOLDER
// SCALE=0.6 makes them small, as they are in docs/page; SIZES=large those of 1920 pixels.
import { mkdirSync, readdirSync } from "node:fs";
import { chromium } from "playwright-core";

const [, , url = "http://127.0.0.1:8000", folder = "shots", wanted = ""] = process.argv;
const SIZES = { wide: [1440, 900], phone: [390, 844], large: [1920, 1080] };
const sizes = (process.env.SIZES ?? "wide,phone").split(",");
mkdirSync(folder, { recursive: true });

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox"],
});
const VIEWS = {};
for (const name of readdirSync(new URL("./pictured", import.meta.url)))
  Object.assign(VIEWS, await (await import(`./pictured/${name}`)).pictured(url));

for (const theme of ["dark", "light"])
  for (const size of sizes) {
    const [width, height] = SIZES[size];
    const page = await browser.newPage({
      viewport: { width, height },
      deviceScaleFactor: Number(process.env.SCALE ?? 1),
      locale: "en-GB",
    });
    page.on("console", (said) => said.type() === "error" && console.error(theme, said.text()));
    page.on("pageerror", (error) => console.error(theme, error.message));
    await page.addInitScript((chosen) => localStorage.setItem("syntopy.theme", chosen), theme);
    for (const [name, hash] of Object.entries(VIEWS)) {
      if (wanted && !`${name}-${size}-${theme}`.match(wanted)) continue;
      await page.goto(`${url}/${hash}`);
      await page.reload();
      await page.waitForFunction(
        () => document.querySelector("main") && !document.querySelector("[aria-busy=true], .bone"),
      );
      await page.waitForTimeout(700);
      await page.screenshot({
        path: `${folder}/${name}-${size}-${theme}.jpg`,
        type: "jpeg",
        quality: 82,
      });
    }
    await page.close();
  }
await browser.close();
