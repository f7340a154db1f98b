import { readUse } from "./cgroup.ts";
import type { Ground } from "./ground.ts";
import { containerPaths } from "./names.ts";

/** How often the kernel killed a process of a container for want of memory: its cgroup says, also after its end, until it is removed. */
export const outOfMemoryKills = ({ names, cgroups }: Ground, handle: string): number => readUse(cgroups, containerPaths(names, handle).cgroup).outOfMemoryKills;
