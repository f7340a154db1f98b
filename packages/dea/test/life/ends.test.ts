import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createDea, type Dea, DeaError, type Instance, MiB, type StartSpec } from "../../src/index.ts";
import { type Crash, crashDefaults, oldestFiles, reapCrashes } from "../../src/instance/crash-rules.ts";
import { reasonOfError, reasonOfStatus, reasonText } from "../../src/instance/exit.ts";
import { openKeptFiles } from "../../src/instance/kept-files.ts";
import { createCrashReaper } from "../../src/crash-reaper.ts";
import type { ManagedInstance } from "../../src/instance/instance.ts";
import { silentLogger, systemClock } from "../../src/ports.ts";
import { temporaryFolder, writeDroplet, writeTar } from "../fixtures/droplet.ts";
import { world } from "../fixtures/member.ts";
import { until } from "../fixtures/until.ts";

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let empty: string;
let dea: Dea;
let server: Server;
beforeAll(async () => {
  folder = await temporaryFolder();
  empty = await writeDroplet(join(folder.path, "empty.tgz"), { "a-file": "" });
  dea = await createDea({ dataDir: join(folder.path, "dea"), memoryBytes: 100 * 1024 * MiB, diskBytes: 100 * 1024 * MiB, samplingMs: 100 });
  server = createServer((request, response) => {
    if (request.url === "/empty") void readFile(empty).then((bytes) => response.end(bytes));
    else response.writeHead(404).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});
afterAll(async () => {
  await dea.close();
  server.close();
  await folder[Symbol.asyncDispose]();
});
const base = (): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
const start = (command: string | undefined, change: Partial<StartSpec> = {}, on = dea): Promise<Instance> =>
  on.start({ droplet: empty, ...(command === undefined ? {} : { command }), memoryBytes: 256 * MiB, diskBytes: 256 * MiB, healthCheck: { type: "process" }, graceMs: 200, ...change });

describe("dea §20.2 typed reasons, with the last 50 lines", () => {
  const eat = `exec node -e "const a=[]; setInterval(() => a.push(Buffer.alloc(5e6, 1)), 5)"`;
  test.each([
    ["exit:N", "exit 7", {}, "exit:7", "exit", 7, "app instance exited"],
    ["exit:0: a clean exit is a crash", "exit 0", {}, "exit:0", "exit", 0, "app instance exited"],
    ["signal:S", "kill -ABRT $$", {}, "signal:SIGABRT", "signal", 134, "app instance exited"],
    ["signal:SIGKILL by itself", "kill -KILL $$", {}, "signal:SIGKILL", "signal", 137, "app instance exited"],
    ["oom", eat, { memoryBytes: 100 * MiB }, "oom", "oom", -1, "out of memory"],
    ["disk-quota", "while :; do head -c 1000000 /dev/zero >> big; sleep 0.01; done", { diskBytes: 20 * MiB }, "disk-quota", "disk-quota", -1, "disk quota exceeded"],
    ["port-timeout", "exec sleep 1000", { healthCheck: { type: "port", timeoutMs: 300 } }, "port-timeout", "health-timeout", -1, "failed to accept connections within health check timeout"],
    ["http-timeout", "exec sleep 1000", { healthCheck: { type: "http", timeoutMs: 300 } }, "http-timeout", "health-timeout", -1, "failed to answer its HTTP health check within health check timeout"],
    ["droplet-missing: no such file", "true", { droplet: "/no/such/droplet.tgz" }, "droplet-missing", "droplet-missing", -1, /^failed to start: cannot read/],
    ["droplet-missing: not at its link", "true", () => ({ droplet: `${base()}/gone` }), "droplet-missing", "droplet-missing", -1, /^failed to start: a file at 127.0.0.1:\d+: status 404$/],
    ["droplet: another one than asked for", "true", () => ({ droplet: { url: `${base()}/empty`, sha1: "0".repeat(40) } }), "droplet", "droplet", -1, /sha1 is [0-9a-f]{40}, not 0{40}$/],
    ["no-command", undefined, {}, "no-command", "no-command", -1, "missing start command"],
  ] as [string, string | undefined, Partial<StartSpec> | (() => Partial<StartSpec>), string, string, number, string | RegExp][])("%s", async (_name, command, change, reason, kind, status, description) => {
    const instance = await start(command, typeof change === "function" ? change() : change);
    const exit = await instance.exited;
    expect(exit).toMatchObject({ reason, kind, description: typeof description === "string" ? description : (expect.stringMatching(description) as string) });
    if (reason !== "oom") expect(exit.status).toBe(status);
    expect(instance.state).toBe("CRASHED");
  });

  test("no-port", async () => {
    await using small = await createDea({ portRange: { first: 64_991, last: 64_991 }, memoryBytes: 1024 * MiB });
    const one = await start("exec sleep 1000", {}, small);
    await one.ready;
    const two = await start("exec sleep 1000", {}, small);
    expect(await two.exited).toMatchObject({ reason: "no-port", kind: "start-failed" });
  });

  test("the last 50 lines of the app, its own and no more", async () => {
    const instance = await start("seq 1 120; echo to stderr >&2; sleep 0.2; echo last; exit 1");
    const { logTail } = await instance.exited;
    expect(logTail).toHaveLength(50);
    expect(logTail.at(-1)).toBe("last");
    expect(logTail).toContain("to stderr");
    expect(logTail).toContain("120");
    expect(logTail).not.toContain("60");
  });

  test("and in droplet.exited, in words for people and for programs", async () => {
    await using here = await world();
    await using one = await here.member();
    await one.start(await here.message({ x: "" }, "echo why; exit 9", { uris: [] }));
    const exited = await until(() => one.said.dropletExited[0]);
    expect(exited).toMatchObject({ reason: "CRASHED", exit_status: 9, exit_description: "app instance exited (exit:9)", exit_reason: "exit:9", exit_kind: "exit", log_tail: ["why"] });
    await one.start(await here.message({ x: "" }, "exec sleep 1000", { health_check_timeout: 1 }));
    expect(await until(() => one.said.dropletExited[1])).toMatchObject({
      reason: "CRASHED", exit_status: -1, exit_description: "failed to accept connections within health check timeout (health-timeout: port-timeout)", exit_reason: "port-timeout", exit_kind: "health-timeout",
    });
  });

  test.each([
    [{ code: 3 }, "exit:3"], [{ signal: "SIGSEGV" }, "signal:SIGSEGV"], [{}, "lost"], [{ signal: "SIGKILL", outOfMemory: true }, "oom"], [{ code: 137, outOfMemory: true }, "oom"], [{ code: 0, outOfMemory: true }, "exit:0"],
  ])("what the process said: %j is %s", (status, reason) => expect(reasonOfStatus(status)).toBe(reason));
  test.each([
    ["DEA_DROPLET_UNAVAILABLE", "droplet-missing"], ["DEA_DROPLET_MISMATCH", "droplet"], ["DEA_DROPLET_UNSAFE", "droplet"], ["DEA_DROPLET_TOO_LARGE", "disk-quota"], ["DEA_NO_COMMAND", "no-command"], ["DEA_NO_PORT", "no-port"], ["DEA_CONTAINER", "start-failed"],
  ] as const)("what the start threw: %s is %s", (code, reason) => expect(reasonOfError(new DeaError(code, ""))).toBe(reason));
  test.each([["port-timeout", "health-timeout: port-timeout"], ["exit:3", "exit:3"], ["signal:SIGKILL", "signal:SIGKILL"], ["oom", "oom"], ["download-timeout", "start-timeout: download-timeout"]] as const)("%s is told as %s", (reason, text) => expect(reasonText(reason)).toBe(text));
});

describe("dea §9 what a stop is", () => {
  test.each([
    ["TERM to every process, and whoever cleans up is left to", "exec 2>/dev/null; trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done", 10_000, ["up", "bye"]],
    ["KILL after the grace", "trap '' TERM; echo up; while :; do sleep 0.05; done", 300, ["up"]],
    ["KILL at once where there is no grace", "trap 'echo bye' TERM; echo up; while :; do sleep 0.05; done", 0, ["up"]],
  ] as [string, string, number, string[]][])("%s", async (_name, command, graceMs, lines) => {
    const instance = await start(command, { graceMs });
    for await (const { text } of instance.logs()) if (text === "up") break;
    expect(await instance.stop()).toMatchObject({ reason: "stopped", kind: "stopped", description: "stopped" });
    const said: string[] = [];
    for await (const { stream, text } of instance.logs({ follow: false })) if (stream !== "platform") said.push(text);
    if (graceMs > 0) expect(said).toEqual(lines);
    else expect(said[0]).toBe("up");
  });

  test("a stop of what ended is over at once", async () => {
    const instance = await start("exit 3");
    const exit = await instance.exited;
    expect(await instance.stop()).toBe(exit);
    expect(instance.state).toBe("CRASHED");
  });
});

describe("dea §9 crashes are kept for a while", () => {
  const at = 1_000_000;
  const hour = 3_600_000;
  const crash = (id: string, ageMs: number, more: Partial<Crash> = {}): Crash => ({ id, seat: `${id}-seat`, app: "a", at: at - ageMs, files: true, ...more });
  test.each([
    ["one that is young", [crash("1", 10)], [], []],
    ["one older than an hour", [crash("1", hour + 1)], ["1 age"], []],
    ["exactly an hour", [crash("1", hour)], [], []],
    ["two at one place: the newer stays", [crash("1", 20, { seat: "s" }), crash("2", 10, { seat: "s" })], ["1 newer"], []],
    ["two places of one app: both stay, files of the newest only", [crash("1", 20), crash("2", 10)], [], ["1"]],
    ["two apps", [crash("1", 20), crash("2", 10, { app: "b" })], [], []],
    ["of the same moment the later one is newer", [crash("1", 10, { seat: "s" }), crash("2", 10, { seat: "s" })], ["1 newer"], []],
    ["files that are gone are not counted", [crash("1", 20), crash("2", 10, { files: false })], [], []],
  ] as [string, Crash[], string[], string[]][])("rules: %s", (_name, crashes, forget, files) => {
    const reaping = reapCrashes(crashes, crashDefaults, at);
    expect(reaping.forget.map(({ id, why }) => `${id} ${why}`)).toEqual(forget);
    expect(reaping.files.map(({ id }) => id)).toEqual(files);
  });

  test("rules: never more than the number, never more files than allowed, the newest of a place always stays while it is young", () => {
    const any = fc.array(fc.record({ age: fc.integer({ min: 0, max: 2 * hour }), place: fc.integer({ min: 0, max: 5 }), app: fc.integer({ min: 0, max: 2 }), files: fc.boolean() }), { maxLength: 40 });
    fc.assert(fc.property(any, fc.integer({ min: 1, max: 10 }), fc.integer({ min: 0, max: 3 }), (list, max, filesPerApp) => {
      const crashes = list.map(({ age, place, app, files }, id): Crash => ({ id: String(id), seat: `${app}/${place}`, app: String(app), at: at - age, files }));
      const { forget, files } = reapCrashes(crashes, { ...crashDefaults, max, filesPerApp }, at);
      const gone = new Set(forget.map(({ id }) => id));
      const dropped = new Set(files.map(({ id }) => id));
      const left = crashes.filter(({ id }) => !gone.has(id));
      expect(left.length).toBeLessThanOrEqual(max);
      expect(new Set(left.map(({ seat }) => seat)).size).toBe(left.length);
      for (const app of ["0", "1", "2"]) expect(left.filter((one) => one.app === app && one.files && !dropped.has(one.id)).length).toBeLessThanOrEqual(filesPerApp);
      for (const { id, why } of forget) expect(why === "age").toBe(at - (crashes[Number(id)]?.at ?? 0) > hour);
      expect([...gone].every((id) => !dropped.has(id))).toBe(true);
    }));
  });

  test("under pressure the files of the oldest go first, one by one, until there is room", async () => {
    expect(oldestFiles([crash("1", 10), crash("2", 30), crash("3", 20), crash("4", 40, { files: false })])?.id).toBe("2");
    const dir = join(folder.path, "pressure");
    const keptFiles = openKeptFiles(dir);
    const instances = new Map<string, ManagedInstance>();
    for (const [id, ageMs] of [["a", 30], ["b", 20], ["c", 10], ["nobody", 0]] as const) {
      await mkdir(join(dir, id, "logs"), { recursive: true });
      if (id === "nobody") continue;
      let files = true;
      instances.set(id, {
        id, state: "CRASHED", present: false, stateSince: Date.now() - ageMs, exit: { at: Date.now() - ageMs }, spec: { appId: id, version: "1", processType: "web", index: 0 },
        get filesDir() { return files ? join(dir, id) : undefined; },
        dropFiles: () => void (files = false),
      } as unknown as ManagedInstance);
    }
    let looks = 0;
    const reaper = createCrashReaper({
      instances, keptFiles, dir, rules: crashDefaults, clock: systemClock, log: silentLogger, remove: (id) => void instances.delete(id),
      measureDisk: () => Promise.resolve(++looks <= 2 ? 0.81 : 0.8),
    });
    await reaper.clean();
    expect((await readdir(dir)).sort()).toEqual(["c"]);
    expect([...instances.keys()]).toEqual(["a", "b", "c"]);
  });

  test("its logs can be read after the crash, those of the one before are gone, and a restart of the executor keeps them", async () => {
    const dataDir = join(folder.path, "kept");
    const one = await createDea({ dataDir, memoryBytes: 1024 * MiB, samplingMs: 100 });
    const write = (text: string): string => `mkdir -p ../logs/deep; echo ${text} > ../logs/deep/app.log; ln -s /etc/passwd ../logs/link; echo secret > ../other; exit 1`;
    const first = await start(write("first"), { appId: "kept", index: 0 }, one);
    await first.exited;
    expect(await readFile(join(first.filesDir ?? "", "logs", "deep", "app.log"), "utf8")).toBe("first\n");
    expect(await readdir(first.filesDir ?? "")).toEqual(["logs"]);
    expect(await readdir(join(first.filesDir ?? "", "logs"))).toEqual(["deep"]);
    const second = await start(write("second"), { appId: "kept", index: 1 }, one);
    await second.exited;
    await until(() => first.filesDir === undefined);
    expect(one.instances()).toContain(first);
    await one.close();
    await using two = await createDea({ dataDir, memoryBytes: 1024 * MiB });
    const again = two.instances().find(({ id }) => id === second.id);
    expect(again?.state).toBe("CRASHED");
    expect(await readFile(join(again?.filesDir ?? "", "logs", "deep", "app.log"), "utf8")).toBe("second\n");
  });

  test("not kept: what was stopped, what asked for it", async () => {
    const stopped = await start("exec sleep 1000");
    await stopped.ready;
    await stopped.stop();
    expect(stopped.filesDir).toBeUndefined();
    const flapping = await start("exit 1", { keepCrashFiles: false });
    await flapping.exited;
    expect(flapping.filesDir).toBeUndefined();
  });

  test("of logs that are too large the end is kept, within the limits", async () => {
    const home = join(folder.path, "home");
    await mkdir(join(home, "logs"), { recursive: true });
    await writeFile(join(home, "logs", "a"), "0123456789");
    await writeFile(join(home, "logs", "b"), "x");
    const kept = openKeptFiles(join(folder.path, "limited"), { maxBytes: 4 });
    await kept.keep("one", home);
    expect(await readFile(join(kept.folderOf("one"), "logs", "a"), "utf8")).toBe("6789");
    expect(await readdir(join(kept.folderOf("one"), "logs"))).toEqual(["a"]);
    await kept.drop("one");
    expect(await kept.list()).toEqual([]);
  });

  test("logs that are a link to somewhere are not followed", async () => {
    const link = await writeTar(join(folder.path, "link.tgz"), [{ name: "./app/", type: "directory" }]);
    const instance = await start("rm -rf ../logs; ln -s /etc ../logs; exit 1", { droplet: link });
    await instance.exited;
    expect(instance.filesDir).toBeUndefined();
  });
});
