import { randomUUID } from "node:crypto";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { DeaError } from "../errors.ts";
import { type Clock, sleep } from "../ports.ts";
import type { Container, ContainerProcess, ContainerRecord, ContainerSpec, Usage } from "./container.ts";
import { type DiskUsage, diskUsage } from "./disk-usage.ts";
import { startExecChild } from "./exec-child.ts";
import { packHome, unpackIntoHome } from "./home-files.ts";
import { attachKeeper, environmentOf, type Keeper, startKeeper } from "./keeper.ts";
import { readLabels } from "./labels.ts";
import { markVariable } from "./mark.ts";
import { familyOf, isAlive, type MarkedProcess, type ProcessEntry, readProcess, readProportionalBytes } from "./process-table.ts";

/** What all containers of a backend share: looking at every process costs the same for one as for a hundred. */
export interface Surroundings {
  clock: Clock;
  /** Shell of the keepers: program and options. */
  shell: readonly string[];
  /** A list of processes that is at most a moment old. */
  recent(): readonly MarkedProcess[];
  /** A list made after this call. */
  fresh(): Promise<readonly MarkedProcess[]>;
  /** Unmarked processes that hold one of these files for writing, in the list made last; none older than `sinceTicks`. */
  writers(files: readonly string[], sinceTicks: number): readonly MarkedProcess[];
}

export interface Leader {
  pid: number;
  startTicks: number;
}

/** How long KILL may take to show: longer, and the process hangs in the kernel. */
const killWaitMs = 10_000;
/** How long output may trickle after the app's end while somebody unknown still holds the pipe. */
const drainMs = 2_000;

export interface ProcessContainer extends Container {
  /** Takes over what an earlier executor started. */
  resume(leader: Leader): ContainerProcess;
}

