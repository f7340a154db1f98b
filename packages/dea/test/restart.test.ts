import { readdir, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createDea, type Dea, type DeaOptions, linuxBackend, MiB, processBackend, type StartSpec } from "../src/index.ts";
import { instanceSpec } from "../src/instance/spec.ts";
import { openJournal } from "../src/journal/journal.ts";
import { probeLinux } from "../src/linux/probe.ts";
import { bundle } from "./fixtures/bundle.ts";
import { temporaryFolder, writeDroplet } from "./fixtures/droplet.ts";
import { type ExecutorProcess, type Fact, startProcess } from "./fixtures/executor-process.ts";
import { handlesOnMachine } from "./fixtures/handles.ts";
import { until } from "./fixtures/until.ts";

const host = await probeLinux();
/** Listens once there is a file "go", or somebody says at once. Ignores TERM where told to. */
const server = `const fs = require("node:fs"); if (process.env.STUBBORN) process.on("SIGTERM", () => {});
const listen = () => process.env.LATE && !fs.existsSync(process.env.HOME + "/go") ? setTimeout(listen, 50) : require("node:http").createServer((q, s) => s.end(JSON.stringify({ pid: process.pid, secret: process.env.SECRET, services: process.env.VCAP_SERVICES }))).listen(process.env.PORT);
listen(); setTimeout(() => {}, 1e9);`;

