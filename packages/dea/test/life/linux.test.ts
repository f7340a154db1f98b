import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createDea, type Dea, type Instance, linuxBackend, MiB, probeLinux, type StartSpec } from "../../src/index.ts";
import { temporaryFolder, writeTar } from "../fixtures/droplet.ts";
import { until } from "../fixtures/until.ts";

const host = await probeLinux();
const lacks = host.findings.filter(({ ok, needed }) => needed && !ok).map(({ name }) => name).join(", ");

const server = `
const fs = require("node:fs"), http = require("node:http");
http.createServer((q, r) => { r.statusCode = q.url === "/ready" && !fs.existsSync("ready") ? 503 : 200; r.end(); }).listen(process.env.PORT);`;

describe.skipIf(!host.able)(`life in a container${host.able ? "" : ` (this machine lacks ${lacks})`}`, () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let dea: Dea;
  let droplet: string;
  beforeAll(async () => {
    folder = await temporaryFolder();
    droplet = await writeTar(join(folder.path, "d.tgz"), [{ name: "./app/server.js", body: server }, { name: "./logs/", type: "directory" }]);
    dea = await createDea({ backend: await linuxBackend(), dataDir: join(folder.path, "dea"), memoryBytes: 2_048 * MiB, diskBytes: 8_192 * MiB, samplingMs: 200 });
  }, 60_000);
  afterAll(async () => {
    await dea.close();
    await folder[Symbol.asyncDispose]();
  }, 120_000);
  const start = (command: string, change: Partial<StartSpec> = {}): Promise<Instance> =>
    dea.start({ droplet, command, memoryBytes: 96 * MiB, diskBytes: 64 * MiB, healthCheck: { type: "process" }, graceMs: 500, ...change });

  test.each([
    ["exit:5", "exit 5", {}], ["signal:SIGSEGV", "kill -SEGV $$", {}], ["port-timeout", "exec sleep 1000", { healthCheck: { type: "port", timeoutMs: 500 } }],
    ["oom", `exec "${process.execPath}" -e 'const a=[]; setInterval(() => a.push(Buffer.alloc(8e6, 1)), 1)'`, {}],
  ] as [string, string, Partial<StartSpec>][])("dea §20.2 %s", async (reason, command, change) => {
    const instance = await start(command, change);
    expect((await instance.exited).reason).toBe(reason);
  }, 120_000);

  test("dea §9 the logs of a crash outlive its container, owned by the executor; links in them do not", async () => {
    const instance = await start("echo why > ../logs/app.log; ln -s /etc/passwd ../logs/link; exit 1");
    await instance.exited;
    const logs = join(instance.filesDir ?? "", "logs");
    expect(await readdir(logs)).toEqual(["app.log"]);
    expect(await readFile(join(logs, "app.log"), "utf8")).toBe("why\n");
  }, 120_000);

  test("dea §8 and §20.4 readiness, and a state file written by the app", async () => {
    const instance = await start(`exec "${process.execPath}" server.js`, { healthCheck: { type: "port", timeoutMs: 90_000 }, readinessCheck: { type: "http", path: "/ready", intervalMs: 200 } });
    await instance.ready;
    expect(instance.routable).toBe(false);
    await writeFile(join(instance.filesDir ?? "", "app", "ready"), "");
    await until(() => instance.routable, 30_000);
    const stateful = await start(`echo '{"state":"RUNNING"}' > ../state; exec sleep 1000`, { healthCheck: { type: "state-file", path: "state", timeoutMs: 90_000 } });
    await stateful.ready;
    expect((await stateful.stop()).reason).toBe("stopped");
    expect((await instance.stop()).reason).toBe("stopped");
  }, 180_000);
});
