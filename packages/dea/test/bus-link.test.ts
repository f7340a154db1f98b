import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Body, type Bus, createBus, memoryTransport } from "@opencf/bus";
import {
  deaFindDroplet, deaLocate, deaStartInstance, deaStatus, deaStop, deaUpdate, healthStart, routerStart,
} from "@opencf/bus/messages";
import { afterAll, beforeAll, expect, test } from "vitest";
import { joinBus, type JoinOptions } from "../src/bus-link.ts";
import { createDea, type DeaOptions, enforcedLimits, MiB } from "../src/index.ts";
import { webServer } from "./fixtures/droplet.ts";
import { type StartMessage, world } from "./fixtures/member.ts";
import { until } from "./fixtures/until.ts";

let here: Awaited<ReturnType<typeof world>>;
beforeAll(async () => { here = await world(); });
afterAll(() => here[Symbol.asyncDispose]());

const member = (dea: DeaOptions = {}, options: JoinOptions = {}) =>
  here.member({ memoryBytes: 1024 * MiB, diskBytes: 8192 * MiB, ...dea }, { zone: "z7", stacks: ["cflinuxfs4"], ...options });
const message = (files: Record<string, string>, command: string | undefined, change: Partial<StartMessage> = {}): Promise<StartMessage> =>
  here.message(files, command, { env: ["GREETING=a=b"], health_check_timeout: 10, ...change });
const web = (change: Partial<StartMessage> = {}): Promise<StartMessage> => message({ "server.js": webServer }, "exec node server.js", change);
const sleeper = (change: Partial<StartMessage> = {}): Promise<StartMessage> => message({ x: "" }, "exec sleep 1000", { uris: [], ...change });
const running = async ({ dea }: { dea: { instances(): { state: string }[] } }, count = 1): Promise<void> =>
  void (await until(() => dea.instances().filter(({ state }) => state === "RUNNING").length === count));

test("joins: announces itself, advertises, beats", async () => {
  await using one = await member();
  await until(() => one.said.deaHeartbeat.length > 0);
  expect(one.said.deaStart).toEqual([{ id: one.dea.id, ip: "127.0.0.1", version: expect.any(String) }]);
  expect(one.said.deaAdvertise[0]).toEqual({
    id: one.dea.id, stacks: ["cflinuxfs4"], available_memory: 1024, available_disk: 8192, app_id_to_count: {}, placement_properties: { zone: "z7" },
    total_memory: 1024, total_disk: 8192, available_instances: 1000, counted_commands: [], enforces: enforcedLimits(one.dea.backend.capabilities),
  });
  expect(one.said.deaHeartbeat[0]).toEqual({ dea: one.dea.id, droplets: [] });
});

test("one app from start to stop: ack, advertisement, heartbeat, routes, logs, end", async () => {
  await using one = await member();
  const ask = await web({
    process_guid: "p", process_type: "web", vcap_application: { application_id: "app-guid", space_name: "dev" }, cc_partition: "default",
    log_source: { source_id: "app-guid", tags: { organization_name: "acme" } },
  });
  expect(await one.start(ask)).toEqual({ accepted: true });
  await until(() => one.said.deaAdvertise.some(({ available_memory }) => available_memory === 768));
  await running(one);
  const [instance] = one.dea.instances();
  await until(() => one.said.routerRegister.length > 0);
  expect(one.said.routerRegister[0]).toMatchObject({
    ...instance!.address, uris: ["shop.example.com"], app: "app-guid", dea: one.dea.id, private_instance_id: instance!.privateId, private_instance_index: "0",
    tags: expect.objectContaining({ component: "dea", organization_name: "acme" }) as object,
  });
  const beat = await until(() => one.said.deaHeartbeat.find(({ droplets }) => droplets[0]?.state === "RUNNING"));
  expect(beat.droplets).toEqual([{
    droplet: ask.droplet, version: "v1", instance: instance!.id, index: 0, state: "RUNNING", state_timestamp: instance!.stateSince / 1000, cc_partition: "default", ...instance!.address,
  }]);
  expect(await (await fetch(`http://127.0.0.1:${instance!.address.port}/seen`)).text()).toBe("hello a=b");
  const lines = () => one.said.logEnvelopes.flatMap(({ envelopes }) => envelopes);
  const line = await until(() => lines().find(({ payload }) => payload === "GET /seen"));
  expect(line).toMatchObject({ source_id: "app-guid", instance_id: "0", type: "OUT", tags: { source_type: "APP/PROC/WEB", organization_name: "acme" } });
  expect(lines().find(({ payload }) => payload === "Instance became healthy")?.tags["source_type"]).toBe("CELL");

  one.bus.publish(deaStop, { droplet: ask.droplet });
  const exited = await until(() => one.said.dropletExited[0]);
  expect(exited).toMatchObject({ droplet: ask.droplet, version: "v1", instance: instance!.id, index: 0, reason: "STOPPED" });
  expect(one.said.routerUnregister).toEqual([one.said.routerRegister[0]]);
  await until(() => one.said.deaHeartbeat.at(-1)?.droplets.length === 0 || one.dea.instances().length === 0);
  await until(() => one.said.deaAdvertise.at(-1)?.available_memory === 1024);
}, 30_000);

