import { mkdir, readdir, stat, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createDea, type Dea, type Instance, MiB } from "../src/index.ts";
import { controlSocketName, openControlSocket } from "../src/reach.ts";
import { temporaryFolder, writeDroplet } from "./fixtures/droplet.ts";
import { until } from "./fixtures/until.ts";

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let dea: Dea;
let control: AsyncDisposable;
let app: Instance;
let dataDir: string;
beforeAll(async () => {
  folder = await temporaryFolder();
  dataDir = join(folder.path, "dea");
  const droplet = await writeDroplet(join(folder.path, "d.tgz"), { "hello.txt": "hello" });
  dea = await createDea({ dataDir, memoryBytes: 1_024 * MiB, samplingMs: 50, metricsMs: 50 });
  control = await openControlSocket(dea, dataDir);
  app = await dea.start({ droplet, command: "echo up; sleep 1000", env: { SECRET: "do not tell" }, memoryBytes: 64 * MiB, healthCheck: { type: "process" }, graceMs: 100, appId: "the-app" });
  await app.ready;
}, 60_000);
afterAll(async () => {
  await control[Symbol.asyncDispose]();
  await dea.close();
  await folder[Symbol.asyncDispose]();
}, 60_000);

const ask = (path: string, method = "GET", socketPath = join(dataDir, controlSocketName)): Promise<[number, string]> =>
  new Promise((resolve, reject) => {
    request({ socketPath, path, method }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (piece: string) => (text += piece));
      response.on("end", () => resolve([response.statusCode ?? 0, text]));
    }).on("error", reject).end();
  });
const json = async (path: string): Promise<Record<string, unknown>> => JSON.parse((await ask(path))[1]) as Record<string, unknown>;

describe("dea §15: what the executor tells its operator", () => {
  test("the socket is its owner's alone", async () => {
    expect((await stat(join(dataDir, controlSocketName))).mode & 0o777).toBe(0o600);
  });
  test("status and instances, without secrets", async () => {
    expect(await ask("/healthz")).toEqual([200, "ok\n"]);
    expect(await json("/v1/status")).toMatchObject({ id: dea.id, accepting: true, backend: "process", memory: { totalBytes: 1_024 * MiB }, instances: { present: 1 }, states: { RUNNING: 1 }, tasks: 0 });
    const [status, text] = await ask("/v1/instances");
    expect(status).toBe(200);
    expect(text).not.toContain("do not tell");
    expect(text).not.toContain(app.privateId);
    expect(JSON.parse(text)).toMatchObject({ instances: [{ instance: app.id, app: "the-app", index: 0, state: "RUNNING", port: app.address.port, limits: { mem: 64, disk: 1_024, fds: 16_384 } }] });
    expect(await json(`/v1/instances/${app.id}`)).toMatchObject({ instance: app.id });
  });
  test("files, lines and samples of one", async () => {
    expect(await ask(`/v1/instances/${app.id}/files?path=/app/hello.txt`)).toEqual([200, "hello"]);
    expect((await ask(`/v1/instances/${app.id}/files`))[1]).toContain("app/");
    await until(async () => (await ask(`/v1/instances/${app.id}/logs`))[1].includes('"stream":"stdout","text":"up"'));
    await until(() => app.metrics().length > 0);
    expect((await json(`/v1/instances/${app.id}/metrics`))["samples"]).toHaveLength(app.metrics().length);
  });
  test("tasks", async () => {
    const task = dea.tasks.start({ id: "a task", droplet: join(folder.path, "d.tgz"), command: "exit 2", memoryBytes: 64 * MiB });
    await task.ended;
    expect(await json("/v1/tasks")).toMatchObject({ tasks: [{ task: "a task", state: "FAILED" }] });
    expect(await json("/v1/tasks/a%20task")).toMatchObject({ result: { reason: "exit:2", exitCode: 2 } });
  }, 30_000);
  test.each([["/v1/instances/none", 404], ["/v1/instances/none/files", 404], ["/v1/tasks/none", 404], ["/v1/nothing", 404], ["/v2/instances", 404], ["/v1/tasks/%zz", 404]] as const)("%s: %i", async (path, status) => {
    expect((await ask(path))[0]).toBe(status);
  });
  test("it changes nothing: 405", async () => {
    expect((await ask("/v1/instances", "DELETE"))[0]).toBe(405);
  });
});

test("a folder with a name longer than a socket's path may be", async () => {
  const deep = join(folder.path, "x".repeat(90), "y".repeat(90));
  await mkdir(deep, { recursive: true });
  await writeFile(join(deep, controlSocketName), "what a killed executor left is no hindrance");
  const one = await openControlSocket(dea, deep);
  expect((await stat(join(deep, controlSocketName))).isSocket()).toBe(true);
  expect(await readdir(deep)).toEqual([controlSocketName]);
  await one[Symbol.asyncDispose]();
  await one[Symbol.asyncDispose]();
  expect(await readdir(deep)).toEqual([]);
  // Two executors in one process: the end of one takes nothing from the other.
  const other = await openControlSocket(dea, deep);
  const third = await openControlSocket(dea, folder.path);
  await third[Symbol.asyncDispose]();
  expect((await stat(join(deep, controlSocketName))).isSocket()).toBe(true);
  await other[Symbol.asyncDispose]();
});
