import { join } from "node:path";
import { deaFindDroplet } from "@opencf/bus/messages";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createDea, type Instance, type InstanceChange, MiB } from "../../src/index.ts";
import { createSemaphore } from "../../src/semaphore.ts";
import { standInLine } from "../../src/instance/wait-in-line.ts";
import { temporaryFolder, writeDroplet } from "../fixtures/droplet.ts";
import { faultyBackend } from "../fixtures/faulty-backend.ts";
import { world } from "../fixtures/member.ts";
import { until } from "../fixtures/until.ts";

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let droplet: string;
beforeAll(async () => {
  folder = await temporaryFolder();
  droplet = await writeDroplet(join(folder.path, "d.tgz"), { x: "" });
});
afterAll(() => folder[Symbol.asyncDispose]());

/** A backend that makes containers when it is told to. */
function gated() {
  const waiting: (() => void)[] = [];
  let open = false;
  const backend = faultyBackend({ create: () => (open ? Promise.resolve() : new Promise((resolve) => waiting.push(resolve))) });
  return { backend, waiting, next: () => waiting.shift()?.(), all: () => { open = true; waiting.splice(0).forEach((go) => go()); } };
}

describe("dea §20.7 few start at the same time, the others know their place", () => {
  test("position in state and numbers, in the log, and moving up; in the order in which they came", async () => {
    const gate = gated();
    await using dea = await createDea({ backend: gate.backend, memoryBytes: 4096 * MiB, diskBytes: 64 * 1024 * MiB, concurrentStarts: 2 });
    const lines = new Map<Instance, string[]>();
    const begun: Instance[] = [];
    using _listening = dea.on((change: InstanceChange) => {
      if (change.type === "log" && change.line.stream === "platform") lines.set(change.instance, [...(lines.get(change.instance) ?? []), change.line.text]);
      if (change.type === "state" && change.to === "STARTING") begun.push(change.instance);
    });
    const all: Instance[] = [];
    for (let at = 0; at < 5; at++) all.push(await dea.start({ droplet, command: "exec sleep 1000", memoryBytes: 64 * MiB, diskBytes: 64 * MiB, healthCheck: { type: "process" }, graceMs: 100 }));
    const positions = (): (number | undefined)[] => all.map(({ queuePosition }) => queuePosition);
    await until(() => gate.waiting.length === 2);
    expect(positions()).toEqual([undefined, undefined, 1, 2, 3]);
    expect(all.map(({ state }) => state)).toEqual(["STARTING", "STARTING", "BORN", "BORN", "BORN"]);
    expect(await all[4]?.stats()).toMatchObject({ queuePosition: 3, uptimeMs: 0, memoryBytes: 0, memoryQuotaBytes: 64 * MiB, processes: 0 });
    expect(lines.get(all[4] as Instance)?.at(-1)).toBe("Waiting to be started: position 3 in the queue of this executor");
    gate.next();
    await until(() => all[2]?.state === "STARTING");
    expect(positions()).toEqual([undefined, undefined, undefined, 1, 2]);
    // One that gives up lets the others move up.
    await all[3]?.stop();
    expect(positions()).toEqual([undefined, undefined, undefined, undefined, 1]);
    gate.all();
    for (const at of [0, 1, 2, 4]) await all[at]?.ready;
    expect(begun).toEqual([all[0], all[1], all[2], all[4]]);
    expect((await all[4]?.stats())?.queuePosition).toBeUndefined();
    expect(lines.get(all[4] as Instance)?.some((text) => /^Its turn to be started came after [0-9.]+ s$/.test(text))).toBe(true);
    expect(lines.get(all[0] as Instance)?.some((text) => /Waiting/.test(text))).toBe(false);
  });

  test("over the bus", async () => {
    await using here = await world();
    const gate = gated();
    await using one = await here.member({ backend: gate.backend, concurrentStarts: 1 });
    const ask = await here.message({ x: "" }, "exec sleep 1000", { uris: [], droplet: "app" });
    await one.start(ask);
    await one.start({ ...ask, index: 1 });
    const found = await one.bus.gather(deaFindDroplet, { droplet: "app", states: ["BORN"] }, { waitMs: 5_000, max: 1 });
    expect(found).toMatchObject([{ index: 1, state: "BORN", queue_position: 1 }]);
    gate.all();
    await until(() => one.dea.instances().every(({ state }) => state === "RUNNING"));
  });

  test("what is said is bounded: at the beginning, then at most every five seconds", async () => {
    let now = 0;
    const clock = { now: () => now, elapsed: () => now, after: () => ({ [Symbol.dispose]() {} }) };
    const gate = createSemaphore(1);
    const never = new AbortController().signal;
    const places = [await gate.enter(never)];
    for (let at = 0; at < 100; at++) void gate.enter(never).then((place) => places.push(place));
    const said: string[] = [];
    const line = standInLine(gate, clock, (text) => void said.push(text));
    const turn = line.wait(never);
    for (let at = 0; at < 100; at++) {
      now += 100;
      places.shift()?.[Symbol.dispose]();
      await Promise.resolve();
      await Promise.resolve();
    }
    places.shift()?.[Symbol.dispose]();
    await turn;
    expect(said).toEqual([
      "Waiting to be started: position 101 in the queue of this executor",
      "Waiting to be started: position 51 in the queue of this executor",
      "Waiting to be started: position 1 in the queue of this executor",
      "Its turn to be started came after 10.0 s",
    ]);
    expect(line.position).toBeUndefined();
  });
});
