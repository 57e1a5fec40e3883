// Until a view shows what was asked for.
import type { Page } from "playwright-core";
import { settled } from "./browser";

/** The hits of the search that the address has. */
export const searched = (page: Page) => page.waitForSelector(".lanes:not(.stale) .hit:not(.bones)");

/** Both pictures of Compare. */
export const both = (page: Page) =>
  page.waitForFunction(
    () =>
      document.querySelectorAll(".pane .stage img").length === 2 &&
      !document.querySelector(".compare [aria-busy=true], .compare .bone"),
  );

/** All points of the map. */
export async function mapped(page: Page): Promise<void> {
  await page.waitForSelector(".map-points[data-drawn=all]");
  await settled(page);
}

/** A frame in the viewer. */
export const viewed = (page: Page) => page.waitForSelector(".viewer-canvas[data-shown]");

/** The subject of a queue. */
export const posed = (page: Page) =>
  page.waitForFunction(
    () => document.querySelector(".screens img") && !document.querySelector(".stage .bone"),
  );

/** Which subject of a queue is shown, and that it is another one. */
export const subject = (page: Page) => new URL(page.url()).hash.match(/at=([^&]*)/)?.[1] ?? "";
export const moved = (page: Page, from: string) =>
  page.waitForFunction((old) => !window.location.hash.includes(`at=${old}`), from);
