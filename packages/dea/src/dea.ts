import { randomBytes } from "node:crypto";
import { mkdtemp, rm, statfs } from "node:fs/promises";
import { tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { type Capacity, checkCapacity, measureCapacity } from "./capacity.ts";
import { type Capabilities, isolationEvent } from "./container/capabilities.ts";
import { createCrashReaper } from "./crash-reaper.ts";
import { type EgressRule, parseEgress } from "./container/egress.ts";
import { processBackend } from "./container/process-backend.ts";
import { openDataDir } from "./data-dir.ts";
import type { DeaOptions } from "./dea-options.ts";
import { openDropletStore } from "./droplet/store.ts";
import { DeaError, textOf } from "./errors.ts";
import { evacuateAll, told } from "./evacuate.ts";
import { crashDefaults } from "./instance/crash-rules.ts";
import { createInstance } from "./instance/create-instance.ts";
import type { Instance, InstanceChange, InstanceUpdate, ManagedInstance, Surroundings } from "./instance/instance.ts";
import { openKeptFiles } from "./instance/kept-files.ts";
import { defaultLogLinesPerSecond } from "./instance/log-limit.ts";
import { launchShell } from "./instance/launch.ts";
import { deadlinesOf } from "./instance/phases.ts";
import { checkPlace, placeOf } from "./instance/place-spec.ts";
import { type InstanceSpec, instanceSpec, type StartSpec } from "./instance/spec.ts";
import { facts } from "./instance/state.ts";
import { type Journal, openJournal } from "./journal/journal.ts";
import { createPortPool } from "./port-pool.ts";
import type { Resource } from "./pressure/choose.ts";
import { createRelief } from "./pressure/relief.ts";
import { every, silentLogger, systemClock } from "./ports.ts";
import { recover, type Resumed } from "./recovery.ts";
import { createSemaphore } from "./semaphore.ts";
import type { TaskResult } from "./task/result.ts";
import type { TaskSpec } from "./task/spec.ts";
import { createTaskDesk, type RunTaskOptions, type Tasks } from "./task/tasks.ts";

export type { DeaOptions } from "./dea-options.ts";

export interface Dea extends AsyncDisposable {
  /** Stays the same over restarts with the same `dataDir`. */
  readonly id: string;
  readonly host: string;
  readonly backend: { readonly name: string; readonly capabilities: Capabilities; readonly stacks: readonly string[] };
  readonly resumed: Resumed;
  /** What disposing does with instances. */
  readonly onClose: "stop" | "keep";
  /** False once closing or evacuating has begun. */
  readonly accepting: boolean;
  /** What the machine is short of, where `pressure` looks after it: `memory`, `disk`. Nothing is started meanwhile. */
  readonly shortOf: ReadonlySet<Resource>;
  /** Accepts an instance and begins to start it. Throws DEA_INVALID_SPEC, DEA_NO_CAPACITY, DEA_CLOSED. */
  start(spec: StartSpec): Promise<Instance>;
  /** Commands that run once. They take room as instances do, and are in no list of instances. */
  readonly tasks: Tasks;
  /**
   * Runs a command once in a droplet and answers how it ended: no port, never started again, nothing left behind.
   * A task that fails is a result; refused ones throw: DEA_INVALID_SPEC, DEA_UNSUPPORTED, DEA_NO_CAPACITY, DEA_CLOSED.
   * Tasks outlive a restart of the executor as instances do: the next one finds them in `tasks`.
   */
  runTask(spec: TaskSpec & RunTaskOptions): Promise<TaskResult>;
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

/** Times between two looks for files of crashed instances, and for droplets, that may go (dea_ng's). */
const crashCleaningMs = 10_000;
const dropletReapingMs = 60_000;

/**
 * Starts an executor. With a `dataDir` that was used before it takes over what runs there.
 * Throws DEA_DATA_DIR_BUSY, DEA_JOURNAL, DEA_UNSUPPORTED, DEA_CONTAINER.
 */
export async function createDea(options: DeaOptions = {}): Promise<Dea> {
  const { backend = processBackend(), host = "127.0.0.1", maxInstances = 1_000, concurrentStarts = 4, samplingMs = 1_000, metricsMs = 5_000 } = options;
  const { onResume = "adopt", onClose = "stop", crashLifetimeMs = 3_600_000, clock = systemClock, log = silentLogger } = options;
  const deadlines = deadlinesOf(options.deadlinesMs);
  const places = placeOf(options.instanceLimits ?? {});
  checkPlace(places, backend);
  const specDefaults = { graceMs: deadlines.term, healthTimeoutMs: deadlines.health, graceMsByType: options.graceMsByType ?? {} };
  const { diskPressureRatio = crashDefaults.diskRatio, crashFilesPerApp = crashDefaults.filesPerApp } = options;
  const rules = { ...crashDefaults, lifetimeMs: crashLifetimeMs, filesPerApp: crashFilesPerApp, diskRatio: diskPressureRatio };
  const temporary = options.dataDir === undefined ? await mkdtemp(join(tmpdir(), "opencf-dea-")) : undefined;
  const dir = await openDataDir(options.dataDir ?? temporary ?? ".");
  const instances = new Map<string, ManagedInstance>();
  const listeners = new Set<(change: InstanceChange) => void>();
  let accepting = true;
  let closing: Promise<void> | undefined;
  let journal: Journal | undefined;

  const changed = (change: InstanceChange): void => {
    // What carries a task is nobody's app: of it only lines are told.
    if (change.instance.spec.task && change.type !== "log") return tasks.moved(change.instance);
    for (const listener of listeners) {
      try {
        listener(change);
      } catch (error) {
        log.error("dea.listener", { change: change.type, error: textOf(error) });
      }
    }
  };
  const tasks = createTaskDesk({ admit: (spec) => admit(spec), keepMs: crashLifetimeMs, clock, log });
  let admit: (spec: InstanceSpec) => ManagedInstance = () => {
    throw new DeaError("DEA_CLOSED", "the executor is not up yet", { retryable: true });
  };

  try {
    const free = await statfs(dir.path);
    const limits = { memoryBytes: options.memoryBytes ?? totalmem(), diskBytes: options.diskBytes ?? free.bavail * free.bsize, maxInstances };
    const store = await openDropletStore({
      dir: options.dropletCacheDir ?? dir.droplets,
      diskRatio: diskPressureRatio,
      clock,
      log,
      ...(options.dropletCacheBytes === undefined ? {} : { cacheBytes: options.dropletCacheBytes }),
      ...(options.fetch ? { fetch: options.fetch } : {}),
    });
    const written = (journal = await openJournal({ dir: dir.path, id: dir.id, key: options.journalKey, log }));
    await backend.open({ dir: dir.instances, owner: dir.id, hide: [dir.path, ...(options.dropletCacheDir === undefined ? [] : [options.dropletCacheDir])], ...(temporary === undefined ? {} : { ephemeral: temporary }) });
    // What stands around the apps can depend on where they lie.
    const { isolation, summary } = backend.capabilities;
    if (summary !== undefined) log[isolation === "none" ? "warn" : "info"](isolationEvent, { backend: backend.name, isolation, text: summary });
    const keptFiles = openKeptFiles(join(dir.path, "crashes"));
    const around: Surroundings = {
      deadlines,
      keptFiles,
      metricsMs,
      logLinesPerSecond: options.logLinesPerSecond ?? defaultLogLinesPerSecond,
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
      keepsSecrets: written.encrypted,
      persist: (instance) => (instance.state === "STOPPED" && !instance.present ? written.drop(instance.id) : written.put(instance.record())),
    };

    const remove = (id: string): void => {
      instances.delete(id);
      void written.drop(id).catch((error: unknown) => log.error("journal.write", { instance: id, error: textOf(error) }));
    };
    const reaper = createCrashReaper({ instances, remove, keptFiles, dir: dir.path, rules, clock, log });

    const shut = async (what: "stop" | "keep"): Promise<void> => {
      accepting = false;
      if (what === "stop") await Promise.allSettled([...instances.values()].map((instance) => instance.stop()));
      const left = what === "stop" ? [...instances.values()].filter(({ present }) => present) : [];
      if (left.length > 0) log.error("dea.close.left", { instances: left.map(told) });
      for (const timer of timers) timer[Symbol.dispose]();
      recovery[Symbol.dispose]();
      for (const instance of instances.values()) instance.release();
      if (written.behind) await written.compact().catch((error: unknown) => log.error("journal.behind", { error: textOf(error) }));
      await written[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
      await backend[Symbol.asyncDispose]();
      dir[Symbol.dispose]();
      if (temporary && what === "stop" && left.length === 0) await rm(temporary, { recursive: true, force: true, maxRetries: 3 });
    };

    const recovery = await recover({ backend, found: written.found, instances, make: (record, spec) => createInstance(around, record.id, record.privateId, spec), onResume, clock, log });
    const relief = options.pressure && createRelief({ options: options.pressure, dir: dir.path, apps: () => apps(instances.values()), clock, log });
    const timers = [
      ...(relief ? [every(clock, options.pressure?.intervalMs ?? 10_000, relief.look, (error) => log.warn("pressure.look", { error: textOf(error) }))] : []),
      every(clock, crashCleaningMs, reaper.clean, (error) => log.warn("crash.clean", { error: textOf(error) })),
      every(clock, dropletReapingMs, store.reap, (error) => log.warn("droplet.cache.reap", { error: textOf(error) })),
    ];
    timers.push(every(clock, samplingMs, async () => {
      reaper.forget();
      if (written.behind) await written.compact().catch(() => {});
      for (const instance of instances.values()) {
        await instance.enforce().catch((error: unknown) => log.warn("instance.enforce", { instance: instance.id, error: textOf(error) }));
      }
    }, (error) => log.error("dea.sampling", { error: textOf(error) })));

    const checkEgress = (rules: readonly EgressRule[] | undefined): void => {
      parseEgress(rules ?? []);
      if (rules && !backend.capabilities.enforces.egress) throw new DeaError("DEA_UNSUPPORTED", `the ${backend.name} backend cannot limit what an app reaches`);
    };

    const take = (asked: InstanceSpec): ManagedInstance => {
      const spec = { ...asked, place: { ...places, ...asked.place } };
      if (!accepting) throw new DeaError("DEA_CLOSED", "the executor accepts no more instances", { retryable: true });
      checkEgress(spec.egress);
      checkPlace(spec.place, backend);
      for (const resource of relief?.short ?? []) throw new DeaError("DEA_NO_CAPACITY", `Not enough ${resource} resource available.`, { retryable: true });
      checkCapacity(measureCapacity(limits, instances.values()), spec);
      const id = randomBytes(16).toString("hex");
      const instance = createInstance(around, id, randomBytes(32).toString("hex"), spec);
      instances.set(id, instance);
      return instance;
    };
    const begin = async (instance: ManagedInstance): Promise<void> => {
      await around.persist(instance).catch((error: unknown) => log.error("journal.write", { instance: instance.id, error: textOf(error) }));
      void instance.launch();
    };
    admit = (spec) => {
      const instance = take(spec);
      void begin(instance);
      return instance;
    };
    for (const instance of instances.values()) if (instance.spec.task) tasks.adopt(instance);
    const apps = <T extends Instance>(list: Iterable<T>): T[] => [...list].filter(({ spec }) => !spec.task);

    const dea: Dea = {
      id: dir.id,
      host,
      backend: { name: backend.name, capabilities: backend.capabilities, stacks: backend.stacks ?? [] },
      resumed: { ...recovery.resumed, adopted: apps(recovery.resumed.adopted), exited: apps(recovery.resumed.exited) },
      onClose,
      get accepting() { return accepting; },
      get shortOf() { return relief?.short ?? new Set<Resource>(); },
      async start(given) {
        const instance = take(instanceSpec(given, specDefaults));
        await begin(instance);
        return instance;
      },
      tasks,
      runTask: (spec) => tasks.run(spec),
      instances: () => apps(instances.values()),
      capacity: () => measureCapacity(limits, instances.values()),
      update(instance, change) {
        checkEgress(change.egress);
        instances.get(instance.id)?.update(change);
      },
      forget(instance) {
        const known = instances.get(instance.id);
        if (!known || !facts[known.state].final) return false;
        // Until nothing of it is left its room is taken, so until then it is counted.
        if (known.present) void known.gone.then(() => remove(known.id));
        else remove(known.id);
        return true;
      },
      on(listener) {
        listeners.add(listener);
        return { [Symbol.dispose]: () => void listeners.delete(listener) };
      },
      evacuate({ timeoutMs = 600_000, signal } = {}) {
        accepting = false;
        return evacuateAll({ instances, timeoutMs, signal, clock, log });
      },
      close({ instances: what = onClose } = {}) {
        return (closing ??= shut(what));
      },
      [Symbol.asyncDispose]: () => dea.close(),
    };
    return dea;
  } catch (error) {
    await journal?.[Symbol.asyncDispose]();
    dir[Symbol.dispose]();
    if (temporary) await rm(temporary, { recursive: true, force: true });
    throw error;
  }
}
