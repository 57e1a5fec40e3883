import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";
import { licences } from "./licences.ts";

const OUT = join(import.meta.dirname, "../api/page");

/** Beside each asset the same packed, so that the service need not do it again and again. */
function packed(): Plugin {
  return {
    name: "packed",
    apply: "build",
    closeBundle() {
      const assets = join(OUT, "assets");
      for (const name of readdirSync(assets)) {
        if (name.endsWith(".woff2")) continue; // packed in itself
        const path = join(assets, name);
        const content = readFileSync(path);
        writeFileSync(`${path}.gz`, gzipSync(content, { level: 9 }));
        const quality = { [constants.BROTLI_PARAM_QUALITY]: 11 };
        writeFileSync(`${path}.br`, brotliCompressSync(content, { params: quality }));
      }
    },
  };
}

/**
 * A script of its own before the first paint, for a theme that was chosen: the others come later.
 * The policy of the page allows none within it.
 */
function themed(): Plugin {
  const source = readFileSync(join(import.meta.dirname, "src/theme.js"), "utf-8");
  return {
    name: "themed",
    apply: "build",
    buildStart() {
      this.emitFile({ type: "asset", name: "theme.js", source });
    },
    transformIndexHtml(_html, { bundle = {} }) {
      const name = Object.keys(bundle).find((each) => /theme-[^/]+\.js$/.test(each));
      return [{ tag: "script", attrs: { src: `/${name}` }, injectTo: "head-prepend" }];
    },
  };
}

export default defineConfig({
  plugins: [react(), licences(), packed(), themed()],
  build: {
    outDir: OUT,
    emptyOutDir: true,
    assetsInlineLimit: 0, // the policy of the page allows no inline parts
    modulePreload: { polyfill: false },
    target: "es2022",
  },
  server: { proxy: { "/v1": process.env.SYNTOPY_URL ?? "http://127.0.0.1:8000" } },
});
