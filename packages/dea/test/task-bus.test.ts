import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { request as httpsRequest } from "node:https";
import { join } from "node:path";
import { type Body, createBus, memoryTransport } from "@opencf/bus";
import { deaAdvertise, deaFindDroplet, deaTask, instanceMetrics, logEnvelopes, routerRegister, routerStart, routerUnregister, taskCancel, taskExited, taskFind } from "@opencf/bus/messages";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { followExecutors, joinBus, type Membership, requestOf, sendTask } from "../src/bus-link.ts";
import { createDea, MiB } from "../src/index.ts";
import { createPlacer } from "../src/placement.ts";
import { openExecutorApi, openReachServer } from "../src/reach.ts";
import { world } from "./fixtures/member.ts";
import { until } from "./fixtures/until.ts";

let here: Awaited<ReturnType<typeof world>>;
beforeAll(async () => (here = await world()));
afterAll(() => here[Symbol.asyncDispose]());

type Task = Body<typeof deaTask>;
const task = async (command: string, change: Partial<Task> = {}): Promise<Task> => {
  const { droplet, sha1, executableUri = "" } = await here.message({ "data.txt": "data\n" }, undefined);
  return { task_id: `task-${Math.random()}`, droplet, command, executableUri: executableUri ?? "", sha1, limits: { mem: 64, disk: 64, fds: 1_024 }, env: ["GREETING=a=b"], ...change };
};

describe("tasks over the bus", () => {
  test("accepted, run, told; its lines under the app's name; asked for again it is not run again", async () => {
    await using one = await here.member();
    const ends: Body<typeof taskExited>[] = [];
    one.bus.subscribe(taskExited, ({ body }) => void ends.push(body));
    const wanted = await task("echo $GREETING; cat data.txt; exit 3", { name: "migrate", log_source: { source_id: "the-app" } });
    const ask = () => one.bus.request(deaTask, wanted, { params: { id: one.membership.id } });
    expect(await ask()).toEqual({ accepted: true });
    await until(() => ends.length === 1, 20_000);
    expect(ends[0]).toMatchObject({
      dea: one.dea.id, task_id: wanted.task_id, droplet: wanted.droplet, name: "migrate", state: "FAILED", reason: "exit:3", exit_status: 3,
      description: "command ended with status 3", log_tail: ["a=b", "data"], duration_ms: expect.any(Number) as number, started_at: expect.any(Number) as number,
    });
    expect(await ask()).toEqual({ accepted: true });
    const lines = await until(() => {
      const all = one.said.logEnvelopes.flatMap(({ envelopes }) => envelopes).filter(({ source_id: id }) => id === "the-app");
      return all.some(({ payload }) => payload === "data") ? all : undefined;
    });
    expect(lines.find(({ payload }) => payload === "a=b")?.tags["source_type"]).toBe("APP/TASK/migrate");
    // Nobody hears of an instance.
    expect(one.said.dropletExited).toEqual([]);
    expect(one.said.deaHeartbeat.flatMap(({ droplets }) => droplets)).toEqual([]);
    expect(one.said.routerRegister).toEqual([]);
    expect(ends).toHaveLength(1);
  }, 30_000);

  test("cancelled by anybody who knows its id, found by who asks", async () => {
    await using one = await here.member();
    const ends: Body<typeof taskExited>[] = [];
    one.bus.subscribe(taskExited, ({ body }) => void ends.push(body));
    const wanted = await task("sleep 1000");
    await one.bus.request(deaTask, wanted, { params: { id: one.membership.id } });
    const ask = (body: Body<typeof taskFind>) => one.bus.gather(taskFind, body, { waitMs: 200 });
    await until(async () => (await ask({ task_id: wanted.task_id }))[0]?.state === "RUNNING", 20_000);
    expect(await ask({})).toHaveLength(1);
    expect(await ask({ droplet: "another" })).toEqual([]);
    one.bus.publish(taskCancel, { task_id: wanted.task_id });
    await until(() => ends.length === 1, 20_000);
    expect(ends[0]).toMatchObject({ state: "FAILED", reason: "cancelled" });
    expect(await ask({})).toEqual([]);
    expect(await ask({ include_ended: true })).toEqual(ends);
    expect(await ask({ task_id: wanted.task_id })).toEqual(ends);
  }, 40_000);

  test.each([
    ["too large", { limits: { mem: 100_000, disk: 64, fds: 1_024 } }, "DEA_NO_CAPACITY"],
    ["without a digest", { sha1: null }, "DEA_INVALID_SPEC"],
    ["with no time", { timeout: 0 }, "DEA_INVALID_SPEC"],
    ["with a command of nothing", { command: " " }, "DEA_INVALID_SPEC"],
    ["on a stack that is not here", { stack: "cflinuxfs1" }, "DEA_INVALID_SPEC"],
    ["with a limit that nobody keeps here", { requires: ["egress"] }, "DEA_UNSUPPORTED"],
  ] as [string, Partial<Task>, string][])("refused: %s", async (_title, change, code) => {
    await using one = await here.member();
    const answer = await one.bus.request(deaTask, await task("true", change), { params: { id: one.membership.id } });
    expect(answer).toMatchObject({ accepted: false, code });
    expect(one.dea.tasks.list()).toEqual([]);
  }, 20_000);

  test("a placer finds an executor with room, and the next when one is full", async () => {
    const bus = await createBus({ transport: memoryTransport() });
    const deas = await Promise.all([128, 96].map((mb) => createDea({ memoryBytes: mb * MiB, diskBytes: 10_000 * MiB })));
    const members = await Promise.all(deas.map((dea) => joinBus(dea, bus)));
    const placer = createPlacer();
    using _following = followExecutors(placer, bus);
    try {
      const ends: string[] = [];
      bus.subscribe(taskExited, ({ body }) => void ends.push(`${body.task_id} ${body.state}`));
      await until(() => placer.hosts().length === 2);
      const wanted = await Promise.all([1, 2, 3].map((n) => task(`sleep 0.5; echo ${n}`, { task_id: `t${n}` })));
      const deliveries = [];
      for (const one of wanted) deliveries.push(await placer.deliver(requestOf(one), sendTask(bus, one)));
      expect(deliveries.map(({ state }) => state)).toEqual(["accepted", "accepted", "accepted"]);
      expect(deas.map((dea) => dea.tasks.list().length).sort()).toEqual([1, 2]);
      await until(() => ends.length === 3, 20_000);
      expect([...ends].sort()).toEqual(["t1 SUCCEEDED", "t2 SUCCEEDED", "t3 SUCCEEDED"]);
    } finally {
      for (const member of members) await member.leave({ instances: "stop" });
      await bus[Symbol.asyncDispose]();
    }
  }, 40_000);
});

