import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { probeLinux } from "@opencf/dea";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { tracesOf } from "../packages/dea/test/fixtures/linux-traces.ts";
import { writeTree } from "./support/apps.ts";
import { createCfClient, type CfClient, type Json, type Pushed } from "./support/cf-client.ts";
import { ask } from "./support/http.ts";
import { processesOf, startPlatform, type Platform } from "./support/platform.ts";
import { missing, startNats, type Server } from "./support/servers.ts";
import { tempFolder } from "./support/temp.ts";
import { until } from "./support/until.ts";

// The platform as root on a machine that can: apps are containers without being asked for. One program with all roles, a
// second executor, and one of an isolation segment, joined by a real NATS server.
const probed = await probeLinux();
const lacks = probed.findings.filter(({ ok, needed }) => needed && !ok).map(({ name }) => name).join(", ");
const reason = probed.able ? missing("nats-server") : `this machine lacks ${lacks}`;

/** An address of this machine that is not its loopback. */
const outside = Object.values(networkInterfaces()).flat().find((one) => one?.family === "IPv4" && !one.internal && !one.address.startsWith("10.254."))?.address;

/** Asks from inside what an app must not have. */
const spy = {
  "package.json": JSON.stringify({ name: "spy", version: "1.0.0", private: true, scripts: { start: "node server.js" } }),
  "server.js": `
const http = require("node:http"), fs = require("node:fs"), net = require("node:net");
const id = Math.random().toString(36).slice(2);
http.createServer((request, response) => {
  const { pathname } = new URL(request.url, "http://app");
  if (pathname === "/id") return response.end(id);
  if (pathname === "/index") return response.end(process.env.CF_INSTANCE_INDEX);
  if (pathname === "/crash") process.exit(7);
  if (pathname.startsWith("/read/")) return fs.readFile(pathname.slice(5), "utf8", (error, text) => response.end(error ? error.code : text));
  if (pathname === "/processes") return response.end(String(fs.readdirSync("/proc").filter((name) => /^[0-9]+$/.test(name)).length));
  if (pathname.startsWith("/to/")) {
    const [, , host, port] = pathname.split("/");
    const socket = net.connect({ host, port: Number(port), timeout: 3000 });
    socket.once("connect", () => { socket.destroy(); response.end("reached"); });
    socket.once("timeout", () => { socket.destroy(); response.end("ETIMEDOUT"); });
    return socket.once("error", (error) => response.end(error.code));
  }
  response.end("hello from a container");
}).listen(process.env.PORT);`,
};

