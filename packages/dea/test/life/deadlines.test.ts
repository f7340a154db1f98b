import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createDea, type DeaOptions, type Instance, MiB, type StartSpec } from "../../src/index.ts";
import { deadlinesOf, phases } from "../../src/instance/phases.ts";
import { temporaryFolder, writeDroplet, writeTar } from "../fixtures/droplet.ts";
import { type Faults, faultyBackend, forever } from "../fixtures/faulty-backend.ts";
import { processesOf } from "../fixtures/processes.ts";
import { until } from "../fixtures/until.ts";

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let empty: string;
let many: string;
let server: Server;
beforeAll(async () => {
  folder = await temporaryFolder();
  empty = await writeDroplet(join(folder.path, "empty.tgz"), { "a-file": "" });
  many = await writeTar(join(folder.path, "many.tgz"), Array.from({ length: 20_000 }, (_, at) => ({ name: `./app/${at}`, body: "x" })));
  // Speaks now and then, so that it is not silent, and never comes to an end.
  server = createServer((_request, response) => {
    response.writeHead(200);
    const timer = setInterval(() => response.write("x"), 50);
    response.on("close", () => clearInterval(timer));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});
afterAll(async () => {
  server.closeAllConnections();
  server.close();
  await folder[Symbol.asyncDispose]();
});

const open = (faults: Faults, options: DeaOptions = {}) => createDea({ backend: faultyBackend(faults), memoryBytes: 4096 * MiB, diskBytes: 64 * 1024 * MiB, ...options });
const spec = (change: Partial<StartSpec> = {}): StartSpec => ({ droplet: empty, command: "exec sleep 1000", memoryBytes: 64 * MiB, healthCheck: { type: "process" }, graceMs: 200, ...change });
const url = (): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}/droplet.tgz`;

describe("dea §20.5 a hard deadline on every phase", () => {
  test("the table: every phase has a limit, and something happens when it is over", () => {
    expect(Object.keys(phases)).toEqual(["queue", "create", "download", "unpack", "run", "health", "term", "kill", "destroy"]);
    for (const { limitMs, then } of Object.values(phases)) {
      expect(limitMs).toBeGreaterThan(0);
      expect(["crash", "force", "report"]).toContain(then);
    }
    // dea_ng: default_health_check_timeout, and the grace of the container server.
    expect([phases.health.limitMs, phases.term.limitMs]).toEqual([60_000, 10_000]);
  });

  test.each([
    ["no such phase", { lunch: 1 }], ["no time at all", { create: 0 }], ["not a number", { run: Number.NaN }], ["for ever", { kill: Number.POSITIVE_INFINITY }], ["before it began", { term: -1 }],
  ])("refuses a table with %s", (_name, changes) => {
    expect(() => deadlinesOf(changes as Record<string, number>)).toThrow(expect.objectContaining({ code: "DEA_INVALID_SPEC" }) as Error);
  });

  test.each([
    ["create", { create: forever }, () => spec(), "create-timeout"],
    ["download", {}, () => spec({ droplet: url() }), "download-timeout"],
    ["unpack", {}, () => spec({ droplet: many }), "unpack-timeout"],
    ["run", { run: forever }, () => spec(), "run-timeout"],
  ] as [string, Faults, () => StartSpec, string][])("start: %s", async (phase, faults, given, reason) => {
    await using dea = await open(faults, { deadlinesMs: { create: 60_000, download: 60_000, unpack: 60_000, run: 60_000, kill: 5_000, destroy: 1_000, [phase]: phase === "unpack" ? 5 : 300 } });
    const instance = await dea.start(given());
    await expect(instance.ready).rejects.toMatchObject({ code: "DEA_TIMEOUT", phase, retryable: true });
    const exit = await instance.exited;
    expect(exit).toMatchObject({ reason, kind: "start-timeout", status: -1 });
    expect(exit.description).toMatch(new RegExp(`^failed to start: ${phase} took longer than [0-9.]+ s$`));
    expect(instance.state).toBe("CRASHED");
  });

  test("start: queue", async () => {
    await using dea = await open({ create: forever }, { concurrentStarts: 1, deadlinesMs: { queue: 300, create: 60_000, kill: 200, destroy: 200 } });
    const first = await dea.start(spec());
    const second = await dea.start(spec());
    await expect(second.ready).rejects.toMatchObject({ code: "DEA_TIMEOUT", phase: "queue" });
    expect(await second.exited).toMatchObject({ reason: "queue-timeout", kind: "start-timeout" });
    expect(first.state).toBe("STARTING");
    // A stop waits for no step of the start that does not end.
    expect(await first.stop()).toMatchObject({ reason: "stopped", left: "a step of its start does not end" });
  });

  test("start: health; the table's number is the default of those who name none", async () => {
    await using dea = await open({}, { deadlinesMs: { health: 400 } });
    const instance = await dea.start(spec({ healthCheck: { type: "port" } }));
    expect(instance.spec.healthCheck.timeoutMs).toBe(400);
    expect(await instance.exited).toMatchObject({ reason: "port-timeout", kind: "health-timeout" });
  });

  test.each([
    ["the instance's own", { term: 60_000 }, { web: 60_000 }, 300],
    ["that of its process type", { term: 60_000 }, { web: 300, worker: 60_000 }, undefined],
    ["the table's", { term: 300 }, { worker: 60_000 }, undefined],
  ])("stop: term; the grace is %s", async (_name, deadlinesMs, graceMsByType, graceMs) => {
    await using dea = await open({}, { deadlinesMs, graceMsByType });
    const { graceMs: _none, ...rest } = spec({ command: "trap '' TERM; echo up; while :; do sleep 0.05; done" });
    const instance = await dea.start({ ...rest, ...(graceMs === undefined ? {} : { graceMs }) });
    expect(instance.spec.graceMs).toBe(300);
    for await (const { text } of instance.logs()) if (text === "up") break;
    const before = performance.now();
    expect(await instance.stop()).toMatchObject({ reason: "stopped" });
    expect(performance.now() - before).toBeGreaterThanOrEqual(290);
  });

  test("stop: kill and destroy; what cannot be ended is told, counts on, and is tried again until it is gone", async () => {
    let stuck = true;
    const survives = async (): Promise<void> => {
      if (stuck) throw new Error("processes survive KILL: 4711");
    };
    await using dea = await open({ stop: survives, destroy: survives }, { deadlinesMs: { kill: 300, destroy: 300 } });
    const instance = await dea.start(spec());
    await instance.ready;
    const exit = await instance.stop();
    expect(exit).toMatchObject({ reason: "stopped", left: "processes survive KILL: 4711" });
    expect(instance.state).toBe("STOPPED");
    expect(dea.capacity().memory.reservedBytes).toBe(64 * MiB);
    stuck = false;
    await until(() => dea.capacity().memory.reservedBytes === 0, 20_000);
  });

  test.each([
    ["kill", { stop: forever }, { kill: 300, destroy: 30_000 }],
    ["destroy", { destroy: forever }, { kill: 30_000, destroy: 300 }],
    ["both", { stop: forever, destroy: forever }, { kill: 300, destroy: 300 }],
  ] as [string, Faults, NonNullable<DeaOptions["deadlinesMs"]>][])("stop: a %s that never ends holds up neither the stop nor the executor's end; the next one ends what is left", async (name, faults, deadlinesMs) => {
    const dataDir = join(folder.path, `never-${name}`);
    const dea = await open(faults, { deadlinesMs, dataDir });
    const instances: Instance[] = [await dea.start(spec()), await dea.start(spec())];
    await Promise.all(instances.map(({ ready }) => ready));
    const [first] = instances;
    expect(await first?.stop()).toMatchObject({ reason: "stopped" });
    await dea.close();
    expect(instances.map(({ state }) => state)).toEqual(["STOPPED", "STOPPED"]);
    await using _next = await open({}, { dataDir });
    await until(async () => (await Promise.all(instances.map(({ id }) => processesOf(id)))).flat().length === 0);
  });

  test("a container that comes after its deadline is put away too", async () => {
    let late: (() => void) | undefined;
    await using dea = await open({ create: () => new Promise((resolve) => (late = resolve)) }, { deadlinesMs: { create: 200, destroy: 20_000 } });
    const instance = await dea.start(spec());
    await expect(instance.ready).rejects.toMatchObject({ code: "DEA_TIMEOUT", phase: "create" });
    expect(instance.state).toBe("CRASHED");
    expect(dea.capacity().instances.present).toBe(1);
    late?.();
    await instance.exited;
    expect(dea.capacity().instances.present).toBe(0);
  });
});