test("dea §13: dea.find.droplet with a path answers with links of both generations, and the router is told of the server", async () => {
  const bus = await createBus({ transport: memoryTransport() });
  const dea = await createDea({ memoryBytes: 1_024 * MiB });
  const reach = await openReachServer(dea, { domain: "example.com", viewer: ["u", "p"] });
  const registered: Body<typeof routerRegister>[] = [];
  const withdrawn: Body<typeof routerUnregister>[] = [];
  bus.subscribe(routerRegister, ({ body }) => void registered.push(body));
  bus.subscribe(routerUnregister, ({ body }) => void withdrawn.push(body));
  const member: Membership = await joinBus(dea, bus, { reach });
  try {
    const message = await here.message({ "hello.txt": "hello" }, "sleep 1000", { uris: [], health_check_type: "process" });
    const { droplet: url } = { droplet: message };
    const instance = await dea.start({ droplet: { url: url.executableUri ?? "", sha1: url.sha1 ?? "" }, command: "sleep 1000", appId: message.droplet, memoryBytes: 64 * MiB, healthCheck: { type: "process" }, graceMs: 100 });
    await instance.ready;
    const [without] = await bus.gather(deaFindDroplet, { droplet: message.droplet }, { waitMs: 5_000, max: 1 });
    expect(without).toMatchObject({ instance: instance.id, staged: `/${instance.id}`, file_uri: `http://127.0.0.1:${reach.port}/instances`, credentials: ["u", "p"] });
    expect(without).not.toHaveProperty("file_uri_v2");
    const [found] = await bus.gather(deaFindDroplet, { droplet: message.droplet, path: "/app/hello.txt" }, { waitMs: 5_000, max: 1 });
    const link = new URL(found?.file_uri_v2 ?? "");
    expect(link.host).toBe(reach.externalHost);
    expect(link.pathname).toBe(`/instance_paths/${instance.id}`);
    const answer = await fetch(`http://127.0.0.1:${reach.port}${link.pathname}${link.search}`);
    expect([answer.status, await answer.text()]).toEqual([200, "hello"]);
    const old = await fetch(`${without?.file_uri}${without?.staged}/app/hello.txt`, { headers: { authorization: `Basic ${Buffer.from("u:p").toString("base64")}` } });
    expect(await old.text()).toBe("hello");
    expect(registered).toContainEqual({ dea: dea.id, host: "127.0.0.1", port: reach.port, uris: [reach.externalHost], tags: { component: "directory-server" } });
    const before = registered.length;
    bus.publish(routerStart, { id: "r", hosts: [], minimumRegisterIntervalInSeconds: 20, pruneThresholdInSeconds: 120 });
    await until(() => registered.length > before);
  } finally {
    await member.leave({ instances: "stop" });
    await reach[Symbol.asyncDispose]();
  }
  await until(() => withdrawn.some(({ uris }) => uris.includes(reach.externalHost ?? "-")));
  await bus[Symbol.asyncDispose]();
}, 40_000);

