import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const packages = fileURLToPath(new URL("./packages", import.meta.url));

// Tests run against the sources of every package: a subpath `@opencf/x/y` is `packages/x/src/y.ts`, always.
export default defineConfig({
  resolve: {
    alias: [
      { find: /^@opencf\/([a-z-]+)$/, replacement: `${packages}/$1/src/index.ts` },
      { find: /^@opencf\/([a-z-]+)\/(.+)$/, replacement: `${packages}/$1/src/$2.ts` },
    ],
  },
  test: {
    include: ["packages/*/test/**/*.test.ts", "examples/*/test/**/*.test.ts", "test/**/*.test.ts"],
    // Longer than `until` waits: a test that waits in vain then still ends by itself, and clears away what it started.
    testTimeout: 45_000,
    hookTimeout: 60_000,
    maxWorkers: 3,
    restoreMocks: true,
    passWithNoTests: false,
  },
});
