import { afterAll, beforeAll, describe, expect, test, type TestContext } from "vitest";
import { type Case, conformance, Skipped, type World } from "@opencf/bus/conformance";
import { memoryWorld } from "./fixtures/memory-world.ts";
import { hasNatsServer } from "./fixtures/nats-server.ts";
import { natsWorld } from "./fixtures/nats-world.ts";

const play = (check: Case, world: () => World) => async (context: TestContext): Promise<void> => {
  try {
    await check(world());
  } catch (error) {
    if (error instanceof Skipped) return context.skip(error.message);
    throw error;
  }
};

test("every item from 1 to 54 has a case, and every case has its item", () => {
  const items = Object.keys(conformance).map((title) => Number(/^(\d+)[ :]/.exec(title)?.[1]));
  expect([...new Set(items)].sort((a, b) => a - b)).toEqual(Array.from({ length: 54 }, (_, i) => i + 1));
});

describe("in-process transport", () => {
  const own = memoryWorld();
  for (const [title, check] of Object.entries(conformance)) test(title, play(check, () => own), 120_000);
});

describe.skipIf(!hasNatsServer())("NATS transport, on a real nats-server (apt-get install nats-server)", () => {
  let world: Awaited<ReturnType<typeof natsWorld>>;
  beforeAll(async () => {
    world = await natsWorld();
  });
  afterAll(async () => world[Symbol.asyncDispose]());
  for (const [title, check] of Object.entries(conformance)) test(title, play(check, () => world), 120_000);
});
