import { join } from "node:path";
import { type Body, createBus, memoryTransport } from "@opencf/bus";
import { deaAdvertise, deaHeartbeat, deaShutdown, deaStartInstance, deaStop, dropletExited, routerRegister, routerUnregister } from "@opencf/bus/messages";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { joinBus, type Membership } from "../src/bus-link.ts";
import { createDea, type Dea, type DeaOptions, type Instance, MiB, next, type StartSpec, states } from "../src/index.ts";
import { temporaryFolder, webServer, writeDroplet } from "./fixtures/droplet.ts";
import { until } from "./fixtures/until.ts";

vi.setConfig({ testTimeout: 120_000 });

const heard = { deaAdvertise, deaHeartbeat, deaShutdown, dropletExited, routerRegister, routerUnregister };
type Heard = { [Name in keyof typeof heard]: Body<(typeof heard)[Name]>[] };

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let droplet: string;
let counter = 0;
beforeAll(async () => {
  folder = await temporaryFolder();
  droplet = await writeDroplet(join(folder.path, "app.tgz"), { "server.js": webServer }, "exec node server.js");
});
afterAll(() => folder[Symbol.asyncDispose]());

/** An executor with one web app that runs, on a bus of its own, and what it says from then on. */
async function serving(options: DeaOptions = {}) {
  const bus = await createBus({ transport: memoryTransport() });
  const said = Object.fromEntries(Object.keys(heard).map((name) => [name, []])) as unknown as Heard;
  for (const [name, message] of Object.entries(heard)) bus.subscribe(message, ({ body }) => void (said[name as keyof Heard] as unknown[]).push(body));
  const errors: string[] = [];
  const note = (event: string, data?: object): void => void errors.push(`${event} ${JSON.stringify(data)}`);
  const dataDir = join(folder.path, `dea${counter++}`);
  const dea = await createDea({ dataDir, memoryBytes: 2_048 * MiB, samplingMs: 200, log: { info() {}, warn: note, error: note }, ...options });
  const member = await joinBus(dea, bus, { heartbeatIntervalMs: 200, advertiseIntervalMs: 200, registerIntervalMs: 200 });
  const begin = async (spec: Partial<StartSpec> = {}): Promise<Instance> => await dea.start({ droplet, memoryBytes: 128 * MiB, graceMs: 500, appId: "shop", uris: ["shop.example.com"], ...spec });
  const app = await begin();
  await app.ready;
  await until(() => said.routerRegister.length > 0);
  for (const list of Object.values(said)) (list as unknown[]).length = 0;
  return {
    bus, said, dea, member, app, begin, errors, dataDir,
    async [Symbol.asyncDispose]() {
      await member.leave({ instances: "stop" });
      await dea.close({ instances: "stop" });
      await bus[Symbol.asyncDispose]();
    },
  };
}
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

interface Row {
  what: string;
  act(member: Membership, dea: Dea): Promise<unknown>;
  /** Whether the app runs on; null: it ends. */
  state: string | null;
  beats: boolean;
  routesKept: boolean;
  exited: string[];
}

