import { join } from "node:path";
import { deaAdvertise, deaLocate } from "@opencf/bus/messages";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Instance, MiB, type StartSpec } from "../../src/index.ts";
import { chooseToMove, type HostUse, type Movable, type Resource, shortOf } from "../../src/pressure/choose.ts";
import { measureHost, memoryRatio } from "../../src/pressure/measure-host.ts";
import { watermarksOf } from "../../src/pressure/relief.ts";
import { writeDroplet } from "../fixtures/droplet.ts";
import { world } from "../fixtures/member.ts";
import { until } from "../fixtures/until.ts";

const marks = watermarksOf({ memoryRatio: 0.9, diskRatio: 0.8, hysteresis: 0.1 });

describe("dea §20.8 the host fills up: who goes", () => {
  test.each([
    ["all is well", { memory: 0.5, disk: 0.5 }, [], []],
    ["at the mark", { memory: 0.9, disk: 0.8 }, [], []],
    ["memory", { memory: 0.91, disk: 0.5 }, [], ["memory"]],
    ["disk", { memory: 0.5, disk: 0.81 }, [], ["disk"]],
    ["both", { memory: 1, disk: 1 }, [], ["memory", "disk"]],
    ["a little less is not enough", { memory: 0.85, disk: 0.75 }, ["memory", "disk"], ["memory", "disk"]],
    ["enough less", { memory: 0.8, disk: 0.7 }, ["memory", "disk"], []],
    ["a little less of what was not short", { memory: 0.85, disk: 0.75 }, [], []],
  ] as [string, HostUse, Resource[], Resource[]][])("%s", (_name, use, before, short) => {
    expect([...shortOf(use, new Set(before), marks)]).toEqual(short);
  });

  const one = (id: string, priority: number, memoryBytes: number, diskBytes: number): Movable => ({ id, priority, memoryBytes, diskBytes });
  test.each([
    ["nobody there", "memory", [], undefined],
    ["the heaviest by memory", "memory", [one("a", 0, 1, 9), one("b", 0, 2, 1)], "b"],
    ["the heaviest by disk", "disk", [one("a", 0, 1, 9), one("b", 0, 2, 1)], "a"],
    ["those with the lowest priority first, however light", "memory", [one("a", 5, 100, 1), one("b", 1, 1, 1), one("c", 1, 2, 1)], "c"],
    ["as heavy: by name", "memory", [one("b", 0, 1, 1), one("a", 0, 1, 1)], "a"],
  ] as [string, Resource, Movable[], string | undefined][])("%s", (_name, short, movable, id) => {
    expect(chooseToMove(short, movable)?.id).toBe(id);
  });
  test("never one of higher priority, nor a lighter one, and the order they come in does not matter", () => {
    const any = fc.uniqueArray(fc.record({ id: fc.string(), priority: fc.integer({ min: 0, max: 3 }), memoryBytes: fc.nat(), diskBytes: fc.nat() }), { selector: ({ id }) => id, minLength: 1, maxLength: 20 });
    fc.assert(fc.property(any, (list) => {
      const chosen = chooseToMove("memory", list) as Movable;
      expect(chooseToMove("memory", [...list].reverse())).toEqual(chosen);
      for (const other of list) expect(other.priority > chosen.priority || (other.priority === chosen.priority && other.memoryBytes <= chosen.memoryBytes)).toBe(true);
    }));
  });

  test("what the machine says", async () => {
    expect(memoryRatio("MemTotal:       1000 kB\nMemFree: 1 kB\nMemAvailable:    250 kB\n")).toBe(0.75);
    expect(memoryRatio("nothing of use")).toBe(0);
    const { memory, disk } = await measureHost("/");
    for (const share of [memory, disk]) expect(share > 0 && share <= 1).toBe(true);
  });
});

describe("dea §20.8 in life", () => {
  let here: Awaited<ReturnType<typeof world>>;
  let droplet: string;
  beforeAll(async () => {
    here = await world();
    droplet = await writeDroplet(join(here.folder, "p.tgz"), { x: "" });
  });
  afterAll(() => here[Symbol.asyncDispose]());
  const spec = (change: Partial<StartSpec> = {}): StartSpec => ({ droplet, command: "exec sleep 1000", memoryBytes: 64 * MiB, diskBytes: 64 * MiB, healthCheck: { type: "process" }, graceMs: 100, ...change });

  test("the heaviest of low priority is told to be leaving, and stopped when its time is over; one at a time; nothing is started or advertised meanwhile", async () => {
    let use: HostUse = { memory: 0.5, disk: 0.5 };
    const measure = (): Promise<HostUse> => Promise.resolve(use);
    await using one = await here.member({ pressure: { measure, intervalMs: 50, moveTimeoutMs: 600 } });
    const grow = (mb: number): string => `head -c ${mb}000000 /dev/zero > fill; exec sleep 1000`;
    const [light, heavy, precious] = await Promise.all([
      one.dea.start(spec({ command: grow(1) })), one.dea.start(spec({ command: grow(10) })), one.dea.start(spec({ command: grow(20), priority: 1 })),
    ]) as [Instance, Instance, Instance];
    for (const [instance, mb] of [[light, 1], [heavy, 10], [precious, 20]] as const) await until(async () => ((await instance.stats()).diskBytes ?? 0) >= mb * 1_000_000);
    use = { memory: 0.5, disk: 0.95 };
    await until(() => heavy.state === "EVACUATING");
    expect([light.state, precious.state]).toEqual(["RUNNING", "RUNNING"]);
    expect([...one.dea.shortOf]).toEqual(["disk"]);
    await until(() => one.said.deaHeartbeat.at(-1)?.droplets.some(({ instance, state }) => instance === heavy.id && state === "EVACUATING"));
    await expect(one.dea.start(spec())).rejects.toMatchObject({ code: "DEA_NO_CAPACITY", message: "Not enough disk resource available.", retryable: true });
    const room: number[] = [];
    one.bus.subscribe(deaAdvertise, ({ body }) => void room.push(body.available_memory));
    one.bus.publish(deaLocate, {} as never);
    await until(() => room.length > 0);
    expect(room.at(-1)).toBe(0);
    expect(light.state).toBe("RUNNING");
    // Its going was enough.
    void heavy.exited.then(() => (use = { memory: 0.5, disk: 0.5 }));
    expect(await heavy.exited).toMatchObject({ reason: "stopped" });
    await until(() => one.dea.shortOf.size === 0);
    expect([light.state, precious.state]).toEqual(["RUNNING", "RUNNING"]);
    await (await one.dea.start(spec())).ready;
  });

  test("one that is stopped sooner makes way for the next; priority comes with the start message", async () => {
    const measure = (): Promise<HostUse> => Promise.resolve({ memory: 0.95, disk: 0.5 });
    let look = (): Promise<HostUse> => Promise.resolve({ memory: 0.5, disk: 0.5 });
    await using one = await here.member({ pressure: { measure: () => look(), intervalMs: 50, moveTimeoutMs: 60_000 } });
    const ask = await here.message({ x: "" }, "exec sleep 1000", { uris: [], droplet: "app" });
    await one.start({ ...ask, index: 0, priority: 2 });
    await one.start({ ...ask, index: 1, priority: 1 });
    await until(() => one.dea.instances().filter(({ state }) => state === "RUNNING").length === 2);
    const [high, low] = one.dea.instances() as [Instance, Instance];
    look = measure;
    await until(() => low.state === "EVACUATING");
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(high.state).toBe("RUNNING");
    await low.stop();
    await until(() => high.state === "EVACUATING");
  });
});
