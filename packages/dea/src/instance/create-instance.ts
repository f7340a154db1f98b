import { existsSync } from "node:fs";
import type { Container, ContainerProcess, ContainerSpec, ExitStatus } from "../container/container.ts";
import { deferred } from "../deferred.ts";
import { DeaError, textOf } from "../errors.ts";
import type { InstanceRecord } from "../journal/record.ts";
import type { Port } from "../port-pool.ts";
import { elapsed } from "../ports.ts";
import { attend } from "./attend.ts";
import { healthCheckOf } from "./checks.ts";
import { clearAway, endProcesses } from "./clear-away.ts";
import { createCourse } from "./course.ts";
import { endWords } from "./end-words.ts";
import { type ExitReason, exitError, exitOf, type InstanceExit, reasonOfError, reasonOfStatus } from "./exit.ts";
import { createExecs } from "./exec.ts";
import type { ManagedInstance, Surroundings } from "./instance.ts";
import { createLogBuffer, type LogLine } from "./log-buffer.ts";
import { createLogLimit } from "./log-limit.ts";
import { pumpLogs } from "./log-pump.ts";
import { createMetrics } from "./metrics.ts";
import { settledWithin } from "./phases.ts";
import type { Address } from "./probe.ts";
import { createShownSpec } from "./shown-spec.ts";
import type { InstanceSpec } from "./spec.ts";
import { facts, next } from "./state.ts";
import { startSequence } from "./start-sequence.ts";
import { createCpuMeter, statsOf } from "./stats.ts";
import { stateFileTimeoutMs } from "./state-file.ts";
import { standInLine } from "./wait-in-line.ts";

const tailLines = 50;

