import { mkdir, readdir, realpath, rm, statfs } from "node:fs/promises";
import { totalmem } from "node:os";
import { join } from "node:path";
import { DeaError } from "../errors.ts";
import { type Clock, sleep, systemClock } from "../ports.ts";
import { type Capabilities, enforcing } from "./capabilities.ts";
import type { Backend, BackendPlace, ContainerRecord, ContainerSpec } from "./container.ts";
import { keeperShell, readStatusFile } from "./keeper.ts";
import { listLabelled, writeLabels } from "./labels.ts";
import { guardOrphans } from "./orphan-guard.ts";
import { createProcessContainer, type Leader, type ProcessContainer, type Surroundings } from "./process-container.ts";
import { isAlive, type MarkedProcess } from "./process-table.ts";
import { createProcessWatch } from "./process-watch.ts";

export interface ProcessBackendOptions {
  clock?: Clock;
  /** Shell that stands between the executor and each app. Default: `bash -p` where it is, else `sh`. */
  shell?: readonly string[];
}

/** What plain processes cannot do, said aloud. */
export const processCapabilities: Capabilities = {
  memory: "polled",
  disk: "polled",
  cpu: "none",
  filesystem: false,
  network: false,
  processes: false,
  user: false,
  // A limit of open files is kept by the kernel; the others are watched at best.
  enforces: enforcing(["fileDescriptors"]),
  warnings: [
    "Apps run as the executor's own user and can read and change whatever it can: run only code you trust.",
    "Apps see the host's files, network and processes, and each other's.",
    "Memory and disk limits are kept by looking every second or so; an app can exceed them for a moment.",
    "CPU time is shared as the kernel sees fit; there is no share per app.",
    "A program that leaves its session, clears its environment, outlives its parents and lets go of its output is not found again.",
  ],
};

/** Limits somebody asks for on purpose: to run without them would be a false promise. */
const refused = ["cpuCores", "bandwidth", "egress", "stack"] as const;
/** As many as there are ports in the usual range. */
const maxContainers = 4_000;

/**
 * Runs each instance as a plain process group in its own folder. Linux only (it reads /proc).
 * Throws DEA_UNSUPPORTED elsewhere.
 */
export function processBackend(options: ProcessBackendOptions = {}): Backend {
  const { clock = systemClock, shell = keeperShell() } = options;
  if (process.platform !== "linux") {
    throw new DeaError("DEA_UNSUPPORTED", `the process backend needs Linux (it reads /proc); this is ${process.platform}`);
  }
  let place: BackendPlace | undefined;
  let guard: Disposable | undefined;
  const around: Surroundings = { clock, shell, ...createProcessWatch(() => place?.dir) };

  const opened = (): BackendPlace => {
    if (!place) throw new DeaError("DEA_CONTAINER", "the backend was not opened");
    return place;
  };
  const make = (spec: ContainerSpec): ProcessContainer => {
    const { dir, owner } = opened();
    if (!/^[a-z0-9-]{1,64}$/.test(spec.handle)) throw new DeaError("DEA_CONTAINER", `not a handle: ${JSON.stringify(spec.handle)}`);
    return createProcessContainer(join(dir, spec.handle), owner, spec, around);
  };

  return {
    name: "process",
    capabilities: processCapabilities,
    async open(where) {
      await mkdir(where.dir, { recursive: true, mode: 0o711 });
      // As the kernel names it: open files are compared with it.
      place = { ...where, dir: await realpath(where.dir) };
      if (where.ephemeral !== undefined) guard ??= guardOrphans(where.owner, where.ephemeral);
    },
    async ping() {
      await readdir(opened().dir);
    },
    async capacity() {
      const { bavail, bsize } = await statfs(opened().dir);
      return { memoryBytes: totalmem(), diskBytes: bavail * bsize, maxContainers };
    },
    list: (labels) => listLabelled(opened().dir, labels),
    async create(spec) {
      for (const name of refused) {
        if (spec[name] !== undefined) throw new DeaError("DEA_UNSUPPORTED", `the process backend cannot keep ${name}`);
      }
      const container = make(spec);
      const dir = join(opened().dir, spec.handle);
      try {
        await mkdir(dir, { mode: 0o700 });
        await Promise.all([mkdir(join(dir, "home")), mkdir(join(dir, "run")), writeLabels(dir, spec.labels)]);
      } catch (error) {
        throw new DeaError("DEA_CONTAINER", `cannot create container ${spec.handle}`, { cause: error });
      }
      return container;
    },
    async adopt(spec, record) {
      const container = make(spec);
      const leader = leaderOf(record);
      // The mark proves what pid and start time suggest; after a reboot both could repeat.
      const mark = `${opened().owner}/${spec.handle}`;
      const ours = (await around.fresh()).some((entry) => entry.pid === leader?.pid && entry.startTicks === leader.startTicks && entry.mark === mark);
      const gone = { container, process: undefined, status: readStatusFile(join(opened().dir, spec.handle, "run")) ?? {} };
      if (!leader || !ours) return gone;
      try {
        return { container, process: container.resume(leader), status: {} };
      } catch {
        return gone;
      }
    },
    async sweep(keep) {
      const { dir, owner } = opened();
      const removed = new Set<string>();
      const strangers = async (): Promise<MarkedProcess[]> =>
        (await around.fresh()).filter(({ pid, mark }) => {
          if (pid === process.pid || !mark?.startsWith(`${owner}/`) || keep.has(mark.slice(owner.length + 1))) return false;
          removed.add(mark.slice(owner.length + 1));
          return true;
        });
      const deadline = clock.now() + 10_000;
      for (let left = await strangers(); left.length > 0 && clock.now() < deadline; left = await strangers()) {
        for (const { pid, startTicks } of left) {
          try {
            if (isAlive(pid, startTicks)) process.kill(pid, "SIGKILL");
          } catch {
            // It ended in between.
          }
        }
        await sleep(clock, 5);
      }
      for (const name of await readdir(dir)) {
        if (keep.has(name)) continue;
        removed.add(name);
        await rm(join(dir, name), { recursive: true, force: true, maxRetries: 3 });
      }
      return [...removed];
    },
    async [Symbol.asyncDispose]() {
      place = undefined;
      guard?.[Symbol.dispose]();
      guard = undefined;
    },
  };
}

function leaderOf(record: ContainerRecord): Leader | undefined {
  const { pid, startTicks } = record;
  return typeof pid === "number" && typeof startTicks === "number" && pid > 1 ? { pid, startTicks } : undefined;
}
