// Pictures of every view in both themes: npm run shots -- http://127.0.0.1:8000 FOLDER
// SCALE=0.6 makes them small, as they are in docs/page.
import { mkdirSync } from "node:fs";
import { chromium } from "playwright-core";

const [, , url = "http://127.0.0.1:8000", folder = "shots", wanted = ""] = process.argv;
const SIZES = { wide: [1440, 900], phone: [390, 844] };
mkdirSync(folder, { recursive: true });

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox"],
});
const studies = await (await fetch(`${url}/v1/studies?limit=500`)).json();
const withPriors = studies.rows.filter(
  (row, at, rows) =>
    Object.keys(row.labels).length &&
    row.patient &&
    rows.some((other, there) => there !== at && other.patient === row.patient),
);
const study = (withPriors[5] ?? withPriors[0] ?? studies.rows[0]).study_instance_uid;
const answer = await (
  await fetch(`${url}/v1/search`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ examples: [{ uid: study }], k: 3 }),
  })
).json();
const [first, second] = answer.hits.map((hit) => hit.id);
const VIEWS = {
  start: "#/search",
  results: `#/search?study=${study}`,
  mixed: `#/search?study=${study}&text=effusion&uid=${second}~-1&f=sex%3DF&keep=${first}`,
  list: `#/search?study=${study}&list=dense`,
  details: `#/search?study=${study}&hit=${first}`,
};

for (const theme of ["dark", "light"])
  for (const [size, [width, height]] of Object.entries(SIZES)) {
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
      await page.waitForFunction(() => !document.querySelector("[aria-busy=true], .bone"));
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
