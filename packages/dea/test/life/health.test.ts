import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createDea, type Dea, type DeaOptions, type HealthCheckSpec, type Instance, type InstanceChange, MiB, type StartSpec } from "../../src/index.ts";
import { healthCheckOf, readinessCheckOf } from "../../src/instance/checks.ts";
import { probe } from "../../src/instance/probe.ts";
import { temporaryFolder, writeTar } from "../fixtures/droplet.ts";
import { faultyBackend } from "../fixtures/faulty-backend.ts";
import { world } from "../fixtures/member.ts";
import { until } from "../fixtures/until.ts";

/** Listens when `listen` is there, and answers /ready as the file `ready` says. */
const server = `
const fs = require("node:fs"), http = require("node:http");
const app = http.createServer((q, r) => { r.statusCode = q.url === "/ready" && !fs.existsSync("ready") ? 503 : 200; r.end(); });
const timer = setInterval(() => { if (fs.existsSync("listen")) { clearInterval(timer); app.listen(process.env.PORT); } }, 20);
`;
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let droplet: string;
let dea: Dea;
const options: DeaOptions = { memoryBytes: 4096 * MiB, diskBytes: 32_768 * MiB, samplingMs: 500 };
beforeAll(async () => {
  folder = await temporaryFolder();
  droplet = await writeTar(join(folder.path, "web.tgz"), [{ name: "./app/server.js", body: server }, { name: "./app/listen", body: "" }]);
  dea = await createDea(options);
});
afterAll(async () => {
  await dea.close();
  await folder[Symbol.asyncDispose]();
});
const start = (change: Partial<StartSpec>, on = dea): Promise<Instance> => on.start({ droplet, command: "exec node server.js", memoryBytes: 128 * MiB, graceMs: 200, ...change });
const file = (instance: Instance, name: string): string => join(instance.filesDir ?? "", "app", name);

describe("dea §8 one look", () => {
  let app: Server;
  let address: { host: string; port: number };
  beforeAll(async () => {
    app = createServer((request, response) => {
      if (request.url === "/slow") return;
      response.writeHead(Number(request.url?.slice(1)) || 200).end();
    });
    await new Promise<void>((resolve) => app.listen(0, "127.0.0.1", resolve));
    address = { host: "127.0.0.1", port: (app.address() as AddressInfo).port };
  });
  afterAll(() => void (app.closeAllConnections(), app.close()));

  test.each([
    ["port", "/", true], ["http", "/", true], ["http", "/200", true], ["http", "/201", false], ["http", "/204", false], ["http", "/301", false],
    ["http", "/404", false], ["http", "/500", false], ["http", "/slow", false], ["process", "/", true], ["none", "/", true],
  ] as const)("%s %s: %s", async (type, path, ok) => {
    expect(await probe({ type, path, invocationTimeoutMs: path === "/slow" ? 200 : 10_000 }, address, new AbortController().signal)).toBe(ok);
  });

  test.each(["port", "http"] as const)("%s where nobody listens", async (type) => {
    const closed = createServer();
    await new Promise<void>((resolve) => closed.listen(0, "127.0.0.1", resolve));
    const { port } = closed.address() as AddressInfo;
    await new Promise((resolve) => closed.close(resolve));
    expect(await probe({ type, path: "/", invocationTimeoutMs: 1_000 }, { host: "127.0.0.1", port }, new AbortController().signal)).toBe(false);
  });
});

describe("dea §8 and §20.4 the defaults are Diego's", () => {
  test("health", () => expect(healthCheckOf({}, 60_000)).toEqual({ type: "port", path: "/", timeoutMs: 60_000, startupIntervalMs: 2_000, intervalMs: 30_000, invocationTimeoutMs: 1_000 }));
  test("readiness", () => expect(readinessCheckOf({})).toEqual({ type: "process", path: "/", intervalMs: 30_000, invocationTimeoutMs: 1_000 }));
  test.each([
    { healthCheck: { startupIntervalMs: 0 } }, { healthCheck: { type: "state-file" } }, { healthCheck: { type: "state-file", path: "../x" } }, { healthCheck: { type: "state-file", path: "/etc/passwd" } },
    { readinessCheck: { type: "none" } }, { readinessCheck: { path: "x" } }, { readinessCheck: { intervalMs: -1 } },
  ] as unknown as Partial<StartSpec>[])("refused: %j", async (spec) => {
    await expect(start(spec)).rejects.toMatchObject({ code: "DEA_INVALID_SPEC" });
  });
});