describe("dea §12: shutdown, no more work, evacuation", () => {
  const rows: Row[] = [
    { what: "shutdown (TERM, INT, QUIT)", act: (member) => member.leave({ instances: "stop" }), state: null, beats: false, routesKept: false, exited: ["DEA_SHUTDOWN"] },
    { what: "leaving apps to the next executor", act: (member) => member.leave({ instances: "keep" }), state: "RUNNING", beats: false, routesKept: true, exited: [] },
    { what: "no more work (USR1)", act: async (member) => member.rest(), state: "RUNNING", beats: true, routesKept: true, exited: [] },
    { what: "evacuation (USR2)", act: async (_member, dea) => void dea.evacuate({ timeoutMs: 60_000 }), state: "EVACUATING", beats: true, routesKept: true, exited: [] },
  ];
  test.each(rows)("$what", async ({ act, state, beats, routesKept, exited }) => {
    await using one = await serving();
    const { said, app, bus, dea, member } = one;
    await act(member, dea);
    // Exactly one goodbye, with what is here; no advertisement after it, and no work taken.
    await until(() => said.deaShutdown.length > 0);
    await until(() => (state === null ? app.exit !== undefined : app.state === state));
    said.deaAdvertise.length = 0;
    said.deaHeartbeat.length = 0;
    await pause(700);
    expect(said.deaShutdown).toEqual([{ id: member.id, ip: "127.0.0.1", version: expect.any(String) as string, app_id_to_count: { shop: 1 } }]);
    expect(said.deaAdvertise).toEqual([]);
    expect(said.deaHeartbeat.length > 0).toBe(beats);
    if (beats) expect(said.deaHeartbeat[0]?.droplets[0]?.state).toBe(state);
    expect(said.routerUnregister.length === 0).toBe(routesKept);
    expect(said.dropletExited.map(({ reason }) => reason)).toEqual(exited);
    const command = { droplet: "x", version: "1", index: 0, name: "x", uris: [], sha1: "0".repeat(40), executableUri: "http://127.0.0.1:1/", limits: { mem: 1, disk: 1, fds: 1 }, env: [] };
    const reply = await bus.request(deaStartInstance, command, { params: { id: member.id }, timeoutMs: 2_000 }).catch((error: { code: string }) => error.code);
    // Who has left hears nothing; who is still there says no.
    if (beats) expect(reply).toMatchObject({ accepted: false, code: "DEA_CLOSED" });
    else expect(reply).toMatch(/BUS_(NO_RESPONDERS|TIMEOUT)/);
    if (state !== null) expect(await (await fetch(`http://127.0.0.1:${app.address.port}/`)).text()).toContain("hello");
  });

  test.each(states)("evacuation, the state %s", (state) => {
    const expected: Record<string, string | undefined> = { BORN: "EVACUATING", STARTING: "EVACUATING", RUNNING: "EVACUATING", EVACUATING: undefined, STOPPING: undefined, STOPPED: undefined, CRASHED: undefined };
    expect(next(state, "evacuate")).toBe(expected[state]);
  });

  test("evacuation ends when all that was here is gone: it was stopped because it runs elsewhere, and that is no loss", async () => {
    await using one = await serving();
    const crashed = await one.begin({ appId: "crashes", command: "exit 3", healthCheck: { type: "process" }, uris: [] });
    await crashed.exited;
    one.said.dropletExited.length = 0;
    const evacuated = one.dea.evacuate({ timeoutMs: 60_000 });
    await until(() => one.app.state === "EVACUATING");
    one.bus.publish(deaStop, { droplet: one.app.spec.processGuid, version: "1", instances: [one.app.id] });
    expect((await evacuated).left).toEqual([]);
    expect(one.said.dropletExited.map(({ reason }) => reason)).toEqual(["STOPPED"]);
    expect(one.said.routerUnregister.flatMap(({ uris }) => uris)).toEqual(["shop.example.com"]);
  });

  test("evacuation: who comes to life late leaves too; at the deadline it says what it leaves", async () => {
    await using one = await serving();
    const late = await one.begin({ appId: "late", command: "sleep 0.5; exec node server.js" });
    const { left } = await one.dea.evacuate({ timeoutMs: 1_500 });
    expect(left.map(({ id }) => id).sort()).toEqual([one.app.id, late.id].sort());
    expect(left.map(({ state }) => state)).toEqual(["EVACUATING", "EVACUATING"]);
    const told = one.errors.find((line) => line.startsWith("dea.evacuate.left")) ?? "";
    for (const { id } of left) expect(told).toContain(id);
    // A second one has nothing new to do, and ends too.
    expect((await one.dea.evacuate({ timeoutMs: 1 })).left).toHaveLength(2);
  });

  test("evacuation: an abort ends the waiting", async () => {
    await using one = await serving();
    const impatient = new AbortController();
    const evacuated = one.dea.evacuate({ signal: impatient.signal });
    impatient.abort();
    expect((await evacuated).left).toEqual([one.app]);
  });

  test("evacuation: who ends by itself meanwhile is noticed", async () => {
    await using one = await serving();
    const ends = await one.begin({ appId: "ends", command: "sleep 1; exit 4", healthCheck: { type: "process" }, uris: [] });
    void one.dea.evacuate({ timeoutMs: 60_000 });
    expect((await ends.exited).reason).toBe("exit:4");
    await until(() => one.said.dropletExited.some(({ droplet, reason }) => droplet === ends.spec.processGuid && reason === "CRASHED"));
  });

  test("shutdown stops all at once, not one after the other", async () => {
    const one = await serving();
    const stubborn = await Promise.all(Array.from({ length: 6 }, async (_, index) => await one.begin({ appId: `s${index}`, command: "trap '' TERM; while :; do sleep 1; done", healthCheck: { type: "process" }, graceMs: 1_500, uris: [] })));
    await Promise.all(stubborn.map(({ ready }) => ready));
    const before = performance.now();
    await one[Symbol.asyncDispose]();
    expect(performance.now() - before).toBeLessThan(6 * 1_500);
    expect(stubborn.map(({ state }) => state)).toEqual(Array.from({ length: 6 }, () => "STOPPED"));
  });
});