test("a crash is reported with its reason and last lines, and stays in the heartbeat", async () => {
  await using one = await member();
  await one.start(await message({ x: "" }, "echo dying; exit 7", { uris: [] }));
  const exited = await until(() => one.said.dropletExited[0]);
  expect(exited).toMatchObject({ reason: "CRASHED", exit_status: 7, exit_description: "app instance exited (exit:7)", log_tail: ["dying"], crash_timestamp: expect.any(Number) });
  const beat = await until(() => one.said.deaHeartbeat.find(({ droplets }) => droplets[0]?.state === "CRASHED"));
  expect(beat.droplets[0]?.details).toBe("app instance exited");
  // A stop of a crashed one forgets it.
  one.bus.publish(deaStop, { droplet: exited.droplet });
  await until(() => one.dea.instances().length === 0);
});

test.each([
  ["no room", { limits: { mem: 2048, disk: 1, fds: 1 } }, /^Not enough memory resource available\.$/, "DEA_NO_CAPACITY"],
  ["no disk", { limits: { mem: 1, disk: 100_000, fds: 1 } }, /^Not enough disk resource available\.$/, "DEA_NO_CAPACITY"],
  ["unknown stack", { stack: "windows95" }, /stack "windows95" does not exist/, "DEA_INVALID_SPEC"],
  ["unknown runtime", { runtime: "node@18" }, /runtime "node@18" does not stand here/, "DEA_INVALID_SPEC"],
  ["no droplet", { executableUri: null }, /no droplet/, "DEA_INVALID_SPEC"],
  ["no digest", { sha1: null }, /no digest/, "DEA_INVALID_SPEC"],
  ["a digest that is none", { sha1: "abc" }, /sha1/, "DEA_INVALID_SPEC"],
] as [string, Partial<StartMessage>, RegExp, string][])("refuses with the reason: %s", async (_name, change, reason, code) => {
  await using one = await member({}, { runtimes: [{ name: "node", version: "20.19.2" }] });
  expect(await one.start(await sleeper(change))).toEqual({ accepted: false, reason: expect.stringMatching(reason), code });
  expect(one.dea.instances()).toEqual([]);
  // A refusal is no crash of the app.
  expect(one.said.dropletExited).toEqual([]);
});

test("runtimes and the isolation segment are advertised; routes belong to the segment; a runtime that is there may be asked for", async () => {
  const runtimes = [{ name: "node", version: "20.19.2", found: "PATH" }, { name: "node", version: "22.1.0" }, { name: "java" }];
  await using one = await member({}, { isolationSegment: "gold", runtimes });
  expect(await one.start(await web({ runtime: "node@22" }))).toEqual({ accepted: true });
  await until(() => one.said.routerRegister.length > 0);
  expect(one.said.deaAdvertise[0]).toMatchObject({ runtimes: ["node", "java"], runtime_details: runtimes, placement_properties: { zone: "z7", isolation_segment: "gold" } });
  expect(one.said.routerRegister[0]).toMatchObject({ isolation_segment: "gold" });
});

