import { strict as assert } from "node:assert";
import type { ConformanceCase } from "./world.ts";

/** What a backend says of itself. */
export const declaredCases: readonly ConformanceCase[] = [
  {
    title: "says what it does not isolate",
    async check({ backend }) {
      const { capabilities } = backend;
      const open = !capabilities.filesystem || !capabilities.network || !capabilities.processes || !capabilities.user || capabilities.memory !== "kernel";
      assert.equal(capabilities.warnings.length > 0, open, "warnings must name what is missing, and only that");
    },
  },
];
