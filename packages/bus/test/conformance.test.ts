import { describe, test, type TestContext } from "vitest";
import { type Case, conformance, Skipped, type World } from "@opencf/bus/conformance";
import { memoryWorld } from "./fixtures/memory-world.ts";

const play = (check: Case, world: World) => async (context: TestContext): Promise<void> => {
  try {
    await check(world);
  } catch (error) {
    if (error instanceof Skipped) return context.skip(error.message);
    throw error;
  }
};

describe("in-process transport", () => {
  const world = memoryWorld();
  for (const [title, check] of Object.entries(conformance)) test(title, play(check, world), 120_000);
});
