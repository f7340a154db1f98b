import { randomUUID } from "node:crypto";
import { lstat, mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DeaError } from "../errors.ts";
import { type Clock, elapsed, sleep } from "../ports.ts";
import type { Container, ContainerProcess, ContainerRecord, ContainerSpec, Usage } from "./container.ts";
import { enteringSandbox } from "./enter-sandbox.ts";
import { startExecChild } from "./exec-child.ts";
import { packHome, unpackIntoHome } from "./home-files.ts";
import { environmentOf } from "./environment-of.ts";
import { attachKeeper, type Keeper, startKeeper } from "./keeper.ts";
import { readLabels } from "./labels.ts";
import { processLimits } from "./limits.ts";
import { markVariable } from "./mark.ts";
import { type Family, findFamily, type Leader, signalEach } from "./process-family.ts";
import { isAlive, type MarkedProcess, readProcess } from "./process-table.ts";
import { createProcessMeter } from "./process-usage.ts";
import type { Enclosure } from "./sandbox/enclosure.ts";
import type { Inner, Sandbox } from "./sandbox/sandbox.ts";
import { homeInside as homeInSandbox, type HostView } from "./sandbox/view.ts";

/** What all containers of a backend share: looking at every process costs the same for one as for a hundred. */
export interface Surroundings {
  clock: Clock;
  /** Shell of the keepers: program and options. */
  shell: readonly string[];
  /** A list of processes that is at most a moment old. */
  recent(): readonly MarkedProcess[];
  /** A list made after this call. */
  fresh(): Promise<readonly MarkedProcess[]>;
  /** What a new sandbox shows of the host. */
  view(): HostView;
  /** Unmarked processes that hold one of these files for writing, in the list made last; none older than `sinceTicks`. */
  writers(files: readonly string[], sinceTicks: number): readonly MarkedProcess[];
}

/** How long KILL may take to show: longer, and the process hangs in the kernel. */
const killWaitMs = 10_000;
/** How long output may trickle after the app's end while somebody unknown still holds the pipe. */
const drainMs = 2_000;

export interface ProcessContainer extends Container {
  /** Takes over what an earlier executor started. */
  resume(leader: Leader): ContainerProcess;
}

export interface ProcessPlace {
  dir: string;
  owner: string;
  /** Undefined: a plain process. */
  sandbox: Sandbox | undefined;
}

/** Processes and threads of a container, where the kernel counts them. */
const defaultMaxProcesses = 1_024;

