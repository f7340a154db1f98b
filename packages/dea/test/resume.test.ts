import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, readdir, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { isAlive, readProcesses } from "../src/container/process-table.ts";
import { createDea, type Dea, type Instance, type StartSpec } from "../src/index.ts";
import { journalPath, openJournal } from "../src/journal/journal.ts";
import type { InstanceRecord } from "../src/journal/record.ts";
import { bundle } from "./fixtures/bundle.ts";
import { temporaryFolder, webServer, writeDroplet } from "./fixtures/droplet.ts";
import { until } from "./fixtures/until.ts";

// Executors in processes of their own, one after the other: on a busy machine each takes seconds to come up.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

let programs: Awaited<ReturnType<typeof bundle>>;
beforeAll(async () => {
  programs = await bundle({ executor: "test/fixtures/executor.ts" });
});
afterAll(() => programs[Symbol.asyncDispose]());

type Fact = Record<string, unknown> & { event: string };

/** An executor in another process. */
async function executor(dataDir: string): Promise<{ tell(spec: StartSpec): void; next(event: string): Promise<Fact>; kill(): Promise<void> } & AsyncDisposable> {
  const child: ChildProcessWithoutNullStreams = spawn(process.execPath, [programs.path("executor"), dataDir], { stdio: ["pipe", "pipe", "pipe"] });
  const facts: Fact[] = [];
  let errors = "";
  child.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString()));
  createInterface({ input: child.stdout }).on("line", (line) => facts.push(JSON.parse(line) as Fact));
  const kill = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  };
  return {
    tell: (spec) => void child.stdin.write(`${JSON.stringify({ spec })}\n`),
    async next(event) {
      return await until(() => {
        if (child.exitCode !== null) throw new Error(`the executor died: ${errors}`);
        const at = facts.findIndex((fact) => fact.event === event);
        return at < 0 ? undefined : facts.splice(at, 1)[0];
      }, 60_000);
    },
    kill,
    [Symbol.asyncDispose]: kill,
  };
}

