import type { Container, ContainerProcess, ContainerSpec, ExitStatus } from "../container/container.ts";
import { deferred } from "../deferred.ts";
import { DeaError, textOf } from "../errors.ts";
import type { Port } from "../port-pool.ts";
import { sleep } from "../ports.ts";
import type { InstanceRecord } from "../snapshot.ts";
import { instanceEnvironment } from "./environment.ts";
import { descriptionOf, exitCodeOf, type ExitReason, exitError, type InstanceExit, reasonOfError, reasonOfStatus } from "./exit.ts";
import { waitUntilDown, waitUntilUp } from "./health.ts";
import type { ManagedInstance, Surroundings } from "./instance.ts";
import { launchArguments, prepareHome, startCommand } from "./launch.ts";
import { createLogBuffer, type LogLine } from "./log-buffer.ts";
import { pumpLogs } from "./log-pump.ts";
import type { InstanceSpec } from "./spec.ts";
import { advance, facts, type InstanceEvent, type InstanceState, next } from "./state.ts";
import { createCpuMeter } from "./stats.ts";

/** Pause before an instance that survived KILL is killed again. */
const stopRetryMs = 5_000;
const tailLines = 50;

/** Carries one instance through its states: the table says what may happen, this does it. */
export function createInstance(around: Surroundings, id: string, privateId: string, spec: InstanceSpec): ManagedInstance {
  const { backend, store, ports, admission, clock, log, host, changed } = around;
  let state: InstanceState = "BORN";
  let stateSince = clock.now();
  let startedAt = stateSince;
  let readyAt: number | undefined;
  let resumes = 0;
  let port: Port | undefined;
  let container: Container | undefined;
  let process: ContainerProcess | undefined;
  let exit: InstanceExit | undefined;
  let present = true;
  let released = false;
  let launching: Promise<void> = Promise.resolve();
  let logs = createLogBuffer({ now: clock.now });
  let { uris, version, egress } = spec;
  const cpu = createCpuMeter();
  /** Aborts when it shall end or has ended: downloads, checks and waits stop. */
  const life = new AbortController();
  const ready = deferred<void>();
  const exited = deferred<InstanceExit>();
  ready.promise.catch(() => {});

  const emit = (stream: LogLine["stream"], text: string): void => changed({ type: "log", instance, line: logs.append(stream, text) });
  const say = (text: string): void => emit("platform", text);
  const save = (): void => void around.persist().catch((error: unknown) => log.error("snapshot.save", { error: textOf(error) }));

  const move = (event: InstanceEvent): void => {
    const from = state;
    state = advance(from, event);
    if (state === from) return;
    stateSince = clock.now();
    if (state === "RUNNING") readyAt = stateSince;
    changed({ type: "state", instance, from, to: state });
  };

  /** The end: tells everybody, then clears away. Later calls mean nothing. */
  const settle = (event: "exit" | "fail" | "stop", reason: ExitReason, status: ExitStatus, cause?: unknown): void => {
    if (released || facts[state].final) return;
    life.abort(new DeaError("DEA_STOPPED", "the instance ends"));
    const stopped = state === "STOPPING" || event === "stop";
    const at = clock.now();
    const why: ExitReason = stopped ? "stopped" : reason;
    exit = {
      reason: why,
      description: stopped || !(cause instanceof DeaError) ? descriptionOf(why) : `${descriptionOf(why)}: ${cause.message}`,
      status: exitCodeOf(status),
      at,
      uptimeMs: readyAt === undefined ? 0 : at - readyAt,
      logTail: logs.tail(tailLines),
    };
    // The texts of these two name the fault already.
    if (why === "no-command" || why === "disk-quota") exit.description = descriptionOf(why);
    say(stopped ? "Instance stopped" : `Instance crashed: ${exit.description} (${why})`);
    move(event);
    changed({ type: "exit", instance, exit });
    ready.reject(exitError(exit, cause));
    void clear(exit);
  };

  const clear = async (ended: InstanceExit): Promise<void> => {
    for (;;) {
      try {
        // A crash of the check or of a limit leaves the app running: it gets its grace, unless it eats memory or disk.
        const graceMs = ended.reason === "oom" || ended.reason === "disk-quota" ? 0 : spec.graceMs;
        if (process && !processGone) await container?.stop({ graceMs });
        await container?.destroy();
        break;
      } catch (error) {
        log.error("instance.clear", { instance: id, error: textOf(error) });
        await sleep(clock, stopRetryMs);
      }
    }
    await pumped;
    port?.[Symbol.dispose]();
    present = false;
    logs.close();
    save();
    exited.resolve(ended);
  };

  let processGone = false;
  let pumped: Promise<void> = Promise.resolve();

  const watch = (started: ContainerProcess): void => {
    process = started;
    pumped = pumpLogs(started, emit);
    void started.exited.then(async (status) => {
      processGone = true;
      // Its last words belong to the report of its end.
      await pumped;
      if (!released && !facts[state].final) say(`Process ended: ${reasonOfStatus(status)}`);
      settle("exit", reasonOfStatus(status), status);
    });
  };

  /** Health, from the first instruction to the end. */
  const attend = async (timeoutMs: number): Promise<void> => {
    const check = { ...spec.healthCheck, timeoutMs };
    if (readyAt === undefined) {
      if (!(await waitUntilUp(check, instance.address, clock, life.signal))) {
        if (!life.signal.aborted) settle("fail", check.type === "http" ? "http-timeout" : "port-timeout", {});
        return;
      }
      move("ready");
      readyAt ??= clock.now();
      say("Instance became healthy");
      ready.resolve();
      save();
    }
    void waitUntilDown(check, instance.address, clock, life.signal).then((down) => {
      if (down) settle("fail", "liveness", {});
    });
  };

  const containerSpec = (hostPort: number): ContainerSpec => ({
    handle: id,
    hostPort,
    memoryBytes: spec.memoryBytes,
    diskBytes: spec.diskBytes,
    fileDescriptors: spec.fileDescriptors,
    ...(egress === undefined ? {} : { egress }),
  });

  /** Everything up to the app's first instruction. */
  const begin = async (): Promise<void> => {
    using _place = await admission.enter(life.signal);
    move("start");
    say(`Creating container for instance ${id}`);
    port = await ports.take(spec.port);
    container = await backend.create(containerSpec(port.number));
    await store.unpackTo(spec.droplet, container.homeDir, { maxBytes: spec.diskBytes, signal: life.signal });
    await prepareHome(container.homeDir);
    const command = await startCommand(container.homeDir, spec.command);
    startedAt = clock.now();
    const env = instanceEnvironment({
      spec: { ...spec, uris, version },
      instanceId: id,
      home: container.homeInside,
      host,
      hostPort: port.number,
      containerPort: container.containerPort,
      startedAtMs: startedAt,
      path: around.searchPath,
    });
    life.signal.throwIfAborted();
    const argv = launchArguments(container.homeInside, around.shell, command);
    watch(await container.run({ argv, env }, () => around.persist()));
    say("Starting health monitoring of container");
  };

  const instance: ManagedInstance = {
    id,
    privateId,
    get spec() {
      const { env: _env, services: _services, application: _application, droplet: _droplet, command: _command, ...rest } = spec;
      return { ...rest, uris, version, egress };
    },
    get state() { return state; },
    get stateSince() { return stateSince; },
    get exit() { return exit; },
    get present() { return present; },
    ready: ready.promise,
    exited: exited.promise,
    get address() {
      if (!port) throw new DeaError("DEA_NO_PORT", "the instance has no port yet");
      return { host, port: port.number };
    },
    logs: (options) => logs.read(options),
    async launch() {
      launching = begin();
      try {
        await launching;
      } catch (error) {
        // A stop that came in between is no failure.
        if (state === "STOPPING") settle("exit", "stopped", {});
        else settle("fail", reasonOfError(error), {}, error);
        return;
      }
      if (!life.signal.aborted) await attend(spec.healthCheck.timeoutMs);
    },
    async resume(record) {
      ({ state, stateSince, startedAt, readyAt, exit } = record);
      resumes = record.resumes + 1;
      logs = createLogBuffer({ now: clock.now, firstSequence: resumes * 2 ** 40 });
      if (facts[state].final) {
        present = false;
        logs.close();
        life.abort();
        if (exit) exited.resolve(exit);
        ready.reject(new DeaError("DEA_EXITED", "the instance ended before the executor was restarted"));
        return;
      }
      if (readyAt !== undefined) ready.resolve();
      port = record.port === undefined ? undefined : await ports.adopt(record.port);
      const found = port && record.container ? await backend.adopt(containerSpec(port.number), record.container) : undefined;
      container = found?.container;
      if (!found?.process) {
        settle("exit", reasonOfStatus(found?.status ?? {}), found?.status ?? {});
        return;
      }
      watch(found.process);
      if (state === "STOPPING") void finishStop(spec.graceMs);
      else void attend(Math.max(1_000, spec.healthCheck.timeoutMs - (clock.now() - startedAt)));
    },
    async enforce() {
      if (!container || !process || life.signal.aborted) return;
      const usage = await container.usage();
      cpu.sample(usage, clock.now());
      if (life.signal.aborted) return;
      if (usage.memoryBytes > spec.memoryBytes || (usage.outOfMemoryKills ?? 0) > 0) settle("fail", "oom", {});
      else if (usage.diskBytes > spec.diskBytes || !usage.diskComplete) settle("fail", "disk-quota", {});
    },
    async stats() {
      if (!container || !process || facts[state].final) throw new DeaError("DEA_STOPPED", `the instance is ${state}`);
      const usage = await container.usage();
      return {
        uptimeMs: clock.now() - startedAt,
        memoryBytes: usage.memoryBytes,
        memoryQuotaBytes: spec.memoryBytes,
        diskBytes: usage.diskBytes,
        diskQuotaBytes: spec.diskBytes,
        diskComplete: usage.diskComplete,
        cpu: cpu.sample(usage, clock.now()),
        processes: usage.processes,
        fileDescriptorQuota: spec.fileDescriptors,
      };
    },
    stop({ graceMs = spec.graceMs, signal } = {}) {
      if (state === "BORN") settle("stop", "stopped", {});
      else if (next(state, "stop")) {
        say("Stopping instance");
        move("stop");
        life.abort(new DeaError("DEA_STOPPED", "the instance was stopped"));
        save();
        void finishStop(graceMs, signal);
      }
      return exited.promise;
    },
    evacuate() {
      if (next(state, "evacuate")) move("evacuate");
    },
    update(change) {
      ({ uris = uris, version = version } = change);
      if (change.egress !== undefined) {
        egress = change.egress;
        void container?.setEgress(egress).catch((error: unknown) => log.error("instance.egress", { instance: id, error: textOf(error) }));
      }
      save();
    },
    record: () => ({
      id,
      privateId,
      state,
      stateSince,
      startedAt,
      readyAt,
      resumes,
      port: port?.number,
      container: process ? container?.record() : recordIfAny(container),
      spec: instance.spec,
      exit,
    }),
    release() {
      released = true;
      life.abort(new DeaError("DEA_CLOSED", "the executor was closed"));
      container?.release();
      logs.close();
    },
  };

  const finishStop = async (graceMs: number, signal?: AbortSignal): Promise<void> => {
    await launching.catch(() => {});
    // No process: the start sequence was cut short and settles by itself.
    while (process && !processGone && !released) {
      try {
        await container?.stop(signal ? { graceMs, signal } : { graceMs });
        return;
      } catch (error) {
        log.error("instance.stop", { instance: id, error: textOf(error) });
        await sleep(clock, stopRetryMs);
      }
    }
  };

  return instance;
}

function recordIfAny(container: Container | undefined): InstanceRecord["container"] {
  try {
    return container?.record();
  } catch {
    return undefined;
  }
}