test("an advertisement that counts an instance names the command that started it", async () => {
  await using one = await member({}, { advertiseIntervalMs: 1e6 });
  const command = randomUUID();
  await one.start(await sleeper({ command_id: command }));
  await running(one);
  await until(() => one.said.deaAdvertise.at(-1)?.counted_commands?.includes(command));
  for (const { available_memory, counted_commands } of one.said.deaAdvertise) expect(available_memory).toBe(counted_commands?.includes(command) ? 768 : 1024);
});

test("a repeated command starts nothing twice, not even at the same moment, nor after a restart", async () => {
  await using one = await member({ onClose: "keep" });
  const ask = await sleeper({ command_id: randomUUID() });
  expect(await Promise.all([one.start(ask), one.start(ask)])).toEqual([{ accepted: true }, { accepted: true }]);
  expect(await one.start(ask)).toEqual({ accepted: true });
  await running(one);
  expect(one.dea.instances()).toHaveLength(1);
  await one.membership.leave();
  await one.dea.close();
  await using again = await member({ dataDir: one.dataDir });
  expect(again.dea.id).toBe(one.dea.id);
  expect(again.dea.resumed.adopted).toHaveLength(1);
  expect(await again.start(ask)).toEqual({ accepted: true });
  expect(again.dea.instances()).toHaveLength(1);
});

test.each([
  ["by app", {}, [0, 1, 2]],
  ["by index", { indices: [1, 9] }, [1]],
  ["by state", { states: ["running"] }, [0, 1, 2]],
  ["by another state", { states: ["CRASHED"] }, []],
  ["by a state that does not exist", { states: ["FLYING"] }, []],
  ["by version", { version: "v2" }, [2]],
  ["filters are ANDed", { version: "v1", indices: [1, 2] }, [1]],
  ["another app", { droplet: "other" }, []],
  ["empty lists filter nothing", { indices: [], instances: [], states: [] }, [0, 1, 2]],
] as [string, Partial<Body<typeof deaStop>>, number[]][])("stop %s", async (_name, filter, stopped) => {
  await using one = await member();
  for (const [index, version] of ["v1", "v1", "v2"].entries()) await one.start(await sleeper({ droplet: "app", index, version }));
  await running(one, 3);
  one.bus.publish(deaStop, { droplet: "app", ...filter });
  await until(() => one.said.dropletExited.length >= stopped.length);
  const left = one.dea.instances().filter(({ state }) => state === "RUNNING");
  expect(left.map(({ spec }) => spec.index)).toEqual([0, 1, 2].filter((index) => !stopped.includes(index)));
  expect(one.said.dropletExited.map(({ index }) => index).sort()).toEqual(stopped);
  if (left[0]) {
    one.bus.publish(deaStop, { droplet: "app", ...{ instance_ids: [left[0].id] } }); // as some senders call it
    await until(() => one.said.dropletExited.some(({ instance }) => instance === left[0]?.id));
  }
  // Had the filter let more through, they would have ended before the last one, which was asked later.
  expect(one.said.dropletExited.map(({ index }) => index).sort()).toEqual([...stopped, ...left.slice(0, 1).map(({ spec }) => spec.index)].sort());
});

