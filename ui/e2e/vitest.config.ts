import { defineConfig } from "vitest/config";

/** Walks through the page of a service that runs: SYNTOPY_URL says where. */
export default defineConfig({
  test: {
    include: ["e2e/*.e2e.ts", "e2e/beside/*.e2e.ts"],
    testTimeout: 90_000,
    hookTimeout: 20_000,
    expect: { poll: { timeout: 30_000 } },
    fileParallelism: false,
  },
});
