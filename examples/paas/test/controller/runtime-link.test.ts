import { mkdtemp, rm, writeFile, mkdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ZipFile } from "yazl";
import { type Bus, createBus, memoryTransport } from "@opencf/bus";
import { dropletExited, logEnvelopes } from "@opencf/bus/messages";
import { createDea, processBackend } from "@opencf/dea";
import { joinBus } from "@opencf/dea/bus-link";
import { createRouter } from "@opencf/router";
import { routesFromBus } from "@opencf/router/bus-link";
import { serveStaging } from "@opencf/staging/bus-link";
import { createBlobClient } from "../../blobstore/client.ts";
import { openFolderBlobstore } from "../../blobstore/folder.ts";
import { startBlobs } from "../../blobstore/server.ts";
import type { DesiredProcess } from "../../controller/runtime/runtime.ts";
import { createRuntime, type Crash } from "../../controller/runtime/runtime-link.ts";
import { startHealthManager } from "../../health/health-manager.ts";
import { silentLogger } from "../../controller/api/ports.ts";
import { createParts, type Parts } from "../../parts.ts";

// The controller's view of the world with a real executor, stager, router and blobstore, over the in-process bus.
const secret = "only-for-tests-0123456789";
const app = `const http = require("node:http");
console.log("hello from instance", process.env.CF_INSTANCE_INDEX);
http.createServer((request, response) => {
  if (request.url === "/crash") process.exit(7);
  if (request.url === "/turn") global.closed = !global.closed;
  if (request.url === "/ready" && global.closed) response.statusCode = 503;
  response.end("index " + process.env.CF_INSTANCE_INDEX + " " + process.env.GREETING);
}).listen(process.env.PORT);
`;

let dir: string;
let parts: Parts;
let bus: Bus;
let rows: DesiredProcess[];
let crashes: Crash[];
let runtime: ReturnType<typeof createRuntime>;
let blobs: ReturnType<typeof createBlobClient>;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "opencf-runtime-"));
  parts = createParts();
  bus = parts.use(await createBus({ transport: memoryTransport() }));
  rows = [];
  crashes = [];
  const server = parts.use(await startBlobs({ store: await openFolderBlobstore(join(dir, "blobs"), { durable: false }), secret }));
  blobs = createBlobClient({ baseUrl: () => Promise.resolve(server.url), secret });
  runtime = parts.use(createRuntime({
    bus, log: silentLogger, dropletUrl: (guid) => blobs.url(`droplets/${guid}`, "GET", 60_000), onCrash: (crash) => void crashes.push(crash),
    desired: { desired: ({ processGuids }) => Promise.resolve(rows.filter(({ processGuid }) => !processGuids || processGuids.includes(processGuid))) },
  }));
  const dea = parts.use(await createDea({ backend: processBackend(), dataDir: join(dir, "dea"), memoryBytes: 1_024 * 1_048_576 }));
  parts.use(await joinBus(dea, bus));
  parts.use(await serveStaging(bus, { workDir: join(dir, "staging") }));
});
afterEach(async () => {
  await parts[Symbol.asyncDispose]();
  await rm(dir, { recursive: true, force: true });
});

const desired = (over: Partial<DesiredProcess> = {}): DesiredProcess => ({
  appGuid: "app", processGuid: "app", processType: "web", version: "1", instances: 1, memoryMb: 128, diskMb: 256, startCommand: null, dropletGuid: "d",
  dropletSha256: null, dropletSha1: null, stack: "cflinuxfs4", name: "hello", uris: ["hello.cf.localhost"], env: { GREETING: "$HOME 'hi'" },
  vcapApplication: { application_name: "hello" }, vcapServices: {}, healthCheck: { type: "port", timeoutSeconds: 20 }, spaceGuid: "s", spaceName: "s",
  orgGuid: "o", orgName: "o", updatedAtMs: 0, ...over,
});