test("find.droplet answers once per instance, with numbers when asked", async () => {
  await using one = await member();
  await one.start(await web({ droplet: "app" }));
  await one.start(await sleeper({ droplet: "app", index: 1 }));
  await running(one, 2);
  const plain = await one.bus.gather(deaFindDroplet, { droplet: "app" }, { waitMs: 2_000, max: 2 });
  expect(plain.map(({ index, state, stats }) => [index, state, stats]).sort()).toEqual([[0, "RUNNING", undefined], [1, "RUNNING", undefined]]);
  const found = await until(async () => {
    const [answer] = await one.bus.gather(deaFindDroplet, { droplet: "app", include_stats: true, indices: [0] }, { waitMs: 2_000, max: 1 });
    // The shell before the app has less.
    return (answer?.stats?.usage.mem ?? 0) > MiB ? answer : undefined;
  });
  expect(found?.stats).toMatchObject({ name: "shop", uris: ["shop.example.com"], host: "127.0.0.1", mem_quota: 256 * MiB, disk_quota: 512 * MiB, fds_quota: 1024 });
  expect(found?.stats?.usage.mem).toBeGreaterThan(MiB);
  expect(await one.bus.gather(deaFindDroplet, { droplet: "nobody" }, { waitMs: 200 })).toEqual([]);
});

test("dea.status counts what is promised and what is used", async () => {
  await using one = await member();
  await one.start(await sleeper());
  await running(one);
  const status = await until(async () => {
    const answer = await one.bus.request(deaStatus, {});
    return answer.used_memory > 0 ? answer : undefined;
  });
  expect(status).toMatchObject({ id: one.dea.id, max_memory: 1024, reserved_memory: 256 });
});

test("answers at once when asked: locate, a new health manager, a new router", async () => {
  await using one = await member({}, { heartbeatIntervalMs: 1e6, advertiseIntervalMs: 1e6, registerIntervalMs: 1e6 });
  await one.start(await web());
  await running(one);
  await until(() => one.said.routerRegister.length === 1);
  const before = { advertise: one.said.deaAdvertise.length, beat: one.said.deaHeartbeat.length };
  one.bus.publish(deaLocate, {});
  await until(() => one.said.deaAdvertise.length === before.advertise + 1);
  one.bus.publish(healthStart, {});
  await until(() => one.said.deaHeartbeat.length === before.beat + 1);
  one.bus.publish(routerStart, { id: "r", hosts: [], minimumRegisterIntervalInSeconds: 20, pruneThresholdInSeconds: 120 });
  await until(() => one.said.routerRegister.length === 2);
});

test("says everything again in its intervals", async () => {
  await using one = await member({}, { heartbeatIntervalMs: 40, advertiseIntervalMs: 30, registerIntervalMs: 50 });
  await one.start(await web());
  await running(one);
  await until(() => one.said.routerRegister.length >= 3 && one.said.deaAdvertise.length >= 6 && one.said.deaHeartbeat.length >= 6);
});

test("dea.update: routes come and go, a new generation shows in the heartbeat", async () => {
  await using one = await member();
  await one.start(await web({ droplet: "app", uris: ["a.example.com", "b.example.com"] }));
  await running(one);
  await until(() => one.said.routerRegister.length === 1);
  one.bus.publish(deaUpdate, { droplet: "app", uris: ["b.example.com", "c.example.com"], version: "v2" });
  await until(() => one.said.routerRegister.length === 2);
  expect(one.said.routerUnregister.map(({ uris }) => uris)).toEqual([["a.example.com"]]);
  expect(one.said.routerRegister[1]?.uris).toEqual(["b.example.com", "c.example.com"]);
  await until(() => one.said.deaHeartbeat.at(-1)?.droplets[0]?.version === "v2");
  one.bus.publish(deaUpdate, { droplet: "app", uris: [] });
  await until(() => one.said.routerUnregister.length === 2);
  expect(one.said.routerUnregister[1]?.uris).toEqual(["b.example.com", "c.example.com"]);
  // Nothing is left to withdraw.
  one.bus.publish(deaStop, { droplet: "app" });
  await until(() => one.said.dropletExited.length === 1);
  expect(one.said.routerUnregister).toHaveLength(2);
});

