import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "vitest";
import { processBackend } from "../src/index.ts";
import { backendConformance } from "../src/testing.ts";

backendConformance("process", {
  test,
  async make() {
    const dir = await mkdtemp(join(tmpdir(), "opencf-dea-backend-"));
    return {
      backend: processBackend(),
      again: async () => processBackend(),
      dir,
      [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }),
    };
  },
});
