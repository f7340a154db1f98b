import { randomBytes } from "node:crypto";
import { mkdtemp, rm, statfs } from "node:fs/promises";
import { tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { type Capacity, checkCapacity, measureCapacity } from "./capacity.ts";
import type { Capabilities } from "./container/capabilities.ts";
import type { Backend } from "./container/container.ts";
import { type EgressRule, parseEgress } from "./container/egress.ts";
import { processBackend } from "./container/process-backend.ts";
import { openDataDir } from "./data-dir.ts";
import { openDropletStore } from "./droplet/store.ts";
import { DeaError, textOf } from "./errors.ts";
import { createInstance } from "./instance/create-instance.ts";
import type { Instance, InstanceChange, InstanceUpdate, ManagedInstance, Surroundings } from "./instance/instance.ts";
import { launchShell } from "./instance/launch.ts";
import { type InstanceSpec, instanceSpec, type StartSpec } from "./instance/spec.ts";
import { facts } from "./instance/state.ts";
import { createPortPool } from "./port-pool.ts";
import { type Clock, every, type Fetch, type Logger, silentLogger, sleep, systemClock } from "./ports.ts";
import { createSemaphore } from "./semaphore.ts";
import { type InstanceRecord, openSnapshot } from "./snapshot.ts";

export interface DeaOptions {
  /** Where instances run. Default: `processBackend()`. */
  backend?: Backend;
  /** Folder for everything the executor keeps. Default: a temporary one, deleted at the end. */
  dataDir?: string;
  /** Memory that may be promised. Default: the machine's. */
  memoryBytes?: number;
  /** Disk that may be promised. Default: what is free where `dataDir` is. */
  diskBytes?: number;
  /** Default 1 000. */
  maxInstances?: number;
  /** Address under which instances are reached, and `CF_INSTANCE_IP`. Default 127.0.0.1. */
  host?: string;
  /** Ports for instances. Default 61001 to 65000. */
  portRange?: { first: number; last: number };
  /** Rest of a port between two instances. Default 60 000 ms. */
  portRestMs?: number;
  /** Instances that unpack and start at the same time; others wait their turn. Default 4. */
  concurrentStarts?: number;
  /** Time between looks at memory and disk. Default 1 000 ms. */
  samplingMs?: number;
  /** What to do with instances an earlier executor left running. Default `adopt`. */
  onResume?: "adopt" | "stop";
  /** What disposing does with instances: `stop` them, or `keep` them for the next executor. Default `stop`. */
  onClose?: "stop" | "keep";
  /** How long a crashed instance is remembered. Default 3 600 000 ms. */
  crashLifetimeMs?: number;
  /** Folder of downloaded droplets; executors may share it. Default `dataDir/droplets`. */
  dropletCacheDir?: string;
  /** Space for downloaded droplets. Default 4 GiB. */
  dropletCacheBytes?: number;
  fetch?: Fetch;
  clock?: Clock;
  log?: Logger;
}

/** What a restart found. */
export interface Resumed {
  adopted: readonly Instance[];
  /** Ended while no executor was there. */
  exited: readonly Instance[];
  /** Handles of containers nobody knew: killed and removed. */
  removed: readonly string[];
}

export interface Dea extends AsyncDisposable {
  /** Stays the same over restarts with the same `dataDir`. */
  readonly id: string;
  readonly host: string;
  readonly backend: { readonly name: string; readonly capabilities: Capabilities };
  readonly resumed: Resumed;
  /** What disposing does with instances. */
  readonly onClose: "stop" | "keep";
  /** False once closing or evacuating has begun. */
  readonly accepting: boolean;
  /** Accepts an instance and begins to start it. Throws DEA_INVALID_SPEC, DEA_NO_CAPACITY, DEA_CLOSED. */
  start(spec: StartSpec): Promise<Instance>;
  /** All instances, crashed ones included, oldest first. */
  instances(): Instance[];
  capacity(): Capacity;
  /** Changes the routes, the generation or the reach of a living instance. Throws DEA_INVALID_SPEC, DEA_UNSUPPORTED. */
  update(instance: Instance, change: InstanceUpdate): void;
  /** Drops a crashed instance from the list; false when it is not one. */
  forget(instance: Instance): boolean;
  /** Calls `listener` at each change of state, line and end. One that throws is logged and harms nobody. */
  on(listener: (change: InstanceChange) => void): Disposable;
  /** Accepts nothing more and marks every instance as leaving; settles when none is left or the time is over. */
  evacuate(options?: { timeoutMs?: number; signal?: AbortSignal }): Promise<{ left: readonly Instance[] }>;
  /** Ends the executor. Idempotent. */
  close(options?: { instances?: "stop" | "keep" }): Promise<void>;
}

/** At most this many crashed instances are remembered. */
const maxCrashes = 1_000;

/**
 * Starts an executor. With a `dataDir` that was used before it takes over what runs there.
 * Throws DEA_DATA_DIR_BUSY, DEA_UNSUPPORTED, DEA_CONTAINER.
 */
export async function createDea(options: DeaOptions = {}): Promise<Dea> {
  const { backend = processBackend(), host = "127.0.0.1", maxInstances = 1_000, concurrentStarts = 4, samplingMs = 1_000 } = options;
  const { onResume = "adopt", onClose = "stop", crashLifetimeMs = 3_600_000, clock = systemClock, log = silentLogger } = options;
  const temporary = options.dataDir === undefined ? await mkdtemp(join(tmpdir(), "opencf-dea-")) : undefined;
  const dir = await openDataDir(options.dataDir ?? temporary ?? ".");
  const instances = new Map<string, ManagedInstance>();
  const listeners = new Set<(change: InstanceChange) => void>();
  let accepting = true;
  let closing: Promise<void> | undefined;

  const changed = (change: InstanceChange): void => {
    for (const listener of listeners) {
      try {
        listener(change);
      } catch (error) {
        log.error("dea.listener", { change: change.type, error: textOf(error) });
      }
    }
  };
  // BORN is left out: nothing of it exists yet that would outlive us.
  const recorded = (instance: ManagedInstance): boolean => instance.state !== "BORN" && instance.state !== "STOPPED";
  const snapshot = openSnapshot(dir.path, () => [...instances.values()].filter(recorded).map((instance) => instance.record()), log);

  try {
    const free = await statfs(dir.path);
    const limits = { memoryBytes: options.memoryBytes ?? totalmem(), diskBytes: options.diskBytes ?? free.bavail * free.bsize, maxInstances };
    const store = await openDropletStore({
      dir: options.dropletCacheDir ?? dir.droplets,
      clock,
      log,
      ...(options.dropletCacheBytes === undefined ? {} : { cacheBytes: options.dropletCacheBytes }),
      ...(options.fetch ? { fetch: options.fetch } : {}),
    });
    await backend.open({ dir: dir.instances, owner: dir.id, ...(temporary === undefined ? {} : { ephemeral: temporary }) });
    const around: Surroundings = {
      backend,
      store,
      ports: createPortPool({ ...options.portRange, restMs: options.portRestMs ?? 60_000, clock }),
      admission: createSemaphore(concurrentStarts),
      clock,
      log,
      host,
      shell: await launchShell(),
      searchPath: process.env["PATH"] ?? "/usr/local/bin:/usr/bin:/bin",
      changed,
      persist: () => snapshot.save(),
    };

    const resume = async (): Promise<Resumed> => {
      const records = await snapshot.load();
      // What left no record is killed first: it may hold ports and memory.
      const removed = await backend.sweep(new Set(records.map(({ id }) => id)));
      for (const handle of removed) log.warn("resume.removed", { instance: handle });
      const endedBefore = new Set<string>();
      for (const record of records) {
        const instance = createInstance(around, record.id, record.privateId, resumedSpec(record));
        instances.set(record.id, instance);
        if (facts[record.state].final) endedBefore.add(record.id);
        await instance.resume(record);
      }
      const all = [...instances.values()];
      // Long enough for the word of an app that ended while we were away to arrive.
      await Promise.race([Promise.allSettled(all.map((instance) => instance.exited)), sleep(clock, all.length > 0 ? 100 : 0)]);
      await snapshot.save();
      const exited = all.filter((instance) => instance.exit && !endedBefore.has(instance.id));
      const adopted = all.filter((instance) => !instance.exit);
      if (onResume === "stop") await Promise.all(adopted.map((instance) => instance.stop()));
      if (all.length > 0) log.info("dea.resumed", { adopted: adopted.length, exited: exited.length, removed: removed.length });
      return { adopted: onResume === "stop" ? [] : adopted, exited, removed };
    };

    const forgetOldCrashes = (): void => {
      const newest = new Set<string>();
      let kept = 0;
      for (const instance of [...instances.values()].reverse()) {
        if (instance.present || !facts[instance.state].final) continue;
        const seat = `${instance.spec.appId}/${instance.spec.version}/${instance.spec.processType}/${instance.spec.index}`;
        const old = clock.now() - instance.stateSince > crashLifetimeMs;
        if (instance.state === "STOPPED" || old || newest.has(seat) || ++kept > maxCrashes) instances.delete(instance.id);
        newest.add(seat);
      }
    };

    const shut = async (what: "stop" | "keep"): Promise<void> => {
      accepting = false;
      if (what === "stop") await Promise.all([...instances.values()].map((instance) => instance.stop()));
      sampling[Symbol.dispose]();
      await snapshot.save().catch((error: unknown) => log.error("snapshot.save", { error: textOf(error) }));
      for (const instance of instances.values()) instance.release();
      await store[Symbol.asyncDispose]();
      await backend[Symbol.asyncDispose]();
      dir[Symbol.dispose]();
      if (temporary && what === "stop") await rm(temporary, { recursive: true, force: true, maxRetries: 3 });
    };

    const resumed = await resume();
    const sampling = every(clock, samplingMs, async () => {
      forgetOldCrashes();
      for (const instance of instances.values()) {
        await instance.enforce().catch((error: unknown) => log.warn("instance.enforce", { instance: instance.id, error: textOf(error) }));
      }
    }, (error) => log.error("dea.sampling", { error: textOf(error) }));

    const checkEgress = (rules: readonly EgressRule[] | undefined): void => {
      parseEgress(rules ?? []);
      if (rules && !backend.capabilities.enforces.egress) throw new DeaError("DEA_UNSUPPORTED", `the ${backend.name} backend cannot limit what an app reaches`);
    };

    const dea: Dea = {
      id: dir.id,
      host,
      backend: { name: backend.name, capabilities: backend.capabilities },
      resumed,
      onClose,
      get accepting() { return accepting; },
      async start(given) {
        if (!accepting) throw new DeaError("DEA_CLOSED", "the executor accepts no more instances", { retryable: true });
        const spec = instanceSpec(given);
        checkEgress(spec.egress);
        checkCapacity(measureCapacity(limits, instances.values()), spec);
        const id = randomBytes(16).toString("hex");
        const instance = createInstance(around, id, randomBytes(32).toString("hex"), spec);
        instances.set(id, instance);
        void instance.launch();
        return instance;
      },
      instances: () => [...instances.values()],
      capacity: () => measureCapacity(limits, instances.values()),
      update(instance, change) {
        checkEgress(change.egress);
        instances.get(instance.id)?.update(change);
      },
      forget(instance) {
        const known = instances.get(instance.id);
        if (!known || !facts[known.state].final) return false;
        // Until nothing of it is left its room is taken, so until then it is counted.
        if (known.present) void known.exited.then(() => instances.delete(known.id));
        else instances.delete(known.id);
        return true;
      },
      on(listener) {
        listeners.add(listener);
        return { [Symbol.dispose]: () => void listeners.delete(listener) };
      },
      async evacuate({ timeoutMs = 600_000, signal } = {}) {
        accepting = false;
        const deadline = clock.now() + timeoutMs;
        const left = (): ManagedInstance[] => [...instances.values()].filter((instance) => instance.present);
        for (;;) {
          for (const instance of left()) instance.evacuate();
          if (left().length === 0 || clock.now() >= deadline || signal?.aborted) return { left: left() };
          await Promise.race([Promise.allSettled(left().map((instance) => instance.exited)), sleep(clock, Math.min(5_000, deadline - clock.now()), signal)]);
        }
      },
      close({ instances: what = onClose } = {}) {
        return (closing ??= shut(what));
      },
      [Symbol.asyncDispose]: () => dea.close(),
    };
    return dea;
  } catch (error) {
    dir[Symbol.dispose]();
    if (temporary) await rm(temporary, { recursive: true, force: true });
    throw error;
  }
}

/** The secrets a record leaves out matter only before the start. */
const resumedSpec = (record: InstanceRecord): InstanceSpec =>
  ({ ...record.spec, env: [], services: {}, application: {}, droplet: { path: "" }, command: undefined });
