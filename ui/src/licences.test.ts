import { join } from "node:path";
import react from "@vitejs/plugin-react";
import { build } from "vite";
import { expect, it } from "vitest";
import { foldersOf, licences, NOTICES } from "../licences.ts";

it("finds the packages of modules, and no modules of the page itself", () => {
  const modules = [
    "/ui/src/App.tsx",
    "/ui/node_modules/react/index.js",
    "/ui/node_modules/react/jsx-runtime.js",
    "/ui/node_modules/a/node_modules/@of/b/dist/b.js",
    "\0vite/preload-helper.js",
  ];
  expect(foldersOf(modules, "/here")).toEqual([
    "/here/vite",
    "/ui/node_modules/a/node_modules/@of/b",
    "/ui/node_modules/react",
  ]);
});

it("names every package of which something is in the page, with its licence", async () => {
  const built = await build({
    root: join(import.meta.dirname, ".."),
    configFile: false,
    logLevel: "error",
    plugins: [react(), licences()],
    build: { write: false, assetsInlineLimit: 0 },
  });
  const parts = "output" in built ? built.output : [];
  const notices = parts.find(({ fileName }) => fileName === NOTICES);
  const text = notices?.type === "asset" ? String(notices.source) : "";
  const names = parts
    .flatMap((part) => (part.type === "chunk" ? part.moduleIds : part.originalFileNames))
    .map((id) => /.*node_modules\/((@[^/]+\/)?[^/]+)/.exec(id)?.[1] ?? "vite");
  expect(new Set(names).size).toBeGreaterThan(10);
  const told = new Set(text.match(/^\S+(?= \d+\.\S+ \(.+\)$)/gm));
  expect(names.filter((name) => !told.has(name))).toEqual([]);
  // Some have it in their README alone.
  expect(text.split(/^seedrandom /m)[1]?.slice(0, 800)).toContain("Permission is hereby granted");
}, 60_000);
