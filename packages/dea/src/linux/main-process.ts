import { join } from "node:path";
import type { ContainerSpec, ProcessSpec } from "../container/container.ts";
import { ociConfig, sharesFor } from "./config.ts";
import { firstProcess } from "./first-process.ts";
import type { Ground } from "./ground.ts";
import { containerPaths, type Slot } from "./names.ts";
import { searchPath } from "./programs.ts";

/** What decides a container's configuration. */
export interface MainInput {
  ground: Ground;
  spec: ContainerSpec;
  slot: Slot;
  /** Paths of the host that are seen inside. */
  hostPaths: readonly string[];
  /** Program and options of the shell inside. */
  innerShell: readonly string[];
  /** Whether the kernel counts swap. */
  swap: boolean;
}

/** `config.json` of a container whose main process is this one. */
export function mainConfig({ ground, spec, slot, hostPaths, innerShell, swap }: MainInput, { argv, env }: ProcessSpec): object {
  const paths = containerPaths(ground.names, spec.handle);
  return ociConfig({
    slot, hostPaths, swap, env,
    argv: [...innerShell, "-c", firstProcess, "opencf-init", ...argv],
    hostname: spec.handle.slice(0, 63),
    rootDir: paths.root,
    homeDir: paths.home,
    cgroup: paths.cgroup,
    memoryBytes: spec.memoryBytes,
    maxProcesses: spec.maxProcesses ?? 1_024,
    cpuShares: spec.cpuShares ?? sharesFor(spec.memoryBytes),
    cpuCores: spec.cpuCores,
    bandwidth: spec.bandwidth,
    hostPath: searchPath.join(":"),
    fileDescriptors: spec.fileDescriptors,
  });
}

/** Program and arguments that start the container made of {@link mainConfig}; it lives on, with the pipe of number 3, when they end. */
export function mainArguments({ names, runtime }: Ground, handle: string): string[] {
  const { bundle } = containerPaths(names, handle);
  const options = ["--detach", "--preserve-fds=1", "--pid-file", join(bundle, "pid"), "--bundle", bundle];
  return [...runtime.command, "--root", names.runtimeDir, "--log", join(bundle, "runtime.log"), "run", ...options, handle];
}
