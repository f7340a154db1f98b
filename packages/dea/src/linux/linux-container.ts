import { readFileSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Container, ContainerProcess, ContainerRecord, ExitStatus, Usage } from "../container/container.ts";
import { parseEgress } from "../container/egress.ts";
import { packHome, unpackIntoHome } from "../container/home-files.ts";
import { attachKeeper, type Keeper, startKeeper } from "../container/keeper.ts";
import { readLabels } from "../container/labels.ts";
import { markVariable } from "../container/mark.ts";
import { isAlive, readProcess } from "../container/process-table.ts";
import { DeaError } from "../errors.ts";
import { elapsed, sleep } from "../ports.ts";
import { processesIn, readUse } from "./cgroup.ts";
import { diskUse, giveHome, unmountBelow } from "./disk.ts";
import { appUser } from "./etc-files.ts";
import { dismantle, killGroup } from "./ground.ts";
import { mountSharedHome } from "./idmap.ts";
import { outOfMemoryKills } from "./kills.ts";
import { startExec } from "./linux-exec.ts";
import { mainArguments, mainConfig, type MainInput } from "./main-process.ts";
import { containerPaths } from "./names.ts";
import type { TrafficReader } from "./link-traffic.ts";
import { changeEgress } from "./network.ts";
import { searchPath } from "./programs.ts";

/** Port every app listens on inside. */
export const appPort = 8_080;
const drainMs = 2_000;

export interface LinuxContainerInput extends MainInput {
  owner: string;
  /** Program and options of the shell outside. */
  outerShell: readonly string[];
  dns: readonly string[];
  traffic: TrafficReader;
  /** Of a container found again: size of the droplet that it shares. */
  layerBytes?: number | undefined;
  /** Of a root that is not the host's. */
  inside?: NonNullable<Container["inside"]>;
}

export interface LinuxContainer extends Container {
  resume(leader: { pid: number; startTicks: number }): ContainerProcess;
}