const processesOf = async (mark: string): Promise<number[]> => {
  const found: number[] = [];
  for (const { pid } of readProcesses()) if ((await readFile(`/proc/${pid}/environ`, "utf8").catch(() => "")).includes(mark)) found.push(pid);
  return found;
};
/** Some end by themselves in the same moment. */
const endAll = async (mark: string): Promise<void> => {
  for (const pid of await processesOf(mark)) {
    try {
      process.kill(pid, "SIGKILL");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }
};

/** Starts one instance in a child executor, kills the child, and hands over the folder. */
async function orphan(command: string, spec: Partial<StartSpec> = {}, files: Record<string, string> = { "server.js": webServer }) {
  const folder = await temporaryFolder();
  const droplet = await writeDroplet(join(folder.path, "app.tgz"), files, command);
  const dataDir = join(folder.path, "dea");
  await using child = await executor(dataDir);
  const { id: deaId } = await child.next("up");
  child.tell({ droplet, graceMs: 1_000, env: { SECRET: "very-secret-value" }, ...spec });
  const fact = await child.next("ready");
  await child.kill();
  return {
    dataDir, deaId: deaId as string, id: fact["id"] as string, address: fact["address"] as { host: string; port: number },
    appDir: join(dataDir, "instances", fact["id"] as string, "home", "app"),
    resume: (options = {}): Promise<Dea> => createDea({ dataDir, samplingMs: 200, ...options }),
    [Symbol.asyncDispose]: async () => {
      // Whatever the test did, nothing of it may stay.
      await endAll(`OPENCF_CONTAINER=${deaId as string}/`);
      await folder[Symbol.asyncDispose]();
    },
  };
}

/** The one record of a journal, changed if somebody wants that. */
async function recordIn(dir: string, id: string, change: Partial<InstanceRecord> = {}): Promise<InstanceRecord> {
  await using journal = await openJournal({ dir, id });
  const record = { ...journal.found[0]!, ...change };
  await journal.put(record);
  return record;
}

const textsUntil = async (instance: Instance, last: string): Promise<string[]> => {
  const texts: string[] = [];
  for await (const { stream, text } of instance.logs()) {
    if (stream !== "platform") texts.push(text);
    if (text === last) break;
  }
  return texts;
};

test("an app outlives kill -9 of its executor; the next one takes it over with its output, health and routes", async () => {
  await using old = await orphan("exec node server.js", { uris: ["shop.example.com"], commandId: "c-1", healthCheck: { type: "http", intervalMs: 200 } });
  const answer = async (path: string): Promise<string> => await (await fetch(`http://127.0.0.1:${old.address.port}${path}`)).text();
  // Nobody reads what it prints now, and it does not mind.
  for (let i = 0; i < 20; i++) expect(await answer(`/away-${i}`)).toContain("hello");
  await using dea = await old.resume();
  expect(dea.id).toBe(old.deaId);
  expect(dea.resumed).toMatchObject({ exited: [], removed: [] });
  const [instance] = dea.resumed.adopted;
  expect(instance).toMatchObject({ id: old.id, state: "RUNNING", address: old.address });
  expect(instance?.spec).toMatchObject({ uris: ["shop.example.com"], commandId: "c-1" });
  await instance!.ready;
  await answer("/back");
  const texts = (await textsUntil(instance!, "GET /back")).filter((text) => text.startsWith("GET /away") || text === "GET /back");
  expect(texts).toEqual([...Array.from({ length: 20 }, (_, i) => `GET /away-${i}`), "GET /back"]);
  expect((await instance!.stats()).processes).toBe(1);
  expect(dea.capacity().memory.reservedBytes).toBe(512 * 1024 ** 2);
  const other = await dea.start({ droplet: "/none", healthCheck: { type: "none" } });
  await other.exited;
  expect((await instance!.stop()).reason).toBe("stopped");
  expect(await processesOf(old.deaId)).toEqual([]);
  await expect(answer("/")).rejects.toThrow();
});

test("health goes on after the take-over", async () => {
  const server = `const { existsSync } = require("node:fs"); const s = require("node:http").createServer((q, r) => r.writeHead(existsSync("sick") ? 500 : 200).end()).listen(process.env.PORT)`;
  await using old = await orphan("exec node server.js", { graceMs: 200, healthCheck: { type: "http", intervalMs: 100 } }, { "server.js": server });
  await using dea = await old.resume();
  const [instance] = dea.resumed.adopted;
  expect(instance?.state).toBe("RUNNING");
  await writeFile(join(old.appDir, "sick"), "");
  expect(await instance!.exited).toMatchObject({ reason: "liveness" });
  expect(await processesOf(old.deaId)).toEqual([]);
});

test("limits are kept after the take-over", async () => {
  await using old = await orphan("while [ ! -e go ]; do sleep 0.02; done; exec node -e 'const a=[]; setInterval(() => a.push(Buffer.alloc(5e6, 1)), 5)'", { memoryBytes: 100 * 1024 ** 2, healthCheck: { type: "process" } });
  await using dea = await old.resume();
  await writeFile(join(old.appDir, "go"), "");
  expect(await dea.resumed.adopted[0]!.exited).toMatchObject({ reason: "oom" });
});

test("an executor with a temporary folder leaves nothing behind, even when it is killed", async () => {
  await using folder = await temporaryFolder();
  const droplet = await writeDroplet(join(folder.path, "app.tgz"), { "server.js": webServer }, "setsid sleep 1000 & exec node server.js");
  await using child = await executor("");
  const { id } = await child.next("up");
  child.tell({ droplet });
  await child.next("ready");
  const folders = (await readdir(tmpdir())).filter((name) => name.startsWith("opencf-dea-")).map((name) => join(tmpdir(), name));
  const told = await Promise.all(folders.map((path) => readFile(join(path, "id"), "utf8").catch(() => "")));
  const own = folders[told.findIndex((text) => text.trim() === id)] ?? "";
  expect(own).toContain("opencf-dea-");
  await child.kill();
  await until(async () => (await processesOf(`OPENCF_CONTAINER=${id as string}/`)).length === 0);
  await until(() => readdir(own).then(() => false, () => true));
});

test("how an app ended while nobody was there is known, with its last words", async () => {
  await using old = await orphan("echo up; while [ ! -e go ]; do sleep 0.02; done; echo last words; exit 9", { healthCheck: { type: "process" } });
  await writeFile(join(old.appDir, "go"), "");
  await until(async () => (await readFile(join(old.dataDir, "instances", old.id, "run", "status"), "utf8").catch(() => "")) === "9\n");
  await using dea = await old.resume();
  expect(dea.resumed.adopted).toEqual([]);
  const [instance] = dea.resumed.exited;
  expect(instance?.state).toBe("CRASHED");
  expect(await instance!.exited).toMatchObject({ reason: "exit:9", status: 9, logTail: expect.arrayContaining(["last words"]) });
  expect(await processesOf(old.deaId)).toEqual([]);
});

test("how an app ended is known even when its keeper is gone too, as after a reboot", async () => {
  await using old = await orphan("while [ ! -e go ]; do sleep 0.02; done; exit 9", { healthCheck: { type: "process" } });
  await writeFile(join(old.appDir, "go"), "");
  await until(async () => (await readFile(join(old.dataDir, "instances", old.id, "run", "status"), "utf8").catch(() => "")) === "9\n");
  await endAll(old.deaId);
  await until(async () => (await processesOf(old.deaId)).length === 0);
  await using dea = await old.resume();
  expect(dea.resumed.exited[0]?.exit?.reason).toBe("exit:9");
});

test("an app that was killed together with its keeper is lost, and said to be", async () => {
  await using old = await orphan("exec node server.js");
  await endAll(old.deaId);
  await until(async () => (await processesOf(old.deaId)).length === 0);
  await using dea = await old.resume();
  expect(dea.resumed.exited[0]?.exit).toMatchObject({ reason: "lost", status: -1 });
});

test("an app whose keeper alone was killed is ended: nobody could tell how it ends", async () => {
  await using old = await orphan("exec node server.js");
  const pid = Number((await recordIn(old.dataDir, old.deaId)).container?.["pid"]);
  process.kill(pid, "SIGKILL");
  await until(() => !readProcesses().some((entry) => entry.pid === pid));
  await using dea = await old.resume();
  expect(dea.resumed.exited[0]?.exit?.reason).toBe("lost");
  await until(async () => (await processesOf(old.deaId)).length === 0);
});

test("onResume: stop ends what was left running", async () => {
  await using old = await orphan("exec node server.js");
  await using dea = await old.resume({ onResume: "stop" });
  expect(dea.resumed.adopted).toEqual([]);
  expect(await processesOf(old.deaId)).toEqual([]);
});

test("a pid that belongs to somebody else now is left alone", async () => {
  await using old = await orphan("exec node server.js");
  const stranger = spawn("sleep", ["1000"], { detached: true });
  try {
    const entry = readProcesses().find(({ pid }) => pid === stranger.pid)!;
    // Even with the right start time: the mark is missing.
    await recordIn(old.dataDir, old.deaId, { container: { pid: entry.pid, startTicks: entry.startTicks } });
    await using dea = await old.resume();
    expect(dea.resumed.exited.map(({ id }) => id)).toEqual([old.id]);
    await until(async () => (await processesOf(old.deaId)).length === 0);
    expect(isAlive(entry.pid, entry.startTicks)).toBe(true);
  } finally {
    stranger.kill("SIGKILL");
  }
});

test("what no journal knows is killed and removed", async () => {
  await using old = await orphan("setsid sleep 1000 & exec node server.js");
  await rm(journalPath(old.dataDir));
  await mkdir(join(old.dataDir, "tmp", "half-done"), { recursive: true });
  await using dea = await old.resume();
  expect(dea.resumed).toMatchObject({ adopted: [], exited: [], removed: [old.id] });
  expect(await processesOf(old.deaId)).toEqual([]);
  expect(await readdir(join(old.dataDir, "instances"))).toEqual([]);
  expect(await readdir(join(old.dataDir, "tmp"))).toEqual([]);
});

test.each([
  ["a damaged tail costs nothing before it", (text: string) => `${text}00000000 {"put":{"id":"cut off in the mid`, 1],
  ["garbage costs everything, but not the start", () => "garbage\n", 0],
  ["an empty file likewise", () => "", 0],
  ["a line that is no instance costs itself", (text: string) => `${text}{"id":7}\nnull\n[]\n`, 1],
])("a journal with damage: %s", async (_name, damage, adopted) => {
  await using old = await orphan("exec node server.js");
  const path = journalPath(old.dataDir);
  await writeFile(path, damage(await readFile(path, "utf8")));
  await using dea = await old.resume();
  expect(dea.resumed.adopted).toHaveLength(adopted);
  expect(dea.resumed.removed).toHaveLength(1 - adopted);
});

test("what carries another executor's mark, or none, is touched by no start", async () => {
  await using old = await orphan("exec node server.js");
  const mark = (value: string) => spawn("sleep", ["1000"], { env: { ...process.env, OPENCF_CONTAINER: value }, detached: true, stdio: "ignore" });
  const strangers = [mark(`11111111-2222-4333-8444-555555555555/${old.id}`), mark(`x${old.deaId}/${old.id}`), spawn("sleep", ["1000"], { detached: true, stdio: "ignore" })];
  const lost = mark(`${old.deaId}/of-nobody`);
  try {
    await until(async () => (await Promise.all([...strangers, lost].map(({ pid }) => readFile(`/proc/${pid}/cmdline`, "utf8")))).every((text) => text.startsWith("sleep")));
    await using dea = await old.resume();
    expect(dea.resumed.removed).toEqual(["of-nobody"]);
    await until(() => lost.signalCode === "SIGKILL");
    await dea.close();
    expect(strangers.map(({ exitCode, signalCode }) => [exitCode, signalCode])).toEqual(strangers.map(() => [null, null]));
  } finally {
    for (const child of [...strangers, lost]) child.kill("SIGKILL");
  }
});

test("what an older executor wrote, a snapshot, is taken over", async () => {
  await using old = await orphan("exec node server.js");
  const record = await recordIn(old.dataDir, old.deaId);
  await rm(journalPath(old.dataDir));
  await writeFile(join(old.dataDir, "snapshot.jsonl"), [{ format: "opencf-dea-snapshot", version: 1 }, record].map((line) => `${JSON.stringify(line)}\n`).join(""));
  await using dea = await old.resume();
  expect(dea.resumed.adopted.map(({ id }) => id)).toEqual([old.id]);
  expect(await readdir(old.dataDir)).not.toContain("snapshot.jsonl");
});

test("without a key the journal holds no secrets", async () => {
  await using old = await orphan("exec node server.js", { services: [{ label: "db", credentials: { uri: "postgres://u:pass-word@h/d" } }] });
  const text = await readFile(journalPath(old.dataDir), "utf8");
  expect(text).toContain(old.id);
  expect(text).not.toContain("very-secret-value");
  expect(text).not.toContain("pass-word");
});

test("the executor's id outlives the loss of the file that holds it", async () => {
  await using old = await orphan("exec node server.js");
  await writeFile(join(old.dataDir, "id"), "");
  await using dea = await old.resume();
  expect(dea.id).toBe(old.deaId);
  expect(dea.resumed.adopted.map(({ id }) => id)).toEqual([old.id]);
  expect((await readFile(join(old.dataDir, "id"), "utf8")).trim()).toBe(old.deaId);
});

test("one folder, one executor", async () => {
  await using folder = await temporaryFolder();
  const dea = await createDea({ dataDir: folder.path });
  await expect(createDea({ dataDir: folder.path })).rejects.toMatchObject({ code: "DEA_DATA_DIR_BUSY" });
  await dea.close();
  await dea.close();
  await using again = await createDea({ dataDir: folder.path });
  expect(again.id).toBe(dea.id);
});

test("closing with keep leaves instances to the next executor, with sequences that go on rising", async () => {
  await using folder = await temporaryFolder();
  const droplet = await writeDroplet(join(folder.path, "app.tgz"), { "server.js": webServer }, "exec node server.js");
  const first = await createDea({ dataDir: join(folder.path, "dea"), onClose: "keep" });
  const instance = await first.start({ droplet, graceMs: 1_000 });
  await instance.ready;
  const { address } = instance;
  await fetch(`http://127.0.0.1:${address.port}/one`);
  let highest = 0;
  let latest = 0n;
  for await (const { sequence, text, timestampNs } of instance.logs()) {
    highest = sequence;
    latest = timestampNs;
    if (text === "GET /one") break;
  }
  await first.close();
  await expect(first.start({ droplet })).rejects.toMatchObject({ code: "DEA_CLOSED" });
  await using second = await createDea({ dataDir: join(folder.path, "dea") });
  await fetch(`http://127.0.0.1:${address.port}/two`);
  for await (const { sequence, text, timestampNs } of second.resumed.adopted[0]!.logs()) {
    expect(sequence).toBeGreaterThan(highest);
    expect(timestampNs > latest).toBe(true);
    if (text === "GET /two") break;
  }
});

test("an executor killed again and again loses no app and starts none twice", async () => {
  await using old = await orphan("exec node server.js");
  const before = await processesOf(old.deaId);
  for (let round = 0; round < 3; round++) {
    await using child = await executor(old.dataDir);
    expect((await child.next("up"))["adopted"]).toEqual([{ id: old.id, state: "RUNNING" }]);
    await child.kill();
    expect(await (await fetch(`http://127.0.0.1:${old.address.port}/`)).text()).toContain("hello");
  }
  expect(await processesOf(old.deaId)).toEqual(before);
});

test("a folder that was moved is still the same executor", async () => {
  await using folder = await temporaryFolder();
  const first = await createDea({ dataDir: join(folder.path, "a") });
  await first.close();
  await rename(join(folder.path, "a"), join(folder.path, "b"));
  await using second = await createDea({ dataDir: join(folder.path, "b") });
  expect(second.id).toBe(first.id);
});
