import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createBus, memoryTransport } from "@opencf/bus";
import { deaAdvertise } from "@opencf/bus/messages";
import { type Candidate, choose, createPool } from "../../controller/runtime/placement.ts";

const dea = (id: string, over: Partial<Candidate> = {}): Candidate =>
  ({ id, stacks: ["cflinuxfs4"], zone: "default", availableMemoryMb: 1_024, availableDiskMb: 4_096, instancesOf: {}, ...over });
const wish = { droplet: "a", stack: "cflinuxfs4", memoryMb: 256, diskMb: 1_024 };

describe("choosing an executor", () => {
  test.each<[string, Candidate[], string]>([
    ["none", [], "insufficient resources: no executor has announced itself"],
    ["no stack", [dea("1", { stacks: ["other"] })], "insufficient resources: no executor has stack cflinuxfs4"],
    ["no memory", [dea("1", { availableMemoryMb: 255 })], "insufficient resources: memory"],
    ["no disk", [dea("1", { availableDiskMb: 1 })], "insufficient resources: disk"],
  ])("%s", (_, candidates, reason) => expect(choose(candidates, wish)).toEqual({ ok: false, reason }));

  test.each<[string, Candidate[], string]>([
    ["memory to the last MB fits", [dea("1", { availableMemoryMb: 256 })], "1"],
    ["unknown disk is enough", [dea("1", { availableDiskMb: undefined })], "1"],
    ["fewest instances of the app", [dea("1", { instancesOf: { a: 1 } }), dea("2", { availableMemoryMb: 300 })], "2"],
    ["the emptier zone, though its executor is fuller", [dea("1", { zone: "x", instancesOf: { a: 1 } }), dea("2", { zone: "x" }), dea("3", { zone: "y", availableMemoryMb: 300 })], "3"],
    ["upper half by memory", [dea("1", { availableMemoryMb: 300 }), dea("2")], "2"],
  ])("%s", (_, candidates, id) => expect(choose(candidates, wish)).toEqual({ ok: true, id }));

  test("whatever is chosen has room", () =>
    fc.assert(fc.property(fc.array(fc.record({ availableMemoryMb: fc.integer({ min: 0, max: 600 }), availableDiskMb: fc.integer({ min: 0, max: 2_000 }) }), { maxLength: 6 }), (list) => {
      const candidates = list.map((each, i) => dea(String(i), each));
      const placed = choose(candidates, wish);
      const fits = (each: Candidate): boolean => each.availableMemoryMb >= 256 && (each.availableDiskMb ?? 0) >= 1_024;
      expect(placed.ok).toBe(candidates.some(fits));
      if (placed.ok) expect(candidates.filter(fits).map(({ id }) => id)).toContain(placed.id);
    })));
});

test("a promise outlives the next advertisement", async () => {
  await using bus = await createBus({ transport: memoryTransport() });
  using pool = createPool(bus);
  const advertise = () => bus.publish(deaAdvertise, { id: "d", stacks: ["cflinuxfs4"], available_memory: 1_000, available_disk: 9_000 });
  advertise();
  await expect.poll(() => pool.candidates().length).toBe(1);
  const promise = pool.reserve("d", wish);
  advertise();
  await bus.flush();
  expect(pool.candidates()[0]).toMatchObject({ availableMemoryMb: 744, availableDiskMb: 7_976, instancesOf: { a: 1 } });
  promise.release();
  expect(pool.candidates()[0]).toMatchObject({ availableMemoryMb: 1_000, instancesOf: {} });
});

test("an executor that falls silent is no candidate", async () => {
  await using bus = await createBus({ transport: memoryTransport() });
  let now = 0;
  using pool = createPool(bus, { now: () => now });
  bus.publish(deaAdvertise, { id: "d", stacks: [], available_memory: 1 });
  await expect.poll(() => pool.candidates().length).toBe(1);
  now = 15_001;
  expect(pool.candidates()).toEqual([]);
});
