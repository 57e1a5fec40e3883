// "Give me neighbours over HTTP." A key is made on the page, and all else is done with it: what can
// be asked, a study that is sent and found, a job with its progress, and the way back to the page.
// The service asks who it is: SYNTOPY_KEY has the key of an administrator.
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { launch, open, settled, signIn, tabTo, URL_ } from "./browser";
import { originals } from "./original";
import { searched } from "./shown";

interface Item {
  id: string;
  study_instance_uid: string;
  series_instance_uid: string;
}
interface Answer {
  hits: { id: string }[];
}

const ADMIN = process.env.SYNTOPY_KEY ?? "";
let browser: Browser;

beforeAll(async () => {
  if (!ADMIN) throw new Error("SYNTOPY_KEY has no key");
  browser = await launch();
});

afterAll(() => browser.close());

const by = (key: string) => ({ Authorization: `Bearer ${key}` });
const get = (path: string, key: string) => fetch(`${URL_}/${path}`, { headers: by(key) });
const told = async <T>(path: string, key: string): Promise<T> => {
  const answer = await get(`v1/${path}`, key);
  expect(answer.status, path).toBe(200);
  return (await answer.json()) as T;
};
const post = (path: string, key: string, body: unknown) =>
  fetch(`${URL_}/v1/${path}`, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...by(key) },
    body: JSON.stringify(body),
  });

/** Make a key on the page, which shows it once. */
async function keyOf(page: Page, role: RegExp): Promise<string> {
  await page.goto(`${URL_}/#/library?tab=keys`);
  await settled(page);
  await page
    .getByRole("button", { name: /New key|Make a key/ })
    .first()
    .click();
  await page.getByRole("textbox", { name: /Name/ }).fill(`walk ${Date.now()}`);
  await page.getByRole("radio", { name: role }).check();
  await page.getByRole("button", { name: "Make the key" }).click();
  const token = await page.locator(".token").inputValue();
  await page.getByRole("button", { name: "I have it" }).click();
  return token;
}

/** An object of the library as if another one had been made: under UIDs of its own. */
function another(file: Buffer, of: Item): { study: string; file: Buffer } {
  let content = file.toString("latin1");
  const other = (uid: string) => uid.slice(0, -4) + String(Date.now()).slice(-4);
  const study = other(of.study_instance_uid);
  content = content.replaceAll(of.study_instance_uid, study);
  content = content.replaceAll(of.series_instance_uid, other(of.series_instance_uid));
  return { study, file: Buffer.from(content, "latin1") };
}

function stow(file: Buffer, key: string): Promise<Response> {
  const head = Buffer.from("--b\r\nContent-Type: application/dicom\r\n\r\n");
  return fetch(`${URL_}/dicomweb/studies`, {
    method: "POST",
    headers: {
      "Content-Type": 'multipart/related; type="application/dicom"; boundary=b',
      Accept: "application/dicom+json",
      ...by(key),
    },
    body: Buffer.concat([head, file, Buffer.from("\r\n--b--\r\n")]),
  });
}

describe("a developer", () => {
  it("gets a key, asks what the page asked, sends a study, and finds it", async () => {
    expect((await get("v1/items", "")).status).toBe(401);
    const { page, complaints } = await open(browser);
    await signIn(page, ADMIN);
    const reader = await keyOf(page, /reader/);
    const operator = await keyOf(page, /operator/);
    const document = await told<{ paths: object }>("openapi.json", reader);
    expect(Object.keys(document.paths)).toContain("/v1/search");

    await page.goto(`${URL_}/#/search`);
    await page.locator(".tiles [data-hit]").first().click();
    await searched(page);
    await page.getByRole("button", { name: "As a request" }).click();
    const command = (await page.getByRole("dialog").locator("code").textContent()) ?? "";
    const asked = JSON.parse(/-d '(.*)'$/s.exec(command)?.[1] ?? "");
    const answer = await post("search", reader, asked);
    const { hits } = (await answer.json()) as Answer;
    const seen = page.locator(".lane:not(.priors) [data-hit]");
    const shown = await seen.evaluateAll((all) => all.map((each) => each.dataset.hit));
    expect(hits.map(({ id }) => id)).toEqual(shown);

    const { rows } = await told<{ rows: Item[] }>("items?limit=1&filter=modality=CR", reader);
    const [first] = rows;
    const [file] = first ? await originals(first, by(reader)) : [];
    if (!first || !file) throw new Error("no radiograph to send");
    const sent = another(file, first);
    expect((await stow(sent.file, reader)).status).toBe(403);
    expect((await stow(sent.file, operator)).status).toBe(200);
    await expect
      .poll(async () => (await get(`v1/studies/${sent.study}`, reader)).status, { timeout: 60_000 })
      .toBe(200);
    const { series } = await told<{ series: { items: Item[] }[] }>(`studies/${sent.study}`, reader);
    const id = series[0]?.items[0]?.id ?? "";
    expect((await told<Answer>(`items/${id}/neighbours?k=5`, reader)).hits).toHaveLength(5);

    await page.goto(`${URL_}/#/library?tab=ingest`);
    await settled(page);
    await page.goto(`${URL_}/similar?study=${sent.study}`);
    await searched(page);
    expect(complaints).toEqual([]);
    await page.context().close();
  });

  it("asks for long work as a job, whose progress comes as it is made", async () => {
    const run = `asked-${Date.now()}`;
    const parameters = { name: run, method: "hdbscan" };
    const made = await post("jobs", ADMIN, { kind: "cluster", parameters });
    expect(made.status).toBe(202);
    const { id } = (await made.json()) as { id: string };
    const events = await (await get(`v1/jobs/${id}/events`, ADMIN)).text();
    expect(events).toMatch(/event: progress/);
    expect(events).toMatch(/event: end\r?\n?.*"state": ?"done"/s);
    const asked = await told<{ run: { name: string } }>(`clusters/run?run=${run}`, ADMIN);
    expect(asked.run.name).toBe(run);
  });

  it("makes and revokes a key with the keyboard alone", async () => {
    const { page } = await open(browser, "#/library?tab=keys");
    await signIn(page, ADMIN);
    await settled(page);
    const name = `typed ${Date.now()}`;
    await page.keyboard.press("n");
    await page.keyboard.type(name);
    await tabTo(page, /^\s*Make the key/);
    await page.keyboard.press("Enter");
    const token = await page.locator(".token").inputValue();
    await tabTo(page, /I have it/);
    await page.keyboard.press("Enter");
    expect((await get("v1/library", token)).status).toBe(200);
    await page.getByRole("button", { name: new RegExp(`Revoke.*${name}`) }).waitFor();
    await tabTo(page, new RegExp(`Revoke.*${name}|${name}.*Revoke`));
    await page.keyboard.press("Enter");
    await page.getByText(`Revoke the key of ${name}?`).waitFor();
    await tabTo(page, /^\s*Revoke\s*$/);
    await page.keyboard.press("Enter");
    await page.locator("dialog").waitFor({ state: "detached" });
    expect((await get("v1/library", token)).status).toBe(401);
    await page.context().close();
  });

  it("does so on a phone", async () => {
    const { page } = await open(browser, "#/library", {
      viewport: { width: 390, height: 844 },
      hasTouch: true,
    });
    await signIn(page, ADMIN);
    const token = await keyOf(page, /curator/);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(390);
    expect((await told<{ role: string }>("session", token)).role).toBe("curator");
    await page.context().close();
  });
});