test("leaving stops what runs while the bus still hears it", async () => {
  const one = await member();
  await one.start(await web());
  await running(one);
  await until(() => one.said.routerRegister.length === 1);
  await one.membership[Symbol.asyncDispose]();
  await until(() => one.said.dropletExited.length === 1 && one.said.routerUnregister.length === 1);
  expect(one.said.deaShutdown).toHaveLength(1);
  expect(one.said.dropletExited[0]?.reason).toBe("DEA_SHUTDOWN");
  await one[Symbol.asyncDispose]();
});

test("evacuation: no more work is taken, instances say so and keep their routes", async () => {
  await using one = await member({}, { advertiseIntervalMs: 50 });
  await one.start(await web({ droplet: "app" }));
  await running(one);
  await until(() => one.said.routerRegister.length === 1);
  const evacuated = one.dea.evacuate({ timeoutMs: 10_000 });
  await until(() => one.said.deaHeartbeat.some(({ droplets }) => droplets[0]?.state === "EVACUATING"));
  await until(() => one.said.deaShutdown.length === 1);
  expect((await one.start(await sleeper())).accepted).toBe(false);
  expect(one.said.routerUnregister).toEqual([]);
  one.bus.publish(deaStop, { droplet: "app" });
  expect(await evacuated).toEqual({ left: [] });
});

test("what ended while no executor was there is reported by the next", async () => {
  await using one = await member({ onClose: "keep" });
  await one.start(await message({ x: "" }, "while [ ! -e go ]; do sleep 0.02; done; exit 4", { uris: [] }));
  await running(one);
  const { dataDir } = one;
  const [instance] = one.dea.instances();
  await one.membership.leave({ instances: "keep" });
  await one.dea.close();
  expect(one.said.routerUnregister).toEqual([]);
  await readFile(join(dataDir, "instances", instance!.id, "run", "status")).catch(() => {});
  await import("node:fs/promises").then(({ writeFile }) => writeFile(join(dataDir, "instances", instance!.id, "home", "app", "go"), ""));
  await until(() => readFile(join(dataDir, "instances", instance!.id, "run", "status"), "utf8").catch(() => ""));
  await using two = await member({ dataDir });
  expect(await until(() => two.said.dropletExited[0])).toMatchObject({ instance: instance!.id, reason: "CRASHED", exit_status: 4 });
});

test("a flood of lines is thinned out, said so, and never exceeds a message", async () => {
  await using one = await member();
  await one.start(await message({ x: "" }, "seq 1 200000; echo the end", { uris: [] }));
  await until(() => one.said.dropletExited.length === 1);
  const lines = await until(() => {
    const all = one.said.logEnvelopes.flatMap(({ envelopes }) => envelopes);
    return all.some(({ payload }) => /log lines dropped/.test(payload)) ? all : undefined;
  });
  expect(lines.length).toBeLessThan(60_000);
  for (const body of one.said.logEnvelopes) expect(JSON.stringify(body).length).toBeLessThan(1024 ** 2);
  const stamps = lines.filter(({ tags }) => tags["source_type"] !== "CELL").map(({ timestamp }) => BigInt(timestamp));
  for (let i = 1; i < stamps.length; i++) expect(stamps[i]! > stamps[i - 1]!).toBe(true);
}, 30_000);

test("two executors on one bus: each hears its own starts, both hear stops", async () => {
  const bus: Bus = await createBus({ transport: memoryTransport() });
  await using one = await createDea({ memoryBytes: 1024 * MiB });
  await using two = await createDea({ memoryBytes: 1024 * MiB });
  await using _first = await joinBus(one, bus);
  await using _second = await joinBus(two, bus);
  for (const dea of [one, two]) await bus.request(deaStartInstance, await sleeper({ droplet: "app" }), { params: { id: dea.id } });
  await until(() => [one, two].every((dea) => dea.instances().length === 1 && dea.instances()[0]?.state === "RUNNING"));
  expect(await bus.gather(deaFindDroplet, { droplet: "app" }, { waitMs: 2_000, max: 2 })).toHaveLength(2);
  bus.publish(deaStop, { droplet: "app" });
  await until(() => [one, two].every((dea) => dea.instances().every(({ state }) => state === "STOPPED")));
});