async function stageHello(): Promise<DesiredProcess> {
  const zip = new ZipFile();
  zip.addBuffer(Buffer.from(app), "server.js");
  zip.addBuffer(Buffer.from(`{"name":"hello","scripts":{"start":"node server.js"}}`), "package.json");
  zip.end();
  await blobs.put("packages/p", Readable.from(zip.outputStream));
  const result = await runtime.stage({
    buildGuid: "d", appGuid: "app", appName: "hello", packageUrl: await blobs.url("packages/p", "GET", 60_000), dropletUploadUrl: await blobs.url("droplets/d", "PUT", 60_000),
    buildpacks: [], stack: "cflinuxfs4", environment: { STAGE: "1" }, vcapApplication: {}, vcapServices: {}, memoryMb: 256, diskMb: 512, timeoutSeconds: 60,
  });
  return desired({ dropletSha256: result.sha256, startCommand: result.processTypes["web"] ?? null });
}
const states = () => runtime.instances("app").map(({ index, state }) => `${index} ${state}`);
const settled = (expected: string[]) => expect.poll(states, { timeout: 15_000 }).toEqual(expected);

test("stage, place, run, route, measure, scale, restart, stop", async () => {
  const router = parts.use(createRouter({ port: 0, sources: [routesFromBus(bus)] }));
  const { port } = await router.listen();
  const lines: string[] = [];
  bus.subscribe(logEnvelopes, ({ body }) => body.envelopes.forEach(({ payload, tags, source_id }) => lines.push(`${source_id} ${tags["source_type"]} ${payload}`)));
  rows = [await stageHello()];
  expect(lines.some((line) => line.startsWith("app STG "))).toBe(true);
  runtime.converge(["app"]);
  await settled(["0 RUNNING"]);
  const { request } = await import("undici");
  const ask = async () => (await request(`http://127.0.0.1:${port}/`, { headers: { host: "hello.cf.localhost" } })).body.text();
  await expect.poll(ask).toBe("index 0 $HOME 'hi'");
  await expect.poll(() => lines).toContain("app APP/PROC/WEB hello from instance 0");
  const [stats] = await runtime.stats("app");
  expect(stats).toMatchObject({ index: 0, state: "RUNNING", memoryQuotaBytes: 128 * 1_048_576, usage: { cpu: expect.any(Number), mem: expect.any(Number) } });

  rows = rows.map((row) => ({ ...row, instances: 2 }));
  runtime.converge(["app"]);
  await settled(["0 RUNNING", "1 RUNNING"]);
  await expect.poll(async () => new Set(await Promise.all([ask(), ask(), ask(), ask()])).size).toBe(2);

  const before = runtime.instances("app").map(({ instanceGuid }) => instanceGuid);
  await runtime.stopInstance("app", 1);
  await expect.poll(() => runtime.instances("app").filter(({ state, instanceGuid }) => state === "RUNNING" && !before.includes(instanceGuid)).length, { timeout: 15_000 }).toBe(1);
  await settled(["0 RUNNING", "1 RUNNING"]);

  rows = rows.map((row) => ({ ...row, version: "2", instances: 1, uris: ["other.cf.localhost"] }));
  runtime.converge(["app"]);
  await expect.poll(() => runtime.instances("app").map(({ state, version }) => `${version} ${state}`), { timeout: 15_000 }).toEqual(["2 RUNNING"]);
  await expect.poll(async () => (await request(`http://127.0.0.1:${port}/`, { headers: { host: "other.cf.localhost" } })).statusCode).toBe(200);
  await expect.poll(async () => (await request(`http://127.0.0.1:${port}/`, { headers: { host: "hello.cf.localhost" } })).statusCode).toBeGreaterThanOrEqual(404);

  rows = [];
  runtime.converge(["app"]);
  await settled([]);
}, 60_000);

test("an instance whose readiness check fails is up, and requests do not come to it", async () => {
  const router = parts.use(createRouter({ port: 0, sources: [routesFromBus(bus)] }));
  const { port } = await router.listen();
  const { request } = await import("undici");
  const status = async () => (await request(`http://127.0.0.1:${port}/`, { headers: { host: "hello.cf.localhost" } })).statusCode;
  rows = [{ ...(await stageHello()), readinessCheck: { type: "http", endpoint: "/ready", intervalSeconds: 1 } }];
  runtime.converge(["app"]);
  const seen = () => runtime.instances("app").map(({ state, routable }) => `${state} ${String(routable)}`);
  await expect.poll(seen, { timeout: 15_000 }).toEqual(["RUNNING true"]);
  await expect.poll(status).toBe(200);
  const [instance] = runtime.instances("app");
  const turn = () => request(`http://${instance!.host!}:${instance!.port!}/turn`);
  await turn();
  await expect.poll(seen, { timeout: 15_000 }).toEqual(["RUNNING false"]);
  await expect.poll(status).toBeGreaterThanOrEqual(404);
  await turn();
  await expect.poll(seen, { timeout: 15_000 }).toEqual(["RUNNING true"]);
  await expect.poll(status).toBe(200);
}, 60_000);

