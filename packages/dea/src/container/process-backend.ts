import { mkdir, readdir, realpath, rm, statfs } from "node:fs/promises";
import { totalmem } from "node:os";
import { join } from "node:path";
import { DeaError } from "../errors.ts";
import { type Clock, systemClock } from "../ports.ts";
import type { Backend, BackendPlace, ContainerRecord, ContainerSpec } from "./container.ts";
import { keeperShell, readStatusFile } from "./keeper.ts";
import { listLabelled, writeLabels } from "./labels.ts";
import { chooseIsolation, type Isolation, type IsolationChoice, recordedSandbox } from "./isolation.ts";
import { killUntilGone } from "./kill-until-gone.ts";
import { guardOrphans } from "./orphan-guard.ts";
import { createProcessContainer, type ProcessContainer, type Surroundings } from "./process-container.ts";
import type { Leader } from "./process-family.ts";
import type { MarkedProcess } from "./process-table.ts";
import { createProcessWatch } from "./process-watch.ts";
import type { Sandbox } from "./sandbox/sandbox.ts";
import { type HostView, hostView } from "./sandbox/view.ts";

export interface ProcessBackendOptions {
  clock?: Clock;
  /** Shell that stands between the executor and each app. Default: `bash -p` where it is, else `sh`. */
  shell?: readonly string[];
  /**
   * What stands around each app. `auto` (the default) takes the first that works on this machine: bubblewrap, then a user
   * namespace made by unshare(1), then nothing. The others insist, and throw DEA_UNSUPPORTED where theirs does not work.
   */
  isolate?: Isolation;
  /** More of the host that apps in a sandbox see, read-only: folders and files. */
  show?: readonly string[];
  /** What they never see, wherever it lies; the executor's own folder is never seen anyway. */
  hide?: readonly string[];
  /** Search path whose programs they see. Default: the executor's. */
  searchPath?: string;
}

/** Limits somebody asks for on purpose: to run without them would be a false promise. */
const refused = ["cpuCores", "bandwidth", "egress", "stack"] as const;
/** As many as there are ports in the usual range. */
const maxContainers = 4_000;

/**
 * Runs each instance as a process group in its own folder, in a sandbox where this machine lets an ordinary user make one
 * (`isolate`). `capabilities` says what holds; asking for them tries the sandboxes, once. Linux only (it reads /proc).
 * Throws DEA_UNSUPPORTED elsewhere.
 */
export function processBackend(options: ProcessBackendOptions = {}): Backend {
  const { clock = systemClock, shell = keeperShell() } = options;
  if (process.platform !== "linux") {
    throw new DeaError("DEA_UNSUPPORTED", `the process backend needs Linux (it reads /proc); this is ${process.platform}`);
  }
  let place: BackendPlace | undefined;
  let guard: Disposable | undefined;
  const hidden = (): string[] => [...(options.hide ?? []), ...(place ? [place.dir, ...(place.hide ?? [])] : [])];
  const view = (): HostView => hostView({ path: options.searchPath ?? process.env["PATH"] ?? "/usr/bin:/bin", hide: hidden(), ...(options.show ? { show: options.show } : {}) });
  // Tried when somebody asks for the first time, once more where the apps will lie, and never again: what this executor does shall not change while it lives.
  let chosen: IsolationChoice | undefined;
  const choice = (): IsolationChoice => (chosen ??= chooseIsolation(options.isolate ?? "auto", view, place?.dir));
  let seen: HostView | undefined;
  const around: Surroundings = { clock, shell, view: () => (seen ??= view()), ...createProcessWatch(() => place?.dir) };

  const opened = (): BackendPlace => {
    if (!place) throw new DeaError("DEA_CONTAINER", "the backend was not opened");
    return place;
  };
  const make = (spec: ContainerSpec, sandbox: Sandbox | undefined): ProcessContainer => {
    const { dir, owner } = opened();
    if (!/^[a-z0-9-]{1,64}$/.test(spec.handle)) throw new DeaError("DEA_CONTAINER", `not a handle: ${JSON.stringify(spec.handle)}`);
    return createProcessContainer({ dir: join(dir, spec.handle), owner, sandbox }, spec, around);
  };

  return {
    name: "process",
    get capabilities() {
      return choice().capabilities;
    },
    async open(where) {
      await mkdir(where.dir, { recursive: true, mode: 0o711 });
      // As the kernel names it: open files are compared with it.
      place = { ...where, dir: await realpath(where.dir) };
      chosen = undefined;
      choice();
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
      const container = make(spec, choice().sandbox);
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
      // As it was made, whatever this executor would make.
      const container = make(spec, recordedSandbox(record));
      const leader = leaderOf(record);
      // The mark proves what pid and start time suggest; after a reboot both could repeat.
      const mark = `${opened().owner}/${spec.handle}`;
      const ours = (await around.fresh()).some((entry) => entry.pid === leader?.pid && entry.startTicks === leader.startTicks && entry.mark === mark);
      const gone = { container, process: undefined, status: readStatusFile(join(opened().dir, spec.handle, "run")) ?? {} };
      if (!leader || !ours) return gone;
      try {
        return { container, process: container.resume(leader), status: {}, ended: readStatusFile(join(opened().dir, spec.handle, "run")) !== undefined };
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
      await killUntilGone(strangers, 10_000, clock);
      const survivors = new Map((await strangers()).map(({ pid, mark = "" }) => [mark.slice(owner.length + 1), pid]));
      for (const name of await readdir(dir)) {
        if (keep.has(name) || survivors.has(name)) continue;
        removed.add(name);
        await rm(join(dir, name), { recursive: true, force: true, maxRetries: 3 });
      }
      if (survivors.size > 0) throw new DeaError("DEA_CONTAINER", `processes survive KILL: ${[...survivors.values()].join(", ")}`, { retryable: true });
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