describe.skipIf(reason)(`apps as containers${reason ? `: ${reason}` : ""}`, () => {
  const host = "spy.cf.localhost";
  let folder: Awaited<ReturnType<typeof tempFolder>>;
  let nats: Server;
  let main: Platform;
  let second: Platform | undefined;
  let gold: Platform | undefined;
  let cf: CfClient;
  let pushed: Pushed;

  const startMain = (port?: number) => startPlatform({
    dataDir: join(folder.path, "main"), args: ["--no-demo", "--nats", nats.url, "--admin-password", "s3cret-of-the-test", "--memory", "1024"], ...(port ? { port } : {}),
  });
  const executor = (name: string, ...args: string[]) =>
    startPlatform({ dataDir: join(folder.path, name), args: ["--roles", "dea", "--nats", nats.url, "--no-demo", "--memory", "1024", ...args] });
  const login = async () => {
    cf = await createCfClient(main.ready as { api: string; user: string; password: string });
    await cf.target("acme", "dev");
  };
  const get = async (path: string): Promise<string> => (await ask(`http://127.0.0.1:${main.port}${path}`, { host })).text;
  const answering = (instances: number) => until(`${instances} instances answer`, async () => {
    const seen = new Set<string>();
    for (let i = 0; i < 4 * instances; i++) seen.add(await get("/index"));
    return seen.size === instances && [...seen].every((each) => /^\d+$/.test(each));
  }, { withinMs: 60_000 });
  const stats = async (): Promise<Json[]> => (await cf.get(`/v3/processes/${pushed.processGuid}/stats`)).resources;
  const restart = () => cf.request("POST", `/v3/apps/${pushed.appGuid}/actions/restart`);
  /** What is left on the machine of the executor with this folder. */
  const traces = async (name: string): Promise<string[]> => {
    const dir = join(folder.path, name, "dea");
    const id = (await readFile(join(dir, "id"), "utf8")).trim();
    return tracesOf(id, join(dir, "instances"));
  };

  beforeAll(async () => {
    folder = await tempFolder("linux");
    nats = await startNats(folder.path);
    main = await startMain();
    await login();
  }, 180_000);
  afterAll(async () => {
    for (const part of [gold, second, main]) await part?.[Symbol.asyncDispose]();
    await nats?.[Symbol.asyncDispose]();
    await folder?.[Symbol.asyncDispose]();
  }, 120_000);

  test("the platform takes the linux backend by itself, and says so", () =>
    expect(main.ready).toMatchObject({ backend: "linux", backend_reason: expect.stringMatching(/container/) as string }));

  test("a pushed app answers through the router from a container that hides the machine", { timeout: 180_000 }, async () => {
    pushed = await cf.push({ name: "spy", dir: await writeTree(join(folder.path, "app"), spy), app: { memory: "64M" } });
    await cf.running(pushed.processGuid, 1);
    await answering(1);
    expect(await get("/")).toBe("hello from a container");
    expect(await get(`/read${join(folder.path, "app", "server.js")}`)).toBe("ENOENT");
    expect(await get("/read/etc/shadow")).toMatch(/^(ENOENT|EACCES)$/);
    expect(Number(await get("/processes"))).toBeLessThan(10);
    // Neither its own loopback nor the host's address leads to the platform's door, its bus or its API.
    for (const port of [main.port, nats.port]) expect(await get(`/to/127.0.0.1/${port}`)).toBe("ECONNREFUSED");
    const [instance] = await stats();
    expect(instance).toMatchObject({ state: "RUNNING", isolation_segment: null, usage: { mem: expect.any(Number) } });
  });

  test("a crash is told with its status and the app comes back", { timeout: 120_000 }, async () => {
    const before = await get("/id");
    await get("/crash").catch(() => "");
    await until("another instance answers", async () => {
      const now = await get("/id");
      return /^[a-z0-9]{6,20}$/.test(now) && now !== before;
    }, { withinMs: 90_000 });
    const { resources } = await cf.get(`/v3/audit_events?types=audit.app.process.crash&target_guids=${pushed.processGuid},${pushed.appGuid}`);
    expect(resources[0].data).toMatchObject({ exit_status: 7, exit_description: expect.stringContaining("exit:7") as string });
  });

  test.skipIf(!outside)("security groups hold for what runs, at once: this machine's service is closed, opened by its address, and closed again", { timeout: 120_000 }, async () => {
    const service = createServer((socket) => socket.end()).listen(0, "0.0.0.0");
    await once(service, "listening");
    const to = `/to/${outside}/${(service.address() as AddressInfo).port}`;
    const before = await get("/id");
    try {
      expect(await get(to)).not.toBe("reached");
      const rules = [{ protocol: "tcp", destination: outside, ports: String((service.address() as AddressInfo).port) }];
      const { body: group } = await cf.request("POST", "/v3/security_groups", { name: "service", rules, relationships: { running_spaces: { data: [{ guid: cf.spaceGuid }] } } });
      await until("it is open", async () => (await get(to)) === "reached");
      await cf.request("DELETE", `/v3/security_groups/${group.guid}/relationships/running_spaces/${cf.spaceGuid}`);
      await until("it is closed again", async () => (await get(to)) !== "reached");
      expect(await get("/id"), "the same instance all the time").toBe(before);
    } finally {
      service.close();
    }
  });

  test("scaled over two executors; one leaves, and its instance is elsewhere", { timeout: 240_000 }, async () => {
    second = await executor("second", "--zone", "z2");
    expect(second.ready).toMatchObject({ backend: "linux" });
    await cf.request("POST", `/v3/apps/${pushed.appGuid}/processes/web/actions/scale`, { instances: 2 });
    await cf.running(pushed.processGuid, 2);
    await answering(2);
    expect(processesOf(join(folder.path, "second")).length, "the second executor has one of them").toBeGreaterThan(1);
    await second[Symbol.asyncDispose]();
    second = undefined;
    await answering(2);
    expect(await traces("second")).toEqual([]);
  });

  test("SIGKILL of the executor: the app goes on in its container, and the next start takes it over", { timeout: 180_000 }, async () => {
    const before = (await stats()).map(({ instance_guid: guid }) => guid as string).sort();
    const { host: address, instance_ports: [port] } = (await stats())[0];
    const { port: door } = main;
    await main.kill("SIGKILL");
    expect((await ask(`http://${address}:${port.external}/`)).text).toBe("hello from a container");
    main = await startMain(door);
    await login();
    await cf.running(pushed.processGuid, 2);
    await answering(2);
    expect((await stats()).map(({ instance_guid: guid }) => guid as string).sort()).toEqual(before);
  });

  test("an isolation segment: its apps run on its executor, and come back when it is taken away", { timeout: 240_000 }, async () => {
    const segment = (await cf.request("POST", "/v3/isolation_segments", { name: "gold" })).body.guid as string;
    const organization = (await cf.get("/v3/organizations?names=acme")).resources[0].guid as string;
    await cf.request("POST", `/v3/isolation_segments/${segment}/relationships/organizations`, { data: [{ guid: organization }] });
    const assign = (data: object | null) => cf.request("PATCH", `/v3/spaces/${cf.spaceGuid}/relationships/isolation_segment`, { data });
    await assign({ guid: segment });
    await restart();
    await until("nobody serves the segment yet, and that is said", async () => (await stats()).some(({ details }) => /no host belongs to the isolation segment gold/.test(String(details))), { withinMs: 60_000 });
    gold = await executor("gold", "--isolation-segment", "gold");
    await restart();
    await cf.running(pushed.processGuid, 2);
    await until("both run in the segment", async () => (await stats()).every(({ state, isolation_segment: name }) => state === "RUNNING" && name === "gold"), { withinMs: 60_000 });
    await answering(2);
    await assign(null);
    await restart();
    await until("both run outside again", async () => (await stats()).every(({ state, isolation_segment: name }) => state === "RUNNING" && name === null), { withinMs: 90_000 });
    await answering(2);
  });

  test("when all have ended nothing is left on the machine", { timeout: 120_000 }, async () => {
    for (const part of [gold, main]) await part?.kill("SIGTERM");
    for (const name of ["gold", "main"]) expect(await traces(name), name).toEqual([]);
  });
});
