import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createDea, type Dea, DeaError, facts, type Instance, type InstanceEvent, type InstanceState, MiB, next, type StartSpec, type StateFacts, states } from "../../src/index.ts";
import { advance } from "../../src/instance/state.ts";
import { temporaryFolder, webServer, writeDroplet } from "../fixtures/droplet.ts";
import { until } from "../fixtures/until.ts";

/** The chapter's columns, as our facts name them. */
const columns = ["holdsMemory", "holdsDisk", "inHeartbeat", "routed", "filesReadable", "recorded"] as const satisfies (keyof StateFacts)[];
const yes = true;
const no = false;

describe("dea §3 what each state means", () => {
  const chapter: Record<InstanceState, readonly boolean[]> = {
    BORN: [yes, yes, no, no, no, no],
    STARTING: [yes, yes, yes, no, yes, yes],
    RUNNING: [yes, yes, yes, yes, yes, yes],
    STOPPING: [yes, yes, no, no, no, yes],
    STOPPED: [no, no, no, no, no, no],
    CRASHED: [no, yes, yes, no, yes, yes],
    EVACUATING: [no, no, yes, yes, yes, no],
  };
  /** Where we differ on purpose. */
  const differs: Partial<Record<InstanceState, Partial<Record<(typeof columns)[number], boolean>>>> = {
    // A start that was accepted is not forgotten.
    BORN: { recorded: yes },
    // What is kept of a crash is small, and goes when the disk is needed.
    CRASHED: { holdsDisk: no },
    // It uses what it uses, and must not be lost by an executor that dies while its host is being emptied.
    EVACUATING: { holdsMemory: yes, holdsDisk: yes, recorded: yes },
  };

  test.each(Object.entries(chapter) as [InstanceState, boolean[]][])("%s", (state, row) => {
    const expected = Object.fromEntries(columns.map((column, at) => [column, differs[state]?.[column] ?? row[at]]));
    expect(Object.fromEntries(columns.map((column) => [column, facts[state][column]]))).toEqual(expected);
  });

  test("no state but these: RESUMING is over before anybody can ask, DELETED is of 2011, DOWN and FLAPPING are the health manager's", () => {
    expect([...states].sort()).toEqual(Object.keys(chapter).sort());
  });
});

describe("dea §3 from state to state", () => {
  const rows: [InstanceState, InstanceEvent, InstanceState | undefined][] = [
    ["BORN", "start", "STARTING"], ["BORN", "fail", "CRASHED"], ["BORN", "stop", "STOPPED"], ["BORN", "evacuate", "EVACUATING"],
    ["STARTING", "ready", "RUNNING"], ["STARTING", "exit", "CRASHED"], ["STARTING", "fail", "CRASHED"], ["STARTING", "stop", "STOPPING"], ["STARTING", "evacuate", "EVACUATING"],
    ["RUNNING", "exit", "CRASHED"], ["RUNNING", "fail", "CRASHED"], ["RUNNING", "stop", "STOPPING"], ["RUNNING", "evacuate", "EVACUATING"],
    ["STOPPING", "exit", "STOPPED"], ["STOPPING", "fail", "STOPPED"], ["STOPPING", "ready", undefined], ["STOPPING", "evacuate", undefined],
    // The original does not notice a process that dies while its host is being emptied.
    ["EVACUATING", "exit", "CRASHED"], ["EVACUATING", "fail", "CRASHED"], ["EVACUATING", "stop", "STOPPING"], ["EVACUATING", "ready", "EVACUATING"], ["EVACUATING", "start", "EVACUATING"],
    ...(["start", "ready", "fail", "exit", "stop", "evacuate"] as const).flatMap((event) => [["STOPPED", event, undefined], ["CRASHED", event, undefined]] as [InstanceState, InstanceEvent, undefined][]),
  ];
  test.each(rows)("%s by %s: %s", (from, event, to) => {
    expect(next(from, event)).toBe(to);
    if (to === undefined) {
      expect(() => advance(from, event)).toThrow(DeaError);
      expect(() => advance(from, event)).toThrow(`Cannot transition from "${from}" by "${event}"`);
    }
  });
});