describe("dea §8 which check, and when it passes", () => {
  test.each([
    ["port", { type: "port" }], ["http", { type: "http", path: "/" }], ["process", { type: "process" }], ["none", { type: "none" }],
  ] as [string, HealthCheckSpec][])("%s", async (_name, healthCheck) => {
    const instance = await start({ healthCheck: { ...healthCheck, timeoutMs: 60_000 } });
    await instance.ready;
    expect(instance.state).toBe("RUNNING");
    await instance.stop();
  });

  const stateful = (name: string, yaml: string): Promise<string> => writeTar(join(folder.path, `${name}.tgz`), [{ name: "./app/", type: "directory" }, { name: "./droplet.yaml", body: yaml }]);
  test("state file: the droplet names it, and says RUNNING when it runs; what cannot be parsed says nothing", async () => {
    const instance = await start({ droplet: await stateful("state", "---\nstate_file: run.state\n"), command: `cd ..; echo nonsense > run.state; sleep 0.3; echo '{"state":"STARTING"}' > run.state; sleep 0.3; echo '{"state":"RUNNING"}' > run.state; exec sleep 1000` });
    await instance.ready;
    expect(instance.spec.healthCheck).toMatchObject({ type: "state-file", path: "run.state", timeoutMs: 300_000 });
    expect(instance.state).toBe("RUNNING");
    await instance.stop();
  });
  test.each([
    ["leads out", "state_file: ../../secret"], ["is absolute", "state_file: /etc/passwd"], ["is none", "state_file: 7"], ["is no YAML", "state_file: ["],
  ])("a state file that %s is none: the port is looked at", async (_name, yaml) => {
    const instance = await start({ droplet: await stateful(`bad-${_name.replaceAll(" ", "-")}`, yaml), command: "exec sleep 1000", healthCheck: { timeoutMs: 300 } });
    expect(await instance.exited).toMatchObject({ reason: "port-timeout" });
  });
  test("a state file that never says it", async () => {
    const instance = await start({ command: "cd ..; ln -s /etc/passwd state; exec sleep 1000", healthCheck: { type: "state-file", path: "state", timeoutMs: 300 } });
    expect(await instance.exited).toMatchObject({ reason: "state-file-timeout", kind: "health-timeout", description: "failed to write RUNNING to its state file within health check timeout" });
  });
  test("asked for a port check, the droplet's state file is not looked at", async () => {
    const instance = await start({ droplet: await stateful("asked", "state_file: s"), command: "exec sleep 1000", healthCheck: { type: "process" } });
    await instance.ready;
    expect(instance.spec.healthCheck.type).toBe("process");
    await instance.stop();
  });

  test("the time begins when the app gets its first CPU time: neither the queue, nor the download, nor a busy host counts", async () => {
    let granted = false;
    const backend = faultyBackend({ create: () => new Promise((resolve) => setTimeout(resolve, 400)), processes: () => (granted ? 1 : 0) });
    await using slow = await createDea({ ...options, backend, concurrentStarts: 1 });
    const never = { command: "exec sleep 1000", healthCheck: { type: "port", timeoutMs: 300 } } as const;
    const first = await start({ command: "exec sleep 1000", healthCheck: { type: "process" } }, slow);
    const instance = await start(never, slow);
    await first.ready;
    await until(() => instance.stateTimes.STARTING);
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect(instance.state).toBe("STARTING");
    const before = performance.now();
    granted = true;
    expect(await instance.exited).toMatchObject({ reason: "port-timeout" });
    expect(performance.now() - before).toBeGreaterThanOrEqual(290);
  });

  test("once up it is looked at again and again; the original never does", async () => {
    const instance = await start({ command: `exec node -e 'const s = require("net").createServer().listen(process.env.PORT); setTimeout(() => s.close(), 800); setInterval(() => {}, 1e6)'`, healthCheck: { type: "port", intervalMs: 100 } });
    await instance.ready;
    expect(await instance.exited).toMatchObject({ reason: "liveness", kind: "liveness", description: "stopped answering its health check" });
  });
});

describe("dea §20.4 readiness", () => {
  const ready = { type: "http", path: "/ready", intervalMs: 100 } as const;

  test("up and not ready, ready, not ready again: it runs on, and says so each time", async () => {
    const changes: InstanceChange[] = [];
    using _listening = dea.on((change) => void changes.push(change));
    const instance = await start({ healthCheck: { type: "port" }, readinessCheck: ready });
    await instance.ready;
    expect([instance.state, instance.routable]).toEqual(["RUNNING", false]);
    await writeFile(file(instance, "ready"), "");
    await until(() => instance.routable);
    await import("node:fs/promises").then(({ rm }) => rm(file(instance, "ready")));
    await until(() => !instance.routable);
    expect(instance.state).toBe("RUNNING");
    await instance.stop();
    const mine = changes.filter((change) => change.instance === instance);
    expect(mine.flatMap((change) => (change.type === "routable" ? [change.routable] : []))).toEqual([true, false]);
    const said = mine.flatMap((change) => (change.type === "log" && change.line.stream === "platform" ? [change.line.text] : []));
    expect(said).toContain("Instance became ready: requests come to it");
    expect(said).toContain("Instance is not ready: its readiness check fails, and requests go elsewhere");
  });

  test.each([["process", { type: "process" }], ["port", { type: "port" }]] as const)("%s: ready once it is healthy", async (_name, readinessCheck) => {
    const instance = await start({ readinessCheck });
    await instance.ready;
    await until(() => instance.routable);
    await instance.stop();
    expect(instance.routable).toBe(false);
  });

  test("over the bus: the route is registered only when ready, withdrawn while it is not, and the instance never restarted", async () => {
    await using here = await world();
    await using one = await here.member({}, { registerIntervalMs: 100 });
    const ask = await here.message({ "server.js": server, listen: "" }, "exec node server.js", {
      health_check_type: "port", readiness_health_check_type: "http", readiness_health_check_http_endpoint: "/ready", readiness_health_check_interval: 1,
    });
    expect(await one.start(ask)).toEqual({ accepted: true });
    const [instance] = one.dea.instances() as [Instance];
    await instance.ready;
    // Several times over what the router would be told by the clock.
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(one.said.routerRegister).toEqual([]);
    const beat = await until(() => one.said.deaHeartbeat.at(-1)?.droplets[0]);
    expect(beat).toMatchObject({ state: "RUNNING", routable: false });
    await writeFile(file(instance, "ready"), "");
    await until(() => one.said.routerRegister.length > 0);
    await import("node:fs/promises").then(({ rm }) => rm(file(instance, "ready")));
    expect(await until(() => one.said.routerUnregister[0])).toEqual(one.said.routerRegister[0]);
    const count = one.said.routerRegister.length;
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(one.said.routerRegister.length).toBe(count);
    expect(one.dea.instances()).toEqual([instance]);
    expect(instance.state).toBe("RUNNING");
  });
});