/** One folder, one process group, in a sandbox or not: what the `process` backend calls a container. */
export function createProcessContainer({ dir, owner, sandbox }: ProcessPlace, spec: ContainerSpec, around: Surroundings): ProcessContainer {
  const { clock } = around;
  const mark = `${owner}/${spec.handle}`;
  const homeDir = join(dir, "home");
  const homeInside = sandbox ? homeInSandbox : homeDir;
  const runDir = join(dir, "run");
  const tableFile = join(runDir, "mounts");
  const { maxProcesses = defaultMaxProcesses } = spec;
  const outputs = [join(runDir, "out"), join(runDir, "err")];
  let leader: Leader | undefined;
  let keeper: Keeper | undefined;
  /** The keeper has told how the main process ended. */
  let ended = false;
  const meter = createProcessMeter(homeDir, spec.memoryBytes);
  let destroyed = false;
  let up = false;
  let main: ContainerProcess | undefined;

  const familyIn = (list: readonly MarkedProcess[]): Family => findFamily(mark, list, leader, { sandboxed: sandbox !== undefined, up: (up ||= sandbox?.isUp(tableFile) ?? true) });

  /** False while the keeper may still be about to fork the app: an empty family is then no proof. */
  const mainEnded = (): boolean => ended || !keeper || !leader || !isAlive(leader.pid, leader.startTicks);

  const killApp = async (): Promise<void> => {
    const deadline = elapsed(clock) + killWaitMs;
    for (;;) {
      const last = mainEnded();
      const left = [...familyIn(await around.fresh()).all];
      // Who left the family but still holds its output. Looked for at the end only: it costs more.
      if (left.length === 0 && last) left.push(...around.writers(outputs, leader?.startTicks ?? 0));
      if (left.length === 0 && last) return;
      if (elapsed(clock) > deadline) {
        throw new DeaError("DEA_CONTAINER", `processes survive KILL: ${left.map(({ pid }) => pid).join(", ")}`, { retryable: true });
      }
      signalEach("SIGKILL", left);
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
      async signal(name) {
        const { main: entry } = familyIn(await around.fresh());
        if (entry && !ended) signalEach(name, [entry]);
      },
    };
    return main;
  };

  const present = (): void => {
    if (destroyed) throw new DeaError("DEA_CONTAINER", `container ${spec.handle} is destroyed`);
  };

  /** What starts the app: in a sandbox, the programs that build it first. */
  const enclose = async (inner: Inner): Promise<{ argv: readonly string[]; env: readonly string[] }> => {
    if (!sandbox) return inner;
    const enclosure: Enclosure = { view: around.view(), homeDir, temporaryDir: join(homeDir, "tmp"), rootDir: join(dir, "root") };
    for (const folder of [enclosure.temporaryDir, enclosure.rootDir]) await mkdir(folder).catch(() => {});
    // A link in its place would be followed by who mounts it.
    if (!(await lstat(enclosure.temporaryDir)).isDirectory()) throw new DeaError("DEA_CONTAINER", "tmp in the home is not a folder");
    const outer = sandbox.wrap(enclosure, inner, tableFile);
    for (const { path, text } of outer.files) await writeFile(path, text, { mode: 0o600 });
    return outer;
  };

  return {
    handle: spec.handle,
    homeDir,
    homeInside,
    containerPort: spec.hostPort,
    record(): ContainerRecord {
      if (!leader) throw new DeaError("DEA_CONTAINER", `container ${spec.handle} runs nothing yet`);
      return { pid: leader.pid, startTicks: leader.startTicks, ...(sandbox ? { isolation: sandbox.kind } : {}) };
    },
    async run({ argv, env }, beforeStart) {
      if (leader || destroyed) throw new DeaError("DEA_CONTAINER", `container ${spec.handle} was used already`);
      const outer = await enclose({ argv, env, cwd: homeInside, maxProcesses });
      const started = await startKeeper(
        runDir,
        { argv: outer.argv, env: [...outer.env, `${markVariable}=${mark}`] },
        { cwd: homeDir, shell: around.shell, ...processLimits(spec) },
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
      const running = watch(attachKeeper(runDir, found.pid));
      // The executor may have died between writing it down and saying so; said twice it means nothing.
      keeper?.go();
      return running;
    },
    attach: () => main,
    async exec({ argv, env, user = "vcap", cwd = homeInside, terminal }) {
      present();
      if (!main || mainEnded()) throw new DeaError("DEA_CONTAINER", `nothing runs in container ${spec.handle}`);
      if (user !== "vcap") throw new DeaError("DEA_UNSUPPORTED", "the process backend has one user only");
      const environment = environmentOf([...env, `${markVariable}=${mark}`]);
      const options = { id: randomUUID(), argv, env: environment, ...(terminal ? { terminal } : {}) };
      if (!sandbox) return startExecChild({ ...options, cwd });
      const { first } = familyIn(await around.fresh());
      if (!first) throw new DeaError("DEA_CONTAINER", `the sandbox of container ${spec.handle} is not up yet, or no longer`, { retryable: true });
      return startExecChild({ ...options, cwd: "/", ...enteringSandbox(sandbox, first.pid, cwd, maxProcesses) });
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
      let { app: entries } = familyIn(around.recent());
      // A list made before the app began says nothing of it.
      if (entries.length === 0 && !mainEnded()) entries = familyIn(await around.fresh()).app;
      const used = await meter.disk();
      return {
        memoryBytes: meter.memory(entries),
        cpuMs: meter.cpu(entries),
        diskBytes: used.bytes,
        diskComplete: used.complete,
        processes: entries.length,
      };
    },
    pids: async () => [...(leader ? [leader.pid] : []), ...familyIn(await around.fresh()).app.map(({ pid }) => pid)],
    async stop({ graceMs, signal }) {
      const deadline = elapsed(clock) + graceMs;
      while (elapsed(clock) < deadline && !signal?.aborted && !mainEnded()) {
        const { app: here } = familyIn(await around.fresh());
        if (here.length > 0) {
          // Once, and to those who are there now: what an app starts to clean up must be left to finish.
          signalEach("SIGTERM", here);
          await Promise.race([keeper?.exited, sleep(clock, deadline - elapsed(clock), signal)]);
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
      const { all } = familyIn(await around.fresh());
      signalEach("SIGKILL", [...all, ...(leader ? [leader] : [])]);
      await rm(dir, { recursive: true, force: true, maxRetries: 3 });
    },
    release() {
      keeper?.release();
    },
  };
}