test("dea §11: what instances use is told every so often, under the app's name and index", async () => {
  await using one = await here.member({ metricsMs: 100, samplingMs: 50 }, { metricsIntervalMs: 100 });
  const told: Body<typeof instanceMetrics>["samples"] = [];
  one.bus.subscribe(instanceMetrics, ({ body }) => void told.push(...body.samples));
  const message = await here.message({}, "sleep 1000", { uris: [], health_check_type: "process", index: 3, log_source: { source_id: "the-app", tags: { space: "s" } } });
  expect(await one.start(message)).toEqual({ accepted: true });
  await until(() => told.length >= 3, 20_000);
  expect(told[0]).toMatchObject({ source_id: "the-app", instance_id: "3", tags: { process_type: "web", space: "s" }, cpu: 0, memory_quota: 256 * MiB, disk_quota: 512 * MiB });
  expect(Number(told.at(-1)?.age_ms)).toBeGreaterThan(0);
  expect(BigInt(told.at(-1)?.timestamp ?? "0")).toBeGreaterThan(1_600_000_000_000_000_000n);
}, 30_000);

describe("dea §15: the executor's HTTP API", () => {
  const make = (...args: string[]): void => void execFileSync("openssl", args, { cwd: here.folder, stdio: "pipe" });
  const file = (name: string): Buffer => readFileSync(join(here.folder, name));
  beforeAll(() => {
    make("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=ca", "-days", "2");
    for (const name of ["server", "client"]) {
      make("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", `${name}.key`, "-out", `${name}.csr`, "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1");
      make("x509", "-req", "-in", `${name}.csr`, "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-out", `${name}.crt`, "-days", "2", "-copy_extensions", "copy");
    }
  });
  const post = (url: string, body: string | undefined, client = true): Promise<number> =>
    new Promise((resolve, reject) => {
      const certificate = client ? { cert: file("client.crt"), key: file("client.key") } : {};
      const request = httpsRequest(url, { method: body === undefined ? "GET" : "POST", ca: file("ca.crt"), agent: false, ...certificate }, (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      });
      request.on("error", reject);
      request.end(body);
    });

  test("202 accepted, 404 stage, 400 wrong, 503 full or leaving; nobody without a certificate", async () => {
    const bus = await createBus({ transport: memoryTransport() });
    const dea = await createDea({ memoryBytes: 512 * MiB });
    const joined: { member?: Membership } = {};
    const api = await openExecutorApi(dea, {
      host: "127.0.0.1", tls: { key: file("server.key"), cert: file("server.crt"), clientCa: file("ca.crt") },
      more: async (...request) => (await joined.member?.http(...request)) ?? false,
    });
    const advertised: (string | null | undefined)[] = [];
    bus.subscribe(deaAdvertise, ({ body }) => void advertised.push(body.url));
    bus.subscribe(logEnvelopes, () => {});
    const member = (joined.member = await joinBus(dea, bus, { url: api.url }));
    try {
      await until(() => advertised.includes(api.url));
      const message = await here.message({}, "sleep 1000", { uris: [], health_check_type: "process", command_id: "once" });
      expect(await post(`${api.url}/v1/apps`, JSON.stringify(message))).toBe(202);
      // The same command again, by the other way too, is the same instance.
      expect(await post(`${api.url}/v1/apps`, JSON.stringify(message))).toBe(202);
      expect(dea.instances()).toHaveLength(1);
      expect(await post(`${api.url}/v1/apps`, JSON.stringify({ ...message, command_id: "large", limits: { mem: 4_096, disk: 1, fds: 1 } }))).toBe(503);
      expect(await post(`${api.url}/v1/apps`, JSON.stringify({ ...message, command_id: "no-digest", sha1: null }))).toBe(400);
      expect(await post(`${api.url}/v1/apps`, "{")).toBe(400);
      expect(await post(`${api.url}/v1/apps`, JSON.stringify({ droplet: "x" }))).toBe(400);
      expect(await post(`${api.url}/v1/stage`, "{}")).toBe(404);
      expect(await post(`${api.url}/v1/status`, undefined)).toBe(200);
      expect(await post(`${api.url}/v1/instances`, undefined)).toBe(200);
      await expect(post(`${api.url}/v1/apps`, "{}", false)).rejects.toThrow();
      member.rest();
      expect(await post(`${api.url}/v1/apps`, JSON.stringify({ ...message, command_id: "late" }))).toBe(503);
      expect(await post(`${api.url}/v1/stage`, "{}")).toBe(503);
    } finally {
      await member.leave({ instances: "stop" });
      await api[Symbol.asyncDispose]();
      await bus[Symbol.asyncDispose]();
    }
  }, 40_000);
});
