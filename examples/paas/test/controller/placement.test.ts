import { randomUUID } from "node:crypto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Body, type Bus, createBus, memoryTransport } from "@opencf/bus";
import { deaAdvertise, deaLocate, deaShutdown, deaStartInstance } from "@opencf/bus/messages";
import { createPool, type Pool, refusalWords } from "../../controller/runtime/placement.ts";

type Advertisement = Body<typeof deaAdvertise>;
type Answer = { accepted: boolean; reason?: string; code?: string };
const command = { droplet: "a", version: "1", index: 0, name: "a", stack: "cflinuxfs4", limits: { mem: 256, disk: 1_024, fds: 1_024 } };
type Change = Partial<Body<typeof deaStartInstance>> & { isolationSegment?: string };

let bus: Bus;
let pool: Pool;
let asked: string[];
beforeEach(async () => {
  bus = await createBus({ transport: memoryTransport() });
  pool = createPool(bus);
  asked = [];
});
afterEach(async () => {
  pool[Symbol.dispose]();
  await bus[Symbol.asyncDispose]();
});

const says = async (id: string, over: Partial<Advertisement> = {}): Promise<void> => {
  bus.publish(deaAdvertise, { id, stacks: ["cflinuxfs4"], available_memory: 1_024, available_disk: 4_096, ...over });
  await bus.flush();
};
/** An executor that advertises, and answers a start with this. */
async function executor(id: string, over: Partial<Advertisement> = {}, answer: Answer = { accepted: true }): Promise<void> {
  bus.subscribe(deaStartInstance, ({ body, respond }) => {
    asked.push(`${id} ${body.command_id}`);
    respond(answer);
  }, { params: { id } });
  await says(id, over);
  await expect.poll(() => pool.hosts().some((host) => host.id === id)).toBe(true);
}
const start = async ({ isolationSegment, ...over }: Change = {}, commandId: string = randomUUID()) => {
  const sent = await pool.start({ ...command, ...over }, { commandId, isolationSegment });
  return sent.state === "sent" ? sent.executor : sent.state === "refused" ? refusalWords(sent.refusal) : sent.state;
};

describe("choosing an executor by what it advertises", () => {
  test.each<[string, [string, Partial<Advertisement>][], Change, string]>([
    ["none", [], {}, "insufficient resources: no host has announced itself"],
    ["no stack", [["1", { stacks: ["other"] }]], {}, "insufficient resources: no host has the stack cflinuxfs4 (of 1 host)"],
    ["no memory", [["1", { available_memory: 255 }]], {}, "insufficient resources: memory: 256 MB asked, at most 255 MB free on one of 1 host"],
    ["no disk", [["1", { available_disk: 1 }]], {}, "insufficient resources: disk: 1024 MB asked, at most 1 MB free on one of 1 host"],
    ["at its limit of instances", [["1", { available_instances: 0 }]], {}, "insufficient resources: each of 1 host with room is at its limit of instances"],
    ["a segment keeps to itself", [["1", { placement_properties: { isolation_segment: "gold" } }]], {}, "insufficient resources: every host belongs to an isolation segment (of 1 host)"],
    ["a segment that nobody serves", [["1", {}]], { isolationSegment: "gold" }, "insufficient resources: no host belongs to the isolation segment gold (of 1 host)"],
    ["its own segment", [["1", {}], ["2", { available_memory: 300, placement_properties: { isolation_segment: "gold" } }]], { isolationSegment: "gold" }, "2"],
    ["the host with the runtime, by version", [["1", { runtimes: ["node"] }], ["2", { runtime_details: [{ name: "node", version: "20.19.2" }] }]], { runtime: "node@20" }, "2"],
    ["the host with the runtime, by name as in v1", [["1", {}], ["2", { runtimes: ["ruby19"] }]], { runtime: "ruby19" }, "2"],
    ["no runtime", [["1", { runtimes: ["ruby18"] }]], { runtime: "ruby19" }, "insufficient resources: no host has ruby19 (of 1 host)"],
    ["memory to the last MB fits", [["1", { available_memory: 256 }]], {}, "1"],
    ["fewest instances of the app", [["1", { app_id_to_count: { a: 1 } }], ["2", { available_memory: 300 }]], {}, "2"],
    ["the emptier zone, though its executor is fuller", [["1", { placement_properties: { zone: "x" }, app_id_to_count: { a: 1 } }], ["2", { placement_properties: { zone: "x" } }], ["3", { placement_properties: { zone: "y" }, available_memory: 300 }]], {}, "3"],
    ["the emptiest by its size", [["1", { available_memory: 1_024, total_memory: 8_192 }], ["2", { available_memory: 512, total_memory: 512 }]], {}, "2"],
    ["an advertisement of the original: no size, no disk, no zone", [["1", { available_memory: 300.5 }]], {}, "1"],
  ])("%s", async (_, executors, over, expected) => {
    for (const [id, advertised] of executors) await executor(id, advertised);
    expect(await start(over)).toBe(expected);
  });
});