/** One container of the OCI runtime. Its making and its removal are the backend's; this runs, tells and ends. */
export function createLinuxContainer(input: LinuxContainerInput): LinuxContainer {
  const { ground, owner, spec, slot, dns } = input;
  const { names, cgroups, clock } = ground;
  const paths = containerPaths(names, spec.handle);
  const dir = join(ground.dir, spec.handle);
  const runDir = join(dir, "run");
  const hostUser = { uid: slot.firstId + appUser.uid, gid: slot.firstId + appUser.gid };
  let leader: { pid: number; startTicks: number } | undefined;
  let keeper: Keeper | undefined;
  let main: ContainerProcess | undefined;
  let ended = false;
  let destroyed = false;
  /** Size of the droplet, where others share it. */
  let { layerBytes } = input;

  const present = (): void => {
    if (destroyed) throw new DeaError("DEA_CONTAINER", `container ${spec.handle} is destroyed`);
  };
  const mainEnded = (): boolean => ended || !keeper || !leader || !isAlive(leader.pid, leader.startTicks);
  /** The container's first process, as the host numbers it. Undefined until the runtime has made it. */
  const firstPid = (): number | undefined => {
    try {
      const pid = Number(readFileSync(join(paths.bundle, "pid"), "latin1"));
      return pid > 1 && processesIn(cgroups, paths.cgroup).includes(pid) ? pid : undefined;
    } catch {
      return undefined;
    }
  };
  /** Everybody but the first process; empty while the runtime still prepares. */
  const appPids = (): number[] => {
    const first = firstPid();
    return first === undefined ? [] : processesIn(cgroups, paths.cgroup).filter((pid) => pid !== first);
  };
  const signalTo = (pids: readonly number[], name: NodeJS.Signals): void => {
    for (const pid of pids) {
      try {
        process.kill(pid, name);
      } catch {
        // It ended in between.
      }
    }
  };
  const killAll = (): Promise<void> => killGroup(ground, paths.cgroup, mainEnded);
  const named = (status: ExitStatus): ExitStatus => (outOfMemoryKills(ground, spec.handle) > 0 ? { ...status, outOfMemory: true } : status);

  const watch = (started: Keeper): ContainerProcess => {
    keeper = started;
    const exited = started.exited.then(async (status) => {
      ended = true;
      const told = named(status);
      await killAll().catch(() => {});
      started.bye();
      const timer = clock.after(drainMs, () => [started.stdout, started.stderr].forEach((stream) => stream.destroy()));
      for (const [one, other] of [[started.stdout, started.stderr], [started.stderr, started.stdout]] as const) {
        one.once("close", () => other.destroyed && timer[Symbol.dispose]());
      }
      return told;
    });
    const children = (): number[] => appPids().filter((pid) => readProcess(pid)?.parent === firstPid());
    main = { id: "main", stdout: started.stdout, stderr: started.stderr, exited, signal: async (name) => signalTo(children(), name) };
    return main;
  };

  return {
    handle: spec.handle,
    homeDir: paths.home,
    homeInside: appUser.home,
    containerPort: appPort,
    ...(input.inside ? { inside: input.inside } : {}),
    record(): ContainerRecord {
      if (!leader) throw new DeaError("DEA_CONTAINER", `container ${spec.handle} runs nothing yet`);
      return { pid: leader.pid, startTicks: leader.startTicks, slot: slot.number, ...(layerBytes === undefined ? {} : { layerBytes }) };
    },
    async layHome({ dir: layer, bytes }) {
      present();
      try {
        await mountSharedHome({ layer, mountPoint: paths.layer, disk: paths.disk, home: paths.home, owner: hostUser, label: names.mountLabel });
      } catch {
        await unmountBelow(paths.dir, [paths.home, paths.layer]);
        return false;
      }
      layerBytes = bytes;
      return true;
    },
    async run({ argv, env }, beforeStart) {
      if (leader || destroyed) throw new DeaError("DEA_CONTAINER", `container ${spec.handle} was used already`);
      const config = join(paths.bundle, "config.json");
      await writeFile(config, JSON.stringify(mainConfig(input, { argv, env })), { mode: 0o600 });
      await giveHome(paths.home, hostUser, layerBytes !== undefined);
      const started = await startKeeper(
        runDir,
        {
          argv: mainArguments(ground, spec.handle),
          env: [`PATH=${searchPath.join(":")}`, `${markVariable}=${owner}/${spec.handle}`],
        },
        { cwd: "/", fileDescriptors: Math.max(4_096, spec.fileDescriptors), shell: input.outerShell, handsOverTo: hostUser },
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
      void forget(config);
      return running;
    },
    resume(found) {
      leader = found;
      const running = watch(attachKeeper(runDir, found.pid));
      // The executor may have died between writing it down and saying so; said twice it means nothing.
      keeper?.go();
      void forget(join(paths.bundle, "config.json"));
      return running;
    },
    attach: () => main,
    async exec(process_) {
      present();
      if (!main || mainEnded()) throw new DeaError("DEA_CONTAINER", `nothing runs in container ${spec.handle}`);
      for (const deadline = elapsed(clock) + 10_000; firstPid() === undefined && !mainEnded() && elapsed(clock) < deadline; ) await sleep(clock, 10);
      return startExec(ground, spec, process_);
    },
    async streamIn(path, tar, options = {}) {
      present();
      await unpackIntoHome(paths.home, path, tar, { owner: hostUser, maxBytes: spec.diskBytes, ...options });
    },
    async streamOut(path, options) {
      present();
      return packHome(paths.home, path, options);
    },
    async info() {
      present();
      const state = !main ? "created" : mainEnded() ? "stopped" : "running";
      const events = outOfMemoryKills(ground, spec.handle) > 0 ? ["out of memory"] : [];
      const ports = [{ host: spec.hostPort, container: appPort }];
      return { handle: spec.handle, state, containerAddress: slot.address, hostAddress: slot.hostAddress, ports, labels: await readLabels(dir), events };
    },
    async setEgress(rules) {
      present();
      const parsed = parseEgress(rules);
      await changeEgress(names.table, { slot, hostPort: spec.hostPort, containerPort: appPort, rules: parsed, pool: ground.pool, dns });
    },
    async usage(): Promise<Usage> {
      present();
      const { bytes, inodes } = await diskUse(paths.disk).catch(() => ({ bytes: 0, inodes: 0 }));
      const { memoryBytes, cpuMs, outOfMemoryKills: kills } = readUse(cgroups, paths.cgroup);
      const network = input.traffic(slot.link);
      const processes = appPids().length;
      return { memoryBytes, cpuMs, outOfMemoryKills: kills, diskBytes: Math.min(bytes + (layerBytes ?? 0), spec.diskBytes), diskComplete: true, inodes, processes, ...(network ? { network } : {}) };
    },
    pids: async () => processesIn(cgroups, paths.cgroup),
    async stop({ graceMs, signal }) {
      const deadline = elapsed(clock) + graceMs;
      while (elapsed(clock) < deadline && !signal?.aborted && !mainEnded()) {
        const here = appPids();
        if (here.length > 0) {
          signalTo(here, "SIGTERM");
          await Promise.race([keeper?.exited, sleep(clock, deadline - elapsed(clock), signal)]);
          break;
        }
        await sleep(clock, 5, signal);
      }
      await killAll();
    },
    async destroy() {
      destroyed = true;
      await killAll();
      keeper?.bye();
      if (leader && isAlive(leader.pid, leader.startTicks)) signalTo([leader.pid], "SIGKILL");
      await dismantle(ground, spec.handle);
    },
    release() {
      keeper?.release();
    },
  };

  /** The runtime has read it by the time the first process exists; it holds the app's environment, and so its secrets. */
  async function forget(config: string): Promise<void> {
    for (const deadline = elapsed(clock) + 30_000; firstPid() === undefined && !mainEnded() && elapsed(clock) < deadline; ) await sleep(clock, 50);
    await rm(config, { force: true }).catch(() => {});
  }
}
