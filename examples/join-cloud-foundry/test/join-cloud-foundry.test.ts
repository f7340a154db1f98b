import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { request } from "node:http";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Executor, joinAsExecutor } from "../executor.ts";
import { connectRaw, type RawNats } from "../raw-nats.ts";
import { makeSampleDroplet } from "../sample.ts";
import { startTheirController, type TheirController } from "../their-controller.ts";
import { type Child, findProgram, startChild, startTheirRouter } from "../their-router.ts";

const here = fileURLToPath(new URL("..", import.meta.url));
const ours = fileURLToPath(new URL("../../../packages/router/dist/cli.js", import.meta.url));
const server = findProgram("nats-server");
const gorouter = findProgram("gorouter");

const freePort = (): Promise<number> => new Promise((resolve) => {
  const probe = createServer().listen(0, "127.0.0.1", () => {
    const { port } = probe.address() as AddressInfo;
    probe.close(() => resolve(port));
  });
});
const ask = (port: number, host: string): Promise<{ status: number; text: string }> => new Promise((resolve, reject) => {
  request({ host: "127.0.0.1", port, headers: { host }, agent: false }, (answer) => {
    let text = "";
    answer.setEncoding("utf8").on("data", (part: string) => (text += part)).on("end", () => resolve({ status: answer.statusCode ?? 0, text })).on("error", reject);
  }).on("error", reject).end();
});

describe.skipIf(!server)(`our executor, a controller of raw messages, a router that is a process of its own (${gorouter ? "gorouter" : "opencf-router"})${server ? "" : ": nats-server is missing; apt-get install nats-server"}`, () => {
  const app = { guid: "app-1", uri: "sample.example.com" };
  const greeting = "hello from somebody else's cloud, instance 0\n";
  let dir: string;
  let nats: Child;
  let url: string;
  let port: number;
  let statusPort: number;
  let router: Child;
  let executor: Executor;
  let controller: TheirController;
  let tap: RawNats;
  const registered: { host: string; port: number; uris: string[] }[] = [];
  const exited: object[] = [];

  const startRouter = () => startTheirRouter({ nats: url, port, statusPort, dir, ...(!gorouter && { argv: [process.execPath, ours] }) });
  beforeAll(async () => {
    if (!gorouter && !existsSync(ours)) throw new Error(`${ours} is not built; run \`npm run build\` first`);
    dir = await mkdtemp(join(tmpdir(), "opencf-join-test-"));
    const natsPort = await freePort();
    [port, statusPort] = [await freePort(), await freePort()];
    url = `nats://127.0.0.1:${natsPort}`;
    nats = await startChild([server as string, "-a", "127.0.0.1", "-p", String(natsPort)], natsPort);
    tap = await connectRaw(url);
    tap.subscribe("router.register", (body) => void registered.push(body as (typeof registered)[number]));
    tap.subscribe("droplet.exited", (body) => void exited.push(body as object));
    router = await startRouter();
    executor = await joinAsExecutor({ nats: url, host: "127.0.0.1", dataDir: join(dir, "dea") });
    controller = await startTheirController(url);
  }, 120_000);
  afterAll(async () => {
    tap?.[Symbol.dispose]();
    for (const part of [controller, executor, router, nats]) await part?.[Symbol.asyncDispose]();
    await rm(dir, { recursive: true, force: true, maxRetries: 3 });
  }, 60_000);

  test("a start in the words of the original runs the app, and the router leads there", { timeout: 120_000 }, async () => {
    const dropletFile = await makeSampleDroplet(dir);
    expect(await controller.start({ ...app, dropletFile })).toBe(executor.id);
    await expect.poll(() => ask(port, app.uri), { timeout: 60_000 }).toEqual({ status: 200, text: greeting });
    await expect.poll(() => controller.states(app.guid), { timeout: 20_000 }).toEqual(["RUNNING"]);
    expect(registered[0]).toMatchObject({ host: "127.0.0.1", port: expect.any(Number), uris: [app.uri], app: app.guid, private_instance_index: "0", private_instance_id: expect.stringMatching(/^[0-9a-f]{64}$/) });
  });

  test("a router that comes back asks, and is told again", { timeout: 120_000 }, async () => {
    await router[Symbol.asyncDispose]();
    await expect(ask(port, app.uri)).rejects.toThrow();
    router = await startRouter();
    await expect.poll(() => ask(port, app.uri).catch(() => undefined), { timeout: 60_000 }).toEqual({ status: 200, text: greeting });
  });

  test("dea.stop ends it, and the router is told at once", { timeout: 60_000 }, async () => {
    controller.stop(app.guid);
    await expect.poll(async () => (await ask(port, app.uri)).status, { timeout: 30_000 }).toBeGreaterThanOrEqual(404);
    await expect.poll(() => exited, { timeout: 30_000 }).toContainEqual(expect.objectContaining({ droplet: app.guid, index: 0, reason: "STOPPED" }));
  });

  test("the README shows what the sample says", async () => {
    const text = await readFile(join(here, "README.md"), "utf8");
    expect(text).toContain(`$ curl -H 'Host: ${app.uri}' http://127.0.0.1:8090/\n${greeting}`);
  });
});