/** Carries one instance through its states: the table says what may happen, this does it. */
export function createInstance(around: Surroundings, id: string, privateId: string, spec: InstanceSpec): ManagedInstance {
  const { backend, ports, admission, clock, log, host, changed, deadlines, keptFiles } = around;
  const course = createCourse(clock.now, (from, to) => changed({ type: "state", instance, from, to }));
  const told = createShownSpec(spec);
  let resumes = 0;
  let port: Port | undefined;
  let container: Container | undefined;
  let process: ContainerProcess | undefined;
  let exit: InstanceExit | undefined;
  let present = true;
  let released = false;
  let isReady = false;
  let filesKept = false;
  /** What the start still does after its deadline: what it brings is cleared away too. */
  let pending: Promise<unknown> = Promise.resolve();
  let cpuGranted: Promise<void> = Promise.resolve();
  let launching: Promise<void> = Promise.resolve();
  let logs = createLogBuffer({ now: clock.now });
  const cpu = createCpuMeter();
  const metrics = createMetrics(around.metricsMs);
  const execs = createExecs();
  /** Aborts when it shall end or has ended: downloads, checks and waits stop. */
  const life = new AbortController();
  /** Aborts when the executor leaves it alone. */
  const held = new AbortController();
  const ready = deferred<void>();
  const exited = deferred<InstanceExit>();
  const gone = deferred<void>();
  ready.promise.catch(() => {});

  const emit = (stream: LogLine["stream"], text: string): void => changed({ type: "log", instance, line: logs.append(stream, text) });
  const say = (text: string): void => emit("platform", text);
  const line = standInLine(admission, clock, say);
  /** Writes down what is true now. What cannot be written down is said, and no reason to do nothing. */
  const save = (): Promise<void> => around.persist(instance).catch((error: unknown) => log.error("journal.write", { instance: id, error: textOf(error) }));

  /** The end: tells everybody, then clears away. Later calls mean nothing. */
  const settle = (event: "exit" | "fail" | "stop", reason: ExitReason, status: ExitStatus, cause?: unknown): void => {
    if (released || course.final) return;
    life.abort(new DeaError("DEA_STOPPED", "the instance ends"));
    const stopped = course.state === "STOPPING" || event === "stop";
    const at = clock.now();
    const why: ExitReason = stopped ? "stopped" : reason;
    exit = exitOf(why, { status, cause: stopped ? undefined : cause, at, upSince: course.readyAt, logTail: logs.tail(tailLines) });
    say(endWords(spec, exit));
    course.move(event);
    changed({ type: "exit", instance, exit });
    ready.reject(exitError(exit, cause));
    void clear(exit);
  };

  const clear = async (ended: InstanceExit): Promise<void> => {
    // Before anything is taken away: whoever comes after us must not take it for a loss.
    await save();
    await clearAway({
      remains: () => ({ container, process: processGone ? undefined : process }),
      pending: () => pending,
      // A crash of the check leaves the app running: it gets its grace. What eats memory or disk gets none.
      graceMs: ended.reason === "oom" || ended.reason === "disk-quota" ? 0 : spec.graceMs,
      deadlines,
      clock,
      signal: held.signal,
      async beforeDestroy({ homeDir }) {
        if (ended.reason === "stopped" || spec.task || !spec.keepCrashFiles) return;
        await keptFiles.keep(id, homeDir).then((kept) => (filesKept = kept), (error: unknown) => log.warn("instance.keep", { instance: id, error: textOf(error) }));
      },
      onLeft(what) {
        ended.left = what;
        log.error("instance.left", { instance: id, what });
        exited.resolve(ended);
      },
    });
    if (released) return;
    await settledWithin(pumped, { ms: deadlines.kill, clock, signal: held.signal });
    port?.[Symbol.dispose]();
    present = false;
    gone.resolve();
    logs.close();
    metrics.close();
    void save();
    exited.resolve(ended);
  };

  let processGone = false;
  let pumped: Promise<void> = Promise.resolve();
  let watched: Promise<void> = Promise.resolve();

  const watch = (started: ContainerProcess): void => {
    process = started;
    pumped = pumpLogs(started, emit, { limit: createLogLimit({ linesPerSecond: around.logLinesPerSecond, clock, notice: say }) });
    watched = started.exited.then(async (status) => {
      processGone = true;
      // Its last words belong to the report of its end.
      await settledWithin(pumped, { ms: deadlines.kill, clock, signal: held.signal });
      if (!released && !course.final) say(`Process ended: ${reasonOfStatus(status)}`);
      settle("exit", reasonOfStatus(status), status);
    });
  };

  const reach = (): Address => ({ host, port: port?.number ?? 0 });

  /** Health, from the first instruction to the end. */
  const look = (timeoutMs: number): Promise<void> =>
    attend({
      check: { ...told.shown.healthCheck, timeoutMs },
      readiness: spec.readinessCheck,
      address: reach(),
      homeDir: container?.homeDir ?? "",
      isUp: course.readyAt !== undefined,
      granted: cpuGranted,
      clock,
      signal: life.signal,
      onUp() {
        course.move("ready");
        course.readyAt ??= clock.now();
        say("Instance became healthy");
        ready.resolve();
        void save();
      },
      onReadiness(now) {
        isReady = now;
        if (spec.readinessCheck.type !== "process") say(now ? "Instance became ready: requests come to it" : "Instance is not ready: its readiness check fails, and requests go elsewhere");
        changed({ type: "routable", instance, routable: instance.routable });
      },
      onFailure: (reason) => settle("fail", reason, {}),
    });

  const containerSpec = (hostPort: number): ContainerSpec => ({
    handle: id,
    hostPort,
    memoryBytes: spec.memoryBytes,
    diskBytes: spec.diskBytes,
    fileDescriptors: spec.fileDescriptors,
    ...spec.place,
    ...(told.shown.egress && { egress: told.shown.egress }),
  });

  const begin = async (): Promise<void> => {
    await startSequence({
      around, id, line, containerSpec,
      signal: life.signal,
      spec: () => ({ ...told.secret, ...told.shown }),
      onTurn() {
        course.move("start");
        say(`Creating container for instance ${id}`);
      },
      async onPort(taken) {
        port = taken;
        await save();
      },
      onContainer: (made) => (container = made),
      onPending: (work) => (pending = work),
      onStateFile(path) {
        const check = told.shown.healthCheck;
        told.change({ healthCheck: { ...check, type: "state-file", path, timeoutMs: Math.max(check.timeoutMs, stateFileTimeoutMs) } });
      },
      onStart: (at) => (course.startedAt = at),
      beforeRun: () => around.persist(instance),
      onProcess(started, granted) {
        watch(started);
        cpuGranted = granted;
      },
    });
    say("Starting health monitoring of container");
  };

  const instance: ManagedInstance = {
    id,
    privateId,
    get spec() { return told.shown; },
    get state() { return course.state; },
    get stateSince() { return course.since; },
    get exit() { return exit; },
    get present() { return present; },
    get stateTimes() { return course.times; },
    get queuePosition() { return line.position; },
    get routable() { return facts[course.state].routed && course.readyAt !== undefined && isReady; },
    get startedAt() { return process || course.readyAt !== undefined ? course.startedAt : undefined; },
    get homeInside() { return container?.homeInside; },
    get filesDir() {
      if (course.final) return filesKept ? keptFiles.folderOf(id) : undefined;
      return facts[course.state].filesReadable ? container?.homeDir : undefined;
    },
    dropFiles() {
      filesKept = false;
      void keptFiles.drop(id).catch((error: unknown) => log.warn("instance.drop", { instance: id, error: textOf(error) }));
    },
    ready: ready.promise,
    exited: exited.promise,
    gone: gone.promise,
    get address() {
      if (!port) throw new DeaError("DEA_NO_PORT", "the instance has no port yet");
      return { host, port: port.number };
    },
    logs: (options) => logs.read(options),
    metrics: () => metrics.kept(),
    followMetrics: (options) => metrics.follow(options),
    async exec(options = {}) {
      if (!container || !process || processGone || course.final) throw new DeaError("DEA_STOPPED", `the instance is ${course.state}`);
      return await execs({ container, shell: container.inside?.shell ?? around.shell, clock }, options);
    },
    async launch() {
      if (course.state === "BORN" && !spec.task) say(`Starting app instance (index ${spec.index}) with guid ${spec.appId}`);
      launching = begin();
      try {
        await launching;
      } catch (error) {
        // A stop that came in between is no failure.
        if (course.state === "STOPPING") settle("exit", "stopped", {});
        else settle("fail", reasonOfError(error), {}, error);
        return;
      }
      if (!life.signal.aborted) await look(told.shown.healthCheck.timeoutMs);
    },
    async resume(record) {
      course.resume(record);
      ({ exit } = record);
      // What an older executor wrote down knows no longest pause.
      told.change({ healthCheck: { ...healthCheckOf({}, spec.healthCheck.timeoutMs), ...record.spec.healthCheck } });
      filesKept = exit !== undefined && exit.reason !== "stopped" && existsSync(keptFiles.folderOf(id));
      resumes = record.resumes + 1;
      logs = createLogBuffer({ now: clock.now, firstSequence: resumes * 2 ** 40 });
      if (course.final) {
        present = false;
        gone.resolve();
        logs.close();
        metrics.close();
        life.abort();
        if (exit) exited.resolve(exit);
        ready.reject(new DeaError("DEA_EXITED", "the instance ended before the executor was restarted"));
        return;
      }
      if (record.container === undefined) {
        // Nothing of it was started. Whoever knows everything about it starts it now; whoever does not, says so.
        if (course.state === "STOPPING") settle("exit", "stopped", {});
        else if (record.secret === undefined || course.state === "EVACUATING") settle("fail", "interrupted", {}, interrupted());
        else {
          course.restart();
          say("The executor was restarted; starting again");
          void instance.launch();
        }
        return;
      }
      if (course.readyAt !== undefined) ready.resolve();
      port = record.port === undefined ? undefined : await ports.adopt(record.port);
      const found = (port || spec.task) && record.container ? await backend.adopt(containerSpec(port?.number ?? 0), record.container) : undefined;
      container = found?.container;
      if (!found?.process) {
        settle("exit", reasonOfStatus(found?.status ?? {}), found?.status ?? {});
        return;
      }
      watch(found.process);
      // Whoever asks next shall not be told that it lives.
      if (found.ended) await settledWithin(watched, { ms: deadlines.kill, clock, signal: held.signal });
      if (exit) return;
      if (course.state === "STOPPING") void finishStop(spec.graceMs);
      else void look(Math.max(1_000, told.shown.healthCheck.timeoutMs - Math.max(0, clock.now() - course.startedAt)));
    },
    async enforce() {
      if (!container || !process || life.signal.aborted) return;
      const usage = await container.usage();
      cpu.sample(usage, elapsed(clock));
      if (metrics.due(elapsed(clock))) metrics.add(usage, { at: clock.now(), ageMs: Math.max(0, clock.now() - course.startedAt), memoryQuotaBytes: spec.memoryBytes, diskQuotaBytes: spec.diskBytes, log: logs.counts() }, elapsed(clock));
      if (life.signal.aborted) return;
      if (usage.memoryBytes > spec.memoryBytes || (usage.outOfMemoryKills ?? 0) > 0) settle("fail", "oom", {});
      else if (usage.diskBytes > spec.diskBytes || !usage.diskComplete) settle("fail", "disk-quota", {});
    },
    async stats() {
      if (course.final) throw new DeaError("DEA_STOPPED", `the instance is ${course.state}`);
      if (!container || !process) return statsOf(spec, undefined, { uptimeMs: 0, cpu: 0, queuePosition: line.position });
      const usage = await container.usage();
      return statsOf(spec, usage, { uptimeMs: Math.max(0, clock.now() - course.startedAt), cpu: cpu.sample(usage, elapsed(clock)), queuePosition: undefined });
    },
    stop({ graceMs = spec.graceMs, signal } = {}) {
      if (course.state === "BORN") settle("stop", "stopped", {});
      else if (next(course.state, "stop")) {
        say("Stopping instance");
        course.move("stop");
        life.abort(new DeaError("DEA_STOPPED", "the instance was stopped"));
        void finishStop(graceMs, signal);
      }
      return exited.promise;
    },
    evacuate() {
      if (!next(course.state, "evacuate")) return;
      course.move("evacuate");
      void save();
    },
    update(change) {
      const { uris, version } = told.shown;
      told.change(change);
      if (change.egress !== undefined) {
        void container?.setEgress(change.egress).catch((error: unknown) => log.error("instance.egress", { instance: id, error: textOf(error) }));
      }
      void save();
      changed({ type: "update", instance, before: { uris, version } });
    },
    record: () => ({
      id,
      privateId,
      state: course.state,
      stateSince: course.since,
      startedAt: course.startedAt,
      readyAt: course.readyAt,
      resumes,
      port: port?.number,
      container: process ? container?.record() : recordIfAny(container),
      spec: instance.spec,
      exit,
      ...(around.keepsSecrets && { secret: told.secret }),
    }),
    release() {
      released = true;
      held.abort();
      life.abort(new DeaError("DEA_CLOSED", "the executor was closed"));
      container?.release();
      logs.close();
      metrics.close();
    },
  };

  const finishStop = async (graceMs: number, signal?: AbortSignal): Promise<void> => {
    // Whoever comes after us goes on with the stop.
    await save();
    await launching.catch(() => {});
    // No process: the start sequence was cut short and settles by itself.
    if (container && process && !processGone && !released) {
      const graceSignal = signal ? { graceSignal: signal } : {};
      await endProcesses(container, { graceMs, deadlines, clock, ...graceSignal }).catch((error: unknown) => log.error("instance.stop", { instance: id, error: textOf(error) }));
    }
    // How it ended is known in a moment; an end that never comes is told without it.
    await settledWithin(watched, { ms: deadlines.kill, clock, signal: held.signal });
    settle("fail", "stopped", {});
  };

  return instance;
}

/** Why an instance ends that was accepted and not started when its executor died. */
const interrupted = (): DeaError => new DeaError("DEA_INTERRUPTED", "the executor ended before the app was started", { retryable: true });

function recordIfAny(container: Container | undefined): InstanceRecord["container"] {
  try {
    return container?.record();
  } catch {
    return undefined;
  }
}
