import { strict as assert } from "node:assert";
import { limitNames } from "../container/capabilities.ts";
import type { ConformanceCase } from "./world.ts";

/** What a backend says of itself. */
export const declaredCases: readonly ConformanceCase[] = [
  {
    title: "says what it does not isolate",
    async check({ backend }) {
      const { capabilities } = backend;
      assert.deepEqual(Object.keys(capabilities.enforces).sort(), [...limitNames].sort());
      const open = Object.values(capabilities.enforces).includes(false) || !capabilities.filesystem || !capabilities.network || !capabilities.processes || !capabilities.user || capabilities.memory !== "kernel";
      assert.ok(!open || capabilities.warnings.length > 0, "warnings must name what is missing");
    },
  },
];