test("executors are asked to advertise when the controller comes up", async () => {
  let located = 0;
  using _heard = bus.subscribe(deaLocate, () => void located++);
  using _other = createPool(bus);
  await expect.poll(() => located).toBe(1);
});

describe("a promise", () => {
  const free = () => pool.hosts().map(({ memory, instances }) => [memory, instances]);
  test("outlives the next advertisement, until one names the command", async () => {
    await executor("d", { available_memory: 1_000 });
    await start({}, "c");
    await says("d", { available_memory: 1_000, counted_commands: [] });
    await expect.poll(free).toEqual([[{ freeBytes: 744 * 1_048_576 }, { a: 1 }]]);
    await says("d", { available_memory: 744, app_id_to_count: { a: 1 }, counted_commands: ["c"] });
    await expect.poll(free).toEqual([[{ freeBytes: 744 * 1_048_576 }, { a: 1 }]]);
    await says("d", { available_memory: 1_000, counted_commands: ["c"] });
    await expect.poll(free).toEqual([[{ freeBytes: 1_000 * 1_048_576 }, {}]]);
  });
  test("a burst is spread, whatever is advertised meanwhile", async () => {
    for (const id of ["1", "2", "3", "4"]) await executor(id);
    const chosen: string[] = [];
    for (let i = 0; i < 8; i++) {
      chosen.push(await start());
      for (const id of ["1", "2", "3", "4"]) await says(id, { counted_commands: [] });
    }
    expect(chosen.sort()).toEqual(["1", "1", "2", "2", "3", "3", "4", "4"]);
    expect(await start({ limits: { mem: 600, disk: 1, fds: 1 } })).toContain("at most 512 MB free on one of 4 hosts");
  });
});

describe("an executor that does not take it", () => {
  test.each<[string, Answer, string[]]>([
    ["no room: nothing as large goes there again until it advertises", { accepted: false, reason: "Not enough memory resource available.", code: "DEA_NO_CAPACITY" }, ["1", "2", "2"]],
    ["another reason: the next start may fare better", { accepted: false, reason: "The requested stack does not exist here." }, ["1", "2", "1", "2"]],
    ["it is leaving: forgotten", { accepted: false, code: "DEA_CLOSED" }, ["1", "2", "2"]],
  ])("%s", async (_, answer, expected) => {
    await executor("1", { available_memory: 4_000 }, answer);
    await executor("2", { available_memory: 3_000 });
    expect([await start({}, "c"), await start({ droplet: "b" }, "e")]).toEqual(["2", "2"]);
    expect(asked.map((each) => each.split(" ")[0])).toEqual(expected);
    expect(asked.slice(0, 2)).toEqual(["1 c", "2 c"]);
  });

  test("nobody listens there: the next at once, and it is forgotten", async () => {
    await says("gone", { available_memory: 9_000 });
    await executor("2");
    expect(await start()).toBe("2");
    expect(pool.hosts().map(({ id }) => id)).toEqual(["2"]);
  });

  test("all refuse: it says who and why", async () => {
    await executor("1", {}, { accepted: false, reason: "no port" });
    expect(await start()).toBe("insufficient resources: every host that was asked refused: 1: no port");
  });

  test("it says goodbye", async () => {
    await executor("1");
    bus.publish(deaShutdown, { id: "1" });
    await expect.poll(() => pool.hosts()).toEqual([]);
  });

  test("it falls silent", async () => {
    let now = 0;
    using other = createPool(bus, { now: () => now });
    await says("d");
    await expect.poll(() => other.hosts().length).toBe(1);
    now = 15_001;
    expect(other.hosts()).toEqual([]);
  });
});

test("a bus that is gone is nobody's refusal", async () => {
  await executor("1");
  await bus[Symbol.asyncDispose]();
  expect(await start()).toBe("broken");
});
