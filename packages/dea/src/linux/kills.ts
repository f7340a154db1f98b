import { readFileSync } from "node:fs";
import { readUse } from "./cgroup.ts";
import type { Ground } from "./ground.ts";
import { containerPaths } from "./names.ts";

/** How often the kernel killed a process of a container for want of memory: its cgroup says, or what its first process left. */
export function outOfMemoryKills({ names, cgroups }: Ground, handle: string): number {
  const { cgroup, killsFile } = containerPaths(names, handle);
  let left = 0;
  try {
    left = Math.max(0, ...readFileSync(killsFile, "latin1").slice(0, 1_000).split("\n").map(Number).filter(Number.isInteger));
  } catch {
    // The runtime keeps the cgroup, or the container still runs.
  }
  return Math.max(left, readUse(cgroups, cgroup).outOfMemoryKills);
}
