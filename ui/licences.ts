import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Plugin } from "vite";

/** Where a built page has the notices; the `?` sheet links to it. */
export const NOTICES = "assets/licences.txt";

const PACKAGE = /^.*[\\/]node_modules[\\/](@[^\\/]+[\\/])?[^\\/]+(?=[\\/])/;
/** Helpers that the bundler itself puts into a page, by names that are no paths. */
const HELPERS = /^\0?(vite|rolldown)\//;
const TEXT = /^(licen[cs]e|copying|notice)/i;

/** Folders of the packages that modules are of; `at` is the folder of those of the bundler. */
export function foldersOf(modules: Iterable<string>, at: string): string[] {
  const folders = new Set<string>();
  for (const module of modules) {
    const helper = HELPERS.exec(module)?.[1];
    const folder = helper ? join(at, helper) : PACKAGE.exec(module)?.[0];
    if (folder) folders.add(folder);
  }
  return [...folders].sort();
}

/**
 * What a package asks to be told of it: name, version, licence, and its text.
 *
 * @throws Where no text is found: a page without it must not be given away.
 */
export function noticeOf(folder: string): string {
  const told = JSON.parse(readFileSync(join(folder, "package.json"), "utf-8"));
  const title = `${told.name} ${told.version} (${told.license})`;
  const texts = readdirSync(folder)
    .filter((name) => TEXT.test(name))
    .map((name) => readFileSync(join(folder, name), "utf-8"));
  const text = texts.join("\n\n") || fromReadme(folder);
  if (!text) throw new Error(`${title} has no text of its licence in ${folder}`);
  return `${title}\n${"-".repeat(title.length)}\n\n${withoutOthers(text).trim()}\n`;
}

/** What stands in a README from the title of the licence on. */
function fromReadme(folder: string): string {
  const name = readdirSync(folder).find((each) => /^readme/i.test(each));
  const text = name ? readFileSync(join(folder, name), "utf-8") : "";
  return /^\W*licen[cs]e\b[\s\S]*/im.exec(text)?.[0] ?? "";
}

/** A bundler also tells the licences of what it is made of, which is no part of a page. */
const withoutOthers = (text: string): string =>
  text.split(/^# Licenses of bundled dependencies/m)[0] ?? "";

/** Writes the notices of all packages of which something is in the page. */
export function licences(): Plugin {
  return {
    name: "licences",
    apply: "build",
    generateBundle(_options, bundle) {
      const modules = Object.values(bundle).flatMap((part) =>
        part.type === "chunk"
          ? part.moduleIds
          : part.originalFileNames.map((name) => join(import.meta.dirname, name)),
      );
      const folders = foldersOf(modules, join(import.meta.dirname, "node_modules"));
      const source = [
        "This page is made with these packages, each under its own licence.\n",
        ...folders.map(noticeOf),
      ].join("\n\n");
      this.emitFile({ type: "asset", fileName: NOTICES, source });
    },
  };
}
