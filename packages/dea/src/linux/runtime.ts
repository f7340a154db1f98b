import type { Cgroups } from "./cgroup.ts";
import { findProgram, run, says, type RunOptions } from "./programs.ts";

/** An OCI runtime of this machine. */
export interface Runtime {
  name: string;
  path: string;
  version: string;
  /** Program and first arguments that call it: its path, or what makes this machine look as it needs it. */
  command: readonly string[];
  /** Whether it can leave a dead container for us to look at (`run --keep`): its cgroup tells that memory ran out. */
  keeps: boolean;
}

/**
 * crun refuses a machine where version 2 of cgroups stands beside version 1 and has controllers too. In a mount
 * namespace without version 2 it sees version 1 alone, which is where our limits are.
 */
const withoutVersion2 = (unified: string, path: string): string[] => [
  "unshare", "--mount", "--propagation", "slave", "/bin/sh", "-c", `umount "$0" && exec "$@"`, unified, path,
];

/** The first runtime that works, and can leave a dead container to look at or hand a file to its first process. */
export async function findRuntime(wanted: readonly string[], cgroups: Cgroups | undefined): Promise<{ runtime?: Runtime; seen: string[] }> {
  const seen: string[] = [];
  for (const name of wanted) {
    const path = name.includes("/") ? name : findProgram(name);
    const version = path === undefined ? undefined : (await says(path, ["--version"]))?.split("\n")[0];
    if (path === undefined || version === undefined) continue;
    const help = `${await says(path, ["run", "--help"])}`;
    const keeps = help.includes("--keep");
    if (!keeps && !help.includes("--preserve-fds")) {
      seen.push(`${version} has neither "run --keep" nor "run --preserve-fds"`);
      continue;
    }
    const command = cgroups?.mixed !== undefined && version.startsWith("crun") ? withoutVersion2(cgroups.mixed, path) : [path];
    return { runtime: { name: path.slice(path.lastIndexOf("/") + 1), path, version, command, keeps }, seen };
  }
  return { seen };
}

/** Calls the runtime and answers what it printed. Throws DEA_CONTAINER with its last words. */
export const callRuntime = ({ command: [program = "", ...first] }: Runtime, args: readonly string[], options?: RunOptions): Promise<string> => run(program, [...first, ...args], options);