let programs: Awaited<ReturnType<typeof bundle>>;
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let droplet: string;
let silent: Server;
beforeAll(async () => {
  programs = await bundle({ victim: "test/fixtures/victim.ts" });
  folder = await temporaryFolder();
  droplet = await writeDroplet(join(folder.path, "app.tgz"), { "server.js": server }, `exec "${process.execPath}" server.js`);
  silent = createServer(() => {});
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
});
afterAll(async () => {
  silent.closeAllConnections();
  silent.close();
  await programs[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

const small = { memoryBytes: 128 * MiB, diskBytes: 32 * MiB, graceMs: 2_000 };
const answer = async (port: number | undefined): Promise<{ pid: number; secret?: string; services?: string }> =>
  (await (await fetch(`http://127.0.0.1:${port ?? 0}/`, { headers: { connection: "close" } })).json()) as { pid: number };
const stalled = (): string => `http://127.0.0.1:${(silent.address() as AddressInfo).port}/d.tgz`;

/** Starts one app and waits for a fact about it. */
async function begin(child: ExecutorProcess, app: string, spec: Partial<StartSpec>, event: string): Promise<Fact> {
  child.tell({ start: { droplet, ...small, appId: app, ...spec } });
  return await until(() => child.facts.find((fact) => fact.event === event && fact.app === app), 60_000);
}

const lacks = host.findings.filter(({ ok, needed }) => needed && !ok).map(({ name }) => name).join(", ");

describe.each([["process", true, ""], ["linux", host.able, host.able ? "" : ` (this machine lacks ${lacks})`]] as const)("dea §12 restart after kill -9, %s backend", (kind, able, why) => {
  const open = async (dataDir: string, more: DeaOptions = {}): Promise<Dea> =>
    createDea({ dataDir, backend: kind === "linux" ? await linuxBackend() : processBackend(), memoryBytes: 4_096 * MiB, diskBytes: 2 ** 40, samplingMs: 300, ...more });

  test.skipIf(!able)(`each state becomes what the table says${why}`, async () => {
    const dataDir = join(folder.path, `states-${kind}`);
    const at: Record<string, Fact> = {};
    let pid = 0;
    {
      await using child = startProcess(programs.path("victim"), [dataDir, kind]);
      await child.first("up");
      at["RUNNING"] = await begin(child, "running", { uris: ["a.example.com"], index: 3, version: "v7" }, "ready");
      pid = (await answer(at["RUNNING"].port)).pid;
      at["CRASHED"] = await begin(child, "crashed", { command: "echo last words; exit 7", healthCheck: { type: "process" } }, "exited");
      at["STOPPING"] = await begin(child, "stopping", { env: { STUBBORN: "1" } }, "ready");
      at["STARTING, made"] = await begin(child, "late", { env: { LATE: "1" } }, "accepted");
      at["STARTING, not made"] = await begin(child, "stalled", { droplet: { url: stalled(), sha1: "1".repeat(40) } }, "accepted");
      child.tell({ stop: at["STOPPING"].id });
      await child.first("stopping");
      const known = join(folder.path, `look-${kind}`);
      await until(async () => {
        const records = await recordsOf(dataDir, at["RUNNING"]?.id ?? "", known);
        const byId = new Map(records.map((record) => [record.id, record]));
        return byId.get(at["STOPPING"]?.id ?? "")?.state === "STOPPING" && byId.get(at["STARTING, made"]?.id ?? "")?.container !== undefined && byId.get(at["STARTING, not made"]?.id ?? "")?.state === "STARTING";
      }, 30_000);
      await child.kill();
    }
    expect((await answer(at["RUNNING"].port)).pid).toBe(pid);
    const dea = await open(dataDir);
    try {
      const found = (what: string) => dea.instances().find(({ id }) => id === at[what]?.id);
      const running = found("RUNNING");
      expect(running).toMatchObject({ state: "RUNNING", address: { port: at["RUNNING"].port }, spec: { uris: ["a.example.com"], index: 3, version: "v7", memoryBytes: small.memoryBytes } });
      expect((await answer(at["RUNNING"].port)).pid).toBe(pid);
      // Remembered, and not told a second time.
      expect(found("CRASHED")).toMatchObject({ state: "CRASHED", exit: { reason: "exit:7" } });
      expect(dea.resumed.exited.map(({ id }) => id)).toEqual([at["STARTING, not made"].id]);
      expect(found("STARTING, not made")).toMatchObject({ state: "CRASHED", exit: { reason: "interrupted" } });
      expect(await readdir(join(dataDir, "instances"))).not.toContain(at["STARTING, not made"].id);
      // A stop that was begun is carried to its end.
      expect((await found("STOPPING")?.exited)?.reason).toBe("stopped");
      const late = found("STARTING, made");
      expect(late?.state).toBe("STARTING");
      await writeFile(join((await homeOf(dataDir, dea.id, kind, late?.id ?? "")), "app", "go"), "");
      await late?.ready;
      expect(dea.resumed.removed).toEqual([]);
    } finally {
      await dea.close();
    }
    expect(await handlesOnMachine(dea.id, join(dataDir, "instances"))).toEqual([]);
  }, 240_000);

  test.skipIf(!able)(`an evacuation that was cut short by a death has left no orphan: who was leaving still serves, and is still leaving${why}`, async () => {
    const dataDir = join(folder.path, `evacuating-${kind}`);
    let app: Fact;
    {
      await using child = startProcess(programs.path("victim"), [dataDir, kind]);
      await child.first("up");
      app = await begin(child, "leaving", {}, "ready");
      child.tell({ evacuateMs: 60_000 });
      await until(async () => (await recordsOf(dataDir, app.id ?? "", join(folder.path, `look-e-${kind}`)))[0]?.state === "EVACUATING", 30_000);
      await child.kill();
    }
    const { pid } = await answer(app.port);
    const dea = await open(dataDir);
    try {
      expect(dea.resumed.adopted.map(({ id, state }) => ({ id, state }))).toEqual([{ id: app.id, state: "EVACUATING" }]);
      expect((await answer(app.port)).pid).toBe(pid);
      expect(dea.accepting).toBe(true);
    } finally {
      await dea.close();
    }
  }, 120_000);
});

describe("dea §12 recovery gaps of the original", () => {
  test("a smaller executor takes over all the same: nothing is ended for want of room", async () => {
    const dataDir = join(folder.path, "smaller");
    const first = await createDea({ dataDir, memoryBytes: 1_024 * MiB, onClose: "keep" });
    const instance = await first.start({ droplet, ...small });
    await instance.ready;
    const { uptimeMs } = await instance.stats();
    await first.close();
    await using second = await createDea({ dataDir, memoryBytes: 64 * MiB });
    expect(second.resumed.adopted[0]?.state).toBe("RUNNING");
    expect(second.capacity().memory.freeBytes).toBe(-64 * MiB);
    // Its age goes on.
    expect((await second.resumed.adopted[0]?.stats())?.uptimeMs).toBeGreaterThanOrEqual(uptimeMs);
    await expect(second.start({ droplet, ...small })).rejects.toMatchObject({ code: "DEA_NO_CAPACITY" });
  }, 60_000);

  test("with a key a start that was cut short is carried out with all it was given: environment, services, command, once", async () => {
    const dataDir = join(folder.path, "again");
    const journalKey = "a key of more than sixteen bytes";
    const { id: deaId } = await createDea({ dataDir }).then(async (dea) => (await dea.close(), dea));
    const { env, services, application, droplet: source, command, ...spec } = instanceSpec({ droplet, ...small, appId: "again", env: { SECRET: "s3cret" }, services: [{ label: "db", credentials: { uri: "postgres://h/d" } }] });
    const id = "ab".repeat(16);
    {
      await using journal = await openJournal({ dir: dataDir, id: deaId, key: journalKey });
      await journal.put({ id, privateId: id + id, state: "BORN", stateSince: Date.now(), startedAt: 0, readyAt: undefined, resumes: 0, port: undefined, container: undefined, spec, exit: undefined, secret: { env, services, application, droplet: source, command } });
    }
    const first = await createDea({ dataDir, journalKey, onClose: "keep" });
    const [instance] = first.resumed.adopted;
    expect(instance?.id).toBe(id);
    await instance?.ready;
    const told = await answer(instance?.address.port);
    expect(told.secret).toBe("s3cret");
    expect(told.services).toContain("postgres://h/d");
    await first.close();
    // It runs now, so it is not started again.
    await using second = await createDea({ dataDir, journalKey });
    expect((await answer(second.resumed.adopted[0]?.address.port)).pid).toBe(told.pid);
    // Without its key nothing is taken over, and nothing is ended.
    await second.close({ instances: "keep" });
    await expect(createDea({ dataDir })).rejects.toMatchObject({ code: "DEA_JOURNAL" });
    expect((await answer(instance?.address.port)).pid).toBe(told.pid);
    await using _third = await createDea({ dataDir, journalKey });
  }, 120_000);

  test("what was changed while it ran is what the next executor knows", async () => {
    const dataDir = join(folder.path, "changed");
    const first = await createDea({ dataDir, onClose: "keep" });
    const instance = await first.start({ droplet, ...small, uris: ["old.example.com"] });
    await instance.ready;
    first.update(instance, { uris: ["new.example.com"], version: "v2" });
    await first.close();
    await using second = await createDea({ dataDir });
    expect(second.resumed.adopted[0]?.spec).toMatchObject({ uris: ["new.example.com"], version: "v2" });
  }, 60_000);
});

async function recordsOf(dataDir: string, id: string, copy: string) {
  const { copyFile, mkdir, readFile } = await import("node:fs/promises");
  await mkdir(copy, { recursive: true });
  await copyFile(join(dataDir, "journal.jsonl"), join(copy, "journal.jsonl"));
  await using journal = await openJournal({ dir: copy, id: (await readFile(join(dataDir, "id"), "utf8")).trim() || id });
  return journal.found;
}

async function homeOf(dataDir: string, owner: string, kind: string, id: string): Promise<string> {
  if (kind === "process") return join(dataDir, "instances", id, "home");
  const { containerPaths, ownerNames } = await import("../src/linux/names.ts");
  return containerPaths(ownerNames(owner), id).home;
}
