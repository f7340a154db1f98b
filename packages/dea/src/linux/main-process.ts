import type { ContainerSpec, ProcessSpec } from "../container/container.ts";
import { ociConfig, sharesFor } from "./config.ts";
import type { Ground } from "./ground.ts";
import { containerPaths, type Slot } from "./names.ts";
import { searchPath } from "./programs.ts";

/*
 * The first process of a container. It starts the app and waits: it takes in orphans, and it is what a signal to the
 * first process would have to end, so the app gets signals with their usual meaning. Same tricks as the keeper's.
 */
const initScript = `trap : HUP INT QUIT TERM USR1 USR2 ALRM
exec 5>&1 6>&2 >/dev/null 2>/dev/null
(exec "$@" >&5 2>&6 5>&- 6>&-)
exit $?
`;

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
    argv: [...innerShell, "-c", initScript, "opencf-init", ...argv],
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