describe("dea §3 in life", () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let droplet: string;
  let dea: Dea;
  beforeAll(async () => {
    folder = await temporaryFolder();
    droplet = await writeDroplet(join(folder.path, "web.tgz"), { "server.js": webServer }, "exec node server.js");
    dea = await createDea({ memoryBytes: 1024 * MiB, diskBytes: 8192 * MiB, samplingMs: 200, concurrentStarts: 1 });
  });
  afterAll(async () => {
    await dea.close();
    await folder[Symbol.asyncDispose]();
  });
  const run = (command: string, change: Partial<StartSpec> = {}): Promise<Instance> =>
    dea.start({ droplet, command, memoryBytes: 64 * MiB, healthCheck: { type: "process" }, graceMs: 200, ...change });
  const walk = (instance: Instance): InstanceState[] => {
    const seen: InstanceState[] = [];
    dea.on((change) => {
      if (change.instance === instance && change.type === "state") {
        expect(change.from).toBe(seen.at(-1) ?? "BORN");
        seen.push(change.to);
      }
    });
    return seen;
  };

  test.each([
    ["stop while it runs", "exec sleep 1000", async (one: Instance) => { await one.ready; await one.stop(); }, ["STARTING", "RUNNING", "STOPPING", "STOPPED"]],
    ["stop while it starts", "exec sleep 1000", async (one: Instance) => { await until(() => one.state === "STARTING"); await one.stop(); }, ["STARTING", "STOPPING", "STOPPED"]],
    ["its process ends", "sleep 0.2; exit 3", async (one: Instance) => { await one.exited; }, ["STARTING", "RUNNING", "CRASHED"]],
    ["a clean exit is a crash too", "exit 0", async (one: Instance) => { await one.exited; }, ["STARTING", "RUNNING", "CRASHED"]],
  ] as [string, string, (one: Instance) => Promise<void>, InstanceState[]][])("%s", async (_name, command, act, path) => {
    const instance = await run(command);
    const seen = walk(instance);
    await act(instance);
    // A process that ends at once may end before it counts as up.
    if (path[1] === "RUNNING" && seen[1] === "CRASHED") path = path.filter((state) => state !== "RUNNING");
    expect(seen).toEqual(path);
    expect(Object.keys(instance.stateTimes)).toEqual(["BORN", ...path]);
    expect(instance.stateTimes[instance.state]).toBe(instance.stateSince);
  });

  test("stop before the start: it was never started", async () => {
    const first = await run("exec sleep 1000");
    const second = await run("exec sleep 1000");
    const seen = walk(second);
    expect(await second.stop()).toMatchObject({ reason: "stopped" });
    expect(seen).toEqual(["STOPPED"]);
    await first.stop();
  });

  test("what does not fit is refused, and no crash of the app", async () => {
    const before = dea.instances().length;
    await expect(run("exec sleep 1", { memoryBytes: 4096 * MiB })).rejects.toMatchObject({ code: "DEA_NO_CAPACITY", message: "Not enough memory resource available." });
    await expect(run("exec sleep 1", { diskBytes: 100_000 * MiB })).rejects.toMatchObject({ code: "DEA_NO_CAPACITY", message: "Not enough disk resource available." });
    expect(dea.instances().length).toBeLessThanOrEqual(before);
  });

  test("while the host is being emptied: those that run, start or wait are leaving, a process that dies is noticed", async () => {
    await using leaving = await createDea({ memoryBytes: 1024 * MiB, diskBytes: 8192 * MiB, concurrentStarts: 1 });
    const start = (command: string): Promise<Instance> => leaving.start({ droplet, command, memoryBytes: 64 * MiB, healthCheck: { type: "process" }, graceMs: 200 });
    const runs = await start("while [ ! -e die ]; do sleep 0.05; done; exit 7");
    await runs.ready;
    const slow = await leaving.start({ droplet, command: "exec sleep 1000", memoryBytes: 64 * MiB, healthCheck: { type: "port", timeoutMs: 60_000 }, graceMs: 200 });
    await until(() => slow.state === "STARTING");
    const waits = await start("exec sleep 1000");
    const end = new AbortController();
    const evacuated = leaving.evacuate({ signal: end.signal });
    await until(() => [runs, slow].every(({ state }) => state === "EVACUATING"));
    expect(["EVACUATING"]).toContain(waits.state);
    expect(runs.routable).toBe(true);
    expect(slow.routable).toBe(false);
    expect(leaving.capacity().memory.reservedBytes).toBe(3 * 64 * MiB);
    await expect(start("x")).rejects.toMatchObject({ code: "DEA_CLOSED" });
    await import("node:fs/promises").then(({ writeFile }) => writeFile(join(runs.filesDir ?? "", "app", "die"), ""));
    expect(await runs.exited).toMatchObject({ reason: "exit:7" });
    end.abort();
    expect((await evacuated).left.map(({ state }) => state)).toEqual(["EVACUATING", "EVACUATING"]);
  });
});
