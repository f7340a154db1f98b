import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { createDea, type Dea, MiB, type StartSpec } from "../../src/index.ts";
import { jumpingClock } from "../fixtures/clocks.ts";
import { temporaryFolder, writeDroplet } from "../fixtures/droplet.ts";
import { until } from "../fixtures/until.ts";

vi.setConfig({ testTimeout: 120_000 });

const hour = 3_600_000;
const jumps = [["forward by a day", 24 * hour], ["back by a day", -24 * hour]] as const;
/** Listens a while after its start; takes a while to end. */
const slow = `setTimeout(() => require("node:http").createServer((q, s) => s.end("ok")).listen(process.env.PORT), 700); process.on("SIGTERM", () => setTimeout(() => process.exit(0), 300));`;

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let droplet: string;
let counter = 0;
beforeAll(async () => {
  folder = await temporaryFolder();
  droplet = await writeDroplet(join(folder.path, "slow.tgz"), { "server.js": slow }, "exec node server.js");
});
afterAll(() => folder[Symbol.asyncDispose]());

const spec = (change: Partial<StartSpec> = {}): StartSpec => ({ droplet, memoryBytes: 256 * MiB, graceMs: 5_000, ...change });

describe.each(jumps)("faults: the clock is set %s", (_name, ms) => {
  const clock = jumpingClock();
  let dea: Dea;
  beforeAll(async () => {
    dea = await createDea({ dataDir: join(folder.path, `dea${counter++}`), clock, samplingMs: 100, memoryBytes: 8_192 * MiB });
  });
  afterAll(() => dea.close());

  test("a start under way becomes ready, keeps running, and its numbers are none below zero", async () => {
    const instance = await dea.start(spec({ healthCheck: { timeoutMs: 30_000 } }));
    await until(() => instance.state === "STARTING");
    clock.jump(ms);
    await instance.ready;
    clock.jump(ms);
    const { uptimeMs, cpu } = await instance.stats();
    expect(uptimeMs).toBeGreaterThanOrEqual(0);
    expect(cpu).toBeGreaterThanOrEqual(0);
    expect(instance.state).toBe("RUNNING");
    const exit = await instance.stop();
    expect(exit).toMatchObject({ reason: "stopped", status: 0 });
    expect(exit.uptimeMs).toBeGreaterThanOrEqual(0);
  });

  test("the grace of a stop is neither cut short nor drawn out", async () => {
    const instance = await dea.start(spec());
    await instance.ready;
    const before = performance.now();
    const stopped = instance.stop();
    clock.jump(ms);
    // It takes 300 ms to end well, and gets them.
    expect((await stopped).status).toBe(0);
    expect(performance.now() - before).toBeLessThan(30_000);
    const stubborn = await dea.start(spec({ command: "trap '' TERM; while :; do sleep 1; done", healthCheck: { type: "process" }, graceMs: 300 }));
    await stubborn.ready;
    const killed = stubborn.stop();
    clock.jump(ms);
    await killed;
    expect(stubborn.state).toBe("STOPPED");
  });

  test("who never comes up is ended after its time", async () => {
    const instance = await dea.start(spec({ command: "exec sleep 1000", healthCheck: { timeoutMs: 1_000 } }));
    await until(() => instance.state === "STARTING");
    clock.jump(ms);
    expect((await instance.exited).reason).toBe("port-timeout");
  });

  test("an evacuation ends at its time", async () => {
    const instance = await dea.start(spec({ command: "exec sleep 1000", healthCheck: { type: "process" } }));
    await instance.ready;
    const evacuated = dea.evacuate({ timeoutMs: 500 });
    clock.jump(ms);
    expect((await evacuated).left).toEqual([instance]);
  });
});
