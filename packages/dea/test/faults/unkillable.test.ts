import { mkdir, readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createDea, type Instance, linuxBackend, MiB, processBackend, type StartSpec } from "../../src/index.ts";
import { containerPaths, ownerNames } from "../../src/linux/names.ts";
import { probeLinux } from "../../src/linux/probe.ts";
import { temporaryFolder, writeDroplet } from "../fixtures/droplet.ts";
import { tracesOf } from "../fixtures/linux-traces.ts";
import { processesOf } from "../fixtures/processes.ts";
import { until } from "../fixtures/until.ts";

/*
 * A process that hangs in the kernel takes no signal, KILL included. A frozen one (cgroup version 1) is the same to
 * whoever wants to end it, and can be set free again.
 */
const freezer = "/sys/fs/cgroup/freezer";
const state = async (group: string, value: "FROZEN" | "THAWED"): Promise<void> => {
  await writeFile(join(freezer, group, "freezer.state"), value);
  await until(async () => (await readFile(join(freezer, group, "freezer.state"), "utf8")).trim() === value);
};
const canFreeze = process.getuid?.() === 0 && (await readdir(freezer).then((names) => names.includes("cgroup.procs"), () => false));
const host = await probeLinux();

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let droplet: string;
beforeAll(async () => {
  folder = await temporaryFolder();
  droplet = await writeDroplet(join(folder.path, "app.tgz"), { x: "" }, "exec sleep 1000");
});
afterAll(() => folder[Symbol.asyncDispose]());

interface Frozen extends AsyncDisposable {
  thaw(): Promise<void>;
}

const kinds = {
  /** The app alone, not the shell that keeps it. */
  async process(instance: Instance): Promise<Frozen> {
    const group = `opencf-test-${process.pid}-${instance.id.slice(0, 8)}`;
    await mkdir(join(freezer, group));
    for (const pid of await processesOf(instance.id)) {
      if ((await readFile(`/proc/${pid}/comm`, "utf8").catch(() => "")).trim() === "sleep") await writeFile(join(freezer, group, "cgroup.procs"), pid);
    }
    await state(group, "FROZEN");
    const thaw = (): Promise<void> => state(group, "THAWED");
    return {
      thaw,
      async [Symbol.asyncDispose]() {
        await thaw();
        await until(() => rmdir(join(freezer, group)).then(() => true, () => false));
      },
    };
  },
  async linux(instance: Instance, owner: string): Promise<Frozen> {
    const { cgroup } = containerPaths(ownerNames(owner), instance.id);
    await state(cgroup, "FROZEN");
    const thaw = (): Promise<void> => state(cgroup, "THAWED").catch(() => {});
    return { thaw, [Symbol.asyncDispose]: thaw };
  },
};

describe.each([["process", canFreeze], ["linux", canFreeze && host.able]] as const)("faults: a container of the %s backend that cannot be killed", (kind, able) => {
  test.skipIf(!able)(`its stop ends by the deadline and names it, nobody else waits, and it goes when it can${able ? "" : " (needs root, cgroup version 1 with a freezer, and what the backend needs)"}`, async () => {
    const dataDir = join(folder.path, kind);
    const errors: string[] = [];
    const note = (event: string, data?: object): void => void errors.push(`${event} ${JSON.stringify(data)}`);
    const dea = await createDea({
      dataDir, backend: kind === "linux" ? await linuxBackend() : processBackend({ isolate: "none" }), memoryBytes: 1_024 * MiB,
      deadlinesMs: { kill: 1_000, destroy: 2_000 }, log: { info() {}, warn: note, error: note },
    });
    const spec: StartSpec = { droplet, memoryBytes: 32 * MiB, diskBytes: 16 * MiB, healthCheck: { type: "process" }, graceMs: 200 };
    const hangs = await dea.start(spec);
    await hangs.ready;
    await until(async () => (await hangs.stats()).processes > 0, 30_000);
    const frozen = await kinds[kind](hangs, dea.id);
    try {
      const stopping = hangs.stop();
      // Others start and stop meanwhile.
      const other = await dea.start(spec);
      await other.ready;
      expect((await other.stop()).left).toBeUndefined();
      const exit = await stopping;
      expect(exit.reason).toBe("stopped");
      expect(exit.left).toMatch(/survive|took longer/);
      expect(errors.some((line) => line.startsWith("instance.left") && line.includes(hangs.id))).toBe(true);
      // What it holds is not given to others.
      expect(dea.capacity().memory.reservedBytes).toBe(32 * MiB);
      // An evacuation does not wait for it beyond its time, and says so; the executor can go, too.
      expect((await dea.evacuate({ timeoutMs: 300 })).left.map(({ id }) => id)).toEqual([hangs.id]);
      await dea.close();
      expect(errors.some((line) => line.startsWith("dea.close.left") && line.includes(hangs.id))).toBe(true);

      // The next one comes up all the same, and goes on trying.
      const next = await createDea({ dataDir, backend: kind === "linux" ? await linuxBackend() : processBackend({ isolate: "none" }), memoryBytes: 1_024 * MiB, deadlinesMs: { kill: 1_000, destroy: 2_000 }, log: { info() {}, warn: note, error: note } });
      try {
        const third = await next.start(spec);
        await third.ready;
        await third.stop();
        await frozen.thaw();
        await until(async () => (await processesOf(hangs.id)).length === 0 && (await readdir(join(dataDir, "instances"))).length === 0, 100_000);
      } finally {
        await next.close();
      }
      if (kind === "linux") await until(async () => (await tracesOf(dea.id, join(dataDir, "instances"))).length === 0, 120_000);
      expect(await readdir(join(dataDir, "instances"))).toEqual([]);
    } finally {
      await frozen[Symbol.asyncDispose]();
    }
  }, 240_000);
});
