import { mkdtemp } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createDea, type Dea, type InstanceChange, MiB, type TaskResult, type TaskSpec } from "../src/index.ts";
import { linuxBackend } from "../src/linux/linux-backend.ts";
import { probeLinux } from "../src/linux/probe.ts";
import { temporaryFolder, writeDroplet } from "./fixtures/droplet.ts";
import { until } from "./fixtures/until.ts";

const host = await probeLinux();
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let droplet: string;
beforeAll(async () => {
  folder = await temporaryFolder();
  droplet = await writeDroplet(join(folder.path, "d.tgz"), { ".profile": "export FROM_PROFILE=yes\n", "data.txt": "data\n" });
});
afterAll(() => folder[Symbol.asyncDispose]());

const backends = [["process", true], ["linux", host.able]] as const;

describe.each(backends)("tasks on the %s backend", (name, able) => {
  if (!able) return void test.skip("this machine cannot run containers", () => {});
  let dea: Dea;
  const changes: InstanceChange["type"][] = [];
  beforeAll(async () => {
    dea = await createDea({ ...(name === "linux" ? { backend: await linuxBackend() } : {}), memoryBytes: 1_024 * MiB, diskBytes: 4_096 * MiB, samplingMs: 200 });
    dea.on(({ type }) => changes.push(type));
  }, 60_000);
  afterAll(() => dea.close(), 60_000);
  const spec = (command: string, more: Partial<TaskSpec> = {}): TaskSpec => ({ droplet, command, memoryBytes: 64 * MiB, diskBytes: 32 * MiB, graceMs: 300, ...more });

  test.each([
    ["succeeds", "cat data.txt; echo $FROM_PROFILE $GREETING", {}, { state: "SUCCEEDED", reason: "exit:0", exitCode: 0, description: "completed", logTail: ["data", "yes hi $x"] }],
    ["fails with a status", "echo no >&2; exit 3", {}, { state: "FAILED", reason: "exit:3", exitCode: 3, description: "command ended with status 3", logTail: ["no"] }],
    ["dies by a signal", "kill -KILL $$", {}, { state: "FAILED", reason: "signal:SIGKILL", exitCode: 137, description: "command was ended by SIGKILL" }],
    ["takes too long", "sleep 1000", { timeoutMs: 300 }, { state: "FAILED", reason: "timeout", description: "took longer than 0.3 s" }],
    ["cannot get its droplet", "true", { droplet: "/no/such.tgz" }, { state: "FAILED", exitCode: -1, durationMs: 0, startedAt: undefined }],
    ["has no port", "echo [$PORT$VCAP_APP_PORT$CF_INSTANCE_ADDR]", {}, { state: "SUCCEEDED", logTail: ["[]"] }],
  ] as [string, string, Partial<TaskSpec>, Partial<TaskResult>][])("a command that %s", async (_title, command, more, result) => {
    const got = await dea.runTask(spec(command, { env: { GREETING: "hi $x" }, ...more }));
    expect(got).toMatchObject(result);
    // However short it was, it had a beginning.
    if (!("startedAt" in result)) expect(got.endedAt - (got.startedAt as number)).toBe(got.durationMs);
  }, 60_000);

  test("is streamed, is cancelled, leaves its room and no instance, and is remembered", async () => {
    const lines: string[] = [];
    const cancel = new AbortController();
    const running = dea.runTask({
      ...spec("trap 'echo asked; exit 0' TERM; echo up; while :; do sleep 0.05; done", { id: `job-${name}` }),
      signal: cancel.signal, onLine: ({ text }) => lines.push(text),
    });
    await until(() => lines.includes("up"), 30_000);
    expect(dea.instances()).toEqual([]);
    const task = dea.tasks.get(`job-${name}`);
    expect(task?.state).toBe("RUNNING");
    expect(dea.capacity().memory.reservedBytes).toBe(64 * MiB);
    // The same id is the same task.
    expect(dea.tasks.start(spec("exit 9", { id: `job-${name}` }))).toBe(task);
    cancel.abort();
    expect(task?.state).toBe("CANCELING");
    expect(await running).toMatchObject({ state: "FAILED", reason: "cancelled", description: "cancelled" });
    expect(lines).toContain("asked");
    expect(dea.capacity()).toMatchObject({ memory: { reservedBytes: 0 }, instances: { present: 0 } });
    expect(dea.tasks.get(`job-${name}`)).toBe(task);
    expect(task?.result?.reason).toBe("cancelled");
    // Nobody hears of an instance that started or crashed.
    expect(changes).not.toContain("state");
    expect(changes).not.toContain("exit");
  }, 60_000);

  test("what uses more memory than it has ends with oom", async () => {
    const got = await dea.runTask(spec(`exec "${process.execPath}" -e "const a=[]; setInterval(() => a.push(Buffer.alloc(8e6, 1)), 2)"`));
    expect(got).toMatchObject({ state: "FAILED", reason: "oom", description: "out of memory" });
  }, 60_000);
});

test.each([
  ["no command", { command: "  " }, "DEA_INVALID_SPEC"],
  ["an id without characters", { id: "" }, "DEA_INVALID_SPEC"],
  ["no time", { timeoutMs: 0 }, "DEA_INVALID_SPEC"],
  ["more time than a timer can wait", { timeoutMs: 2 ** 31 }, "DEA_INVALID_SPEC"],
  ["more memory than there is", { memoryBytes: 2_000 * MiB }, "DEA_NO_CAPACITY"],
] as [string, Partial<TaskSpec>, string][])("refused: %s", async (_title, more, code) => {
  const dea = await createDea({ memoryBytes: 1_000 * MiB });
  try {
    await expect(dea.runTask({ droplet, command: "true", ...more })).rejects.toMatchObject({ code });
    expect(dea.tasks.list()).toEqual([]);
    const gone = AbortSignal.abort();
    await expect(dea.runTask({ droplet, command: "true", signal: gone })).rejects.toMatchObject({ code: "DEA_STOPPED" });
  } finally {
    await dea.close();
  }
  await expect(dea.runTask({ droplet, command: "true" })).rejects.toMatchObject({ code: "DEA_CLOSED" });
});

test("a task goes on while no executor is there, and the next one has its result; its time goes on too", async () => {
  const dataDir = await mkdtemp(join(folder.path, "dea-"));
  const first = await createDea({ dataDir, onClose: "keep" });
  const spec = { droplet, memoryBytes: 64 * MiB, diskBytes: 32 * MiB, graceMs: 200 };
  const short = first.tasks.start({ ...spec, id: "short", command: "sleep 0.5; echo done; exit 4" });
  const long = first.tasks.start({ ...spec, id: "long", command: "sleep 1000", timeoutMs: 1_500 });
  await until(() => short.state === "RUNNING" && long.state === "RUNNING");
  await first.close();
  const second = await createDea({ dataDir });
  try {
    expect(second.resumed.adopted).toEqual([]);
    expect(second.tasks.list().map(({ id }) => id).sort()).toEqual(["long", "short"]);
    expect(await second.tasks.get("short")?.ended).toMatchObject({ id: "short", state: "FAILED", reason: "exit:4" });
    expect(await second.tasks.get("long")?.ended).toMatchObject({ reason: "timeout" });
    expect(second.tasks.start({ ...spec, id: "long", command: "true" })).toBe(second.tasks.get("long"));
  } finally {
    await second.close();
  }
}, 30_000);