/** One folder, one process group: what the `process` backend calls a container. */
export function createProcessContainer(dir: string, owner: string, spec: ContainerSpec, around: Surroundings): ProcessContainer {
  const { clock } = around;
  const mark = `${owner}/${spec.handle}`;
  const homeDir = join(dir, "home");
  const runDir = join(dir, "run");
  const outputs = [join(runDir, "out"), join(runDir, "err")];
  let leader: Leader | undefined;
  let keeper: Keeper | undefined;
  /** The keeper has told how the main process ended. */
  let ended = false;
  let cpuOfTheDeadMs = 0;
  const cpuSeen = new Map<string, number>();
  let disk: DiskUsage | undefined;
  let diskUntil = 0;
  let destroyed = false;
  let main: ContainerProcess | undefined;

  // Without a leader too: what an earlier executor started carries our mark.
  const familyIn = (list: readonly MarkedProcess[]): ProcessEntry[] => familyOf(mark, list, leader);
  const appFamilyIn = (list: readonly MarkedProcess[]): ProcessEntry[] => familyIn(list).filter((entry) => entry.pid !== leader?.pid);

  const signalAll = (signal: NodeJS.Signals, entries: readonly ProcessEntry[]): void => {
    for (const { pid, startTicks } of entries) {
      // Looked up again right before the signal: a pid may have found a new owner since the list was made.
      if (!isAlive(pid, startTicks)) continue;
      try {
        process.kill(pid, signal);
      } catch {
        // It ended in between.
      }
    }
  };

  /** False while the keeper may still be about to fork the app: an empty family is then no proof. */
  const mainEnded = (): boolean => ended || !keeper || !leader || !isAlive(leader.pid, leader.startTicks);

  const killApp = async (): Promise<void> => {
    const deadline = clock.now() + killWaitMs;
    for (;;) {
      const last = mainEnded();
      const left = appFamilyIn(await around.fresh());
      // Who left the family but still holds its output. Looked for at the end only: it costs more.
      if (left.length === 0 && last) left.push(...around.writers(outputs, leader?.startTicks ?? 0));
      if (left.length === 0 && last) return;
      if (clock.now() > deadline) {
        throw new DeaError("DEA_CONTAINER", `processes survive KILL: ${left.map(({ pid }) => pid).join(", ")}`, { retryable: true });
      }
      signalAll("SIGKILL", left);
      await sleep(clock, 5);
    }
  };

  const watch = (started: Keeper): ContainerProcess => {
    keeper = started;
    // The main process has ended: nothing else of the app may live on, and the pipes may end.
    const exited = started.exited.then(async (status) => {
      ended = true;
      await killApp().catch(() => {});
      started.bye();
      const timer = clock.after(drainMs, () => {
        started.stdout.destroy();
        started.stderr.destroy();
      });
      started.stdout.once("close", () => started.stderr.destroyed && timer[Symbol.dispose]());
      started.stderr.once("close", () => started.stdout.destroyed && timer[Symbol.dispose]());
      return status;
    });
    main = {
      id: "main",
      stdout: started.stdout,
      stderr: started.stderr,
      exited,
      signal: async (name) => signalAll(name, (await around.fresh()).filter(({ parent }) => parent === started.pid && !ended)),
    };
    return main;
  };

  const present = (): void => {
    if (destroyed) throw new DeaError("DEA_CONTAINER", `container ${spec.handle} is destroyed`);
  };

  const measureMemory = (entries: readonly ProcessEntry[]): number => {
    const resident = entries.reduce((sum, entry) => sum + entry.residentBytes, 0);
    // Resident sizes count shared pages once per process. The exact count costs more, so only a family near its limit pays.
    if (entries.length < 2 || resident < spec.memoryBytes * 0.8) return resident;
    return entries.reduce((sum, entry) => sum + (readProportionalBytes(entry.pid) ?? entry.residentBytes), 0);
  };

  const measureCpu = (entries: readonly ProcessEntry[]): number => {
    const living = new Map(entries.map((entry) => [`${entry.pid}/${entry.startTicks}`, entry.cpuMs]));
    for (const [key, ms] of cpuSeen) {
      if (living.has(key)) continue;
      cpuOfTheDeadMs += ms;
      cpuSeen.delete(key);
    }
    let total = cpuOfTheDeadMs;
    for (const [key, ms] of living) {
      cpuSeen.set(key, ms);
      total += ms;
    }
    return total;
  };

  /** Walking a large folder is work: the longer it takes, the more rarely it is done. */
  const measureDisk = async (): Promise<DiskUsage> => {
    if (disk && performance.now() < diskUntil) return disk;
    const startedAt = performance.now();
    disk = await diskUsage(homeDir);
    const now = performance.now();
    diskUntil = now + Math.max(1_000, (now - startedAt) * 20);
    return disk;
  };

  return {
    handle: spec.handle,
    homeDir,
    homeInside: homeDir,
    containerPort: spec.hostPort,
    record(): ContainerRecord {
      if (!leader) throw new DeaError("DEA_CONTAINER", `container ${spec.handle} runs nothing yet`);
      return { pid: leader.pid, startTicks: leader.startTicks };
    },
    async run({ argv, env }, beforeStart) {
      if (leader || destroyed) throw new DeaError("DEA_CONTAINER", `container ${spec.handle} was used already`);
      const started = await startKeeper(
        runDir,
        { argv, env: [...env, `${markVariable}=${mark}`] },
        { cwd: homeDir, fileDescriptors: spec.fileDescriptors, shell: around.shell },
      );
      const entry = readProcess(started.pid);
      if (!entry) throw new DeaError("DEA_CONTAINER", `the process of container ${spec.handle} is gone already`);
      leader = { pid: entry.pid, startTicks: entry.startTicks };
      const running = watch(started);
      try {
        await beforeStart?.(this.record());
      } catch (error) {
        started.bye();
        throw error;
      }
      started.go();
      return running;
    },
    resume(found) {
      leader = found;
      return watch(attachKeeper(runDir, found.pid));
    },
    attach: () => main,
    async exec({ argv, env, user = "vcap", cwd = homeDir, terminal }) {
      present();
      if (!main || mainEnded()) throw new DeaError("DEA_CONTAINER", `nothing runs in container ${spec.handle}`);
      if (user !== "vcap") throw new DeaError("DEA_UNSUPPORTED", "the process backend has one user only");
      const environment = environmentOf([...env, `${markVariable}=${mark}`]);
      return startExecChild({ id: randomUUID(), argv, env: environment, cwd, ...(terminal ? { terminal } : {}) });
    },
    async streamIn(path, tar, options = {}) {
      present();
      await unpackIntoHome(homeDir, path, tar, { maxBytes: spec.diskBytes, ...options });
    },
    async streamOut(path, options) {
      present();
      return packHome(homeDir, path, options);
    },
    async info() {
      present();
      const state = !main ? "created" : mainEnded() ? "stopped" : "running";
      return { handle: spec.handle, state, ports: [{ host: spec.hostPort, container: spec.hostPort }], labels: await readLabels(dir), events: [] };
    },
    async setEgress() {
      throw new DeaError("DEA_UNSUPPORTED", "the process backend cannot limit what an app reaches");
    },
    async usage(): Promise<Usage> {
      present();
      const entries = appFamilyIn(around.recent());
      const used = await measureDisk();
      return {
        memoryBytes: measureMemory(entries),
        cpuMs: measureCpu(entries),
        diskBytes: used.bytes,
        diskComplete: used.complete,
        processes: entries.length,
      };
    },
    async stop({ graceMs, signal }) {
      const deadline = clock.now() + graceMs;
      while (clock.now() < deadline && !signal?.aborted && !mainEnded()) {
        const here = appFamilyIn(await around.fresh());
        if (here.length > 0) {
          // Once, and to those who are there now: what an app starts to clean up must be left to finish.
          signalAll("SIGTERM", here);
          await Promise.race([keeper?.exited, sleep(clock, deadline - clock.now(), signal)]);
          break;
        }
        await sleep(clock, 5, signal);
      }
      await killApp();
    },
    async destroy() {
      destroyed = true;
      await killApp();
      keeper?.bye();
      signalAll("SIGKILL", familyIn(await around.fresh()));
      await rm(dir, { recursive: true, force: true, maxRetries: 3 });
    },
    release() {
      keeper?.release();
    },
  };
}