test("a crash is told with its status, and the health manager brings the instance back", async () => {
  rows = [await stageHello()];
  runtime.converge(["app"]);
  await settled(["0 RUNNING"]);
  parts.use(startHealthManager({ bus, log: silentLogger, intervalMs: 200, settleMs: 100 }));
  const [{ host, port, instanceGuid } = { host: "", port: 0, instanceGuid: "" }] = runtime.instances("app");
  await fetch(`http://${host}:${port}/crash`).catch(() => undefined);
  await expect.poll(() => crashes).toMatchObject([{ processGuid: "app", index: 0, instanceGuid, exitStatus: 7 }]);
  await expect.poll(() => runtime.instances("app").find(({ state }) => state === "RUNNING")?.instanceGuid, { timeout: 15_000 }).not.toBe(undefined);
  expect(runtime.instances("app")[0]?.instanceGuid).not.toBe(instanceGuid);
}, 60_000);

test("no room: the instance is down with a reason, and the app is not said to have crashed", async () => {
  rows = [{ ...(await stageHello()), memoryMb: 100_000 }];
  const exits: string[] = [];
  bus.subscribe(dropletExited, ({ body }) => exits.push(body.reason));
  runtime.converge(["app"]);
  await settled(["0 DOWN"]);
  expect(runtime.instances("app")[0]?.details).toBe("insufficient resources: memory: 100000 MB asked, at most 1024 MB free on one of 1 host");
  expect(exits).toEqual([]);
});

test("a package that no buildpack wants fails with the id that clients know", async () => {
  const empty = join(dir, "empty");
  await mkdir(empty);
  await writeFile(join(empty, "readme.txt"), "nothing to run");
  const zip = new ZipFile();
  zip.addFile(join(empty, "readme.txt"), "readme.txt");
  zip.end();
  await blobs.put("packages/p", Readable.from(zip.outputStream));
  await expect(runtime.stage({
    buildGuid: "x", appGuid: "app", appName: "hello", packageUrl: await blobs.url("packages/p", "GET", 60_000), dropletUploadUrl: await blobs.url("droplets/x", "PUT", 60_000),
    buildpacks: [], stack: "cflinuxfs4", environment: {}, vcapApplication: {}, vcapServices: {}, memoryMb: 256, diskMb: 512, timeoutSeconds: 60,
  })).rejects.toMatchObject({ name: "StageFailure", type: "NoAppDetectedError" });
});

test("a droplet without a start command is enough only for an app that has its own", async () => {
  const zip = new ZipFile();
  zip.addBuffer(Buffer.from("#!/bin/sh\n"), "run.sh");
  zip.end();
  await blobs.put("packages/p", Readable.from(zip.outputStream));
  const request = {
    buildGuid: "x", appGuid: "app", appName: "hello", packageUrl: await blobs.url("packages/p", "GET", 60_000), dropletUploadUrl: await blobs.url("droplets/x", "PUT", 60_000),
    buildpacks: ["binary_buildpack"], stack: "cflinuxfs4", environment: {}, vcapApplication: {}, vcapServices: {}, memoryMb: 256, diskMb: 512, timeoutSeconds: 60,
  };
  await expect(runtime.stage(request)).rejects.toMatchObject({ name: "StageFailure", message: expect.stringContaining("start") });
  expect((await runtime.stage({ ...request, startCommand: "./run.sh" })).processTypes).toEqual({});
});

test("the health manager starts what a dead executor took with it, and stops what nobody wants", async () => {
  rows = [await stageHello()];
  parts.use(startHealthManager({ bus, log: silentLogger, intervalMs: 200, settleMs: 100 }));
  await settled(["0 RUNNING"]);
  rows = [];
  await settled([]);
}, 60_000);
