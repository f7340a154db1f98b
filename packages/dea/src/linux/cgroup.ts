import { mkdirSync, readdirSync, readFileSync, rmdirSync } from "node:fs";
import { readdir, rmdir } from "node:fs/promises";
import { join } from "node:path";

/** Where the kernel's control groups are on this machine. */
export interface Cgroups {
  /** 1 also where version 2 stands beside it without controllers (hybrid). */
  version: 1 | 2;
  /** Folder of each controller; of version 2 all are the same. */
  roots: Readonly<Record<string, string>>;
  /** Every mounted hierarchy, those without a controller too. */
  hierarchies: readonly string[];
  /** Where version 2 stands beside version 1 and has kept controllers of its own. */
  mixed?: string;
}

export interface CgroupUse {
  memoryBytes: number;
  cpuMs: number;
  outOfMemoryKills: number;
}

const controllers = ["memory", "cpu", "cpuacct", "pids", "cpuset", "devices", "freezer"];

/** Finds the hierarchies in the text of `/proc/self/mountinfo` (proc(5)). Undefined when memory or pids cannot be limited. */
export function findCgroups(mountinfo: string, controllersOfV2: (root: string) => string): Cgroups | undefined {
  const roots: Record<string, string> = {};
  const hierarchies: string[] = [];
  let unified: string | undefined;
  for (const line of mountinfo.split("\n")) {
    const [before = "", after = ""] = line.split(" - ");
    const point = before.split(" ")[4] ?? "";
    const [type = "", , options = ""] = after.split(" ");
    if (type === "cgroup2") unified = point;
    if (type === "cgroup" || type === "cgroup2") hierarchies.push(point);
    if (type === "cgroup") for (const name of options.split(",")) if (controllers.includes(name)) roots[name] = point;
  }
  if (roots["memory"] !== undefined && roots["pids"] !== undefined) {
    const mixed = unified !== undefined && controllersOfV2(unified).trim() !== "" ? { mixed: unified } : {};
    return { version: 1, roots, hierarchies, ...mixed };
  }
  if (unified === undefined) return undefined;
  const there = controllersOfV2(unified).trim().split(" ");
  if (!there.includes("memory") || !there.includes("pids")) return undefined;
  const root = unified;
  return { version: 2, roots: Object.fromEntries(controllers.map((name) => [name, root])), hierarchies: [root] };
}

const text = (path: string): string => {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
};
const numberIn = (content: string, name: string): number => Number(new RegExp(`^${name} (\\d+)`, "m").exec(content)?.[1] ?? 0);

/** Folder of one group in the hierarchy of one controller. */
const folder = ({ roots }: Cgroups, controller: string, group: string): string => join(roots[controller] ?? "/nowhere", group);

/** Processes of a group; empty when it is gone. */
export const processesIn = (cgroups: Cgroups, group: string): number[] =>
  text(join(folder(cgroups, "pids", group), "cgroup.procs")).split("\n").filter((line) => line !== "").map(Number);

/** Use as the kernel counts it. Memory is the working set: without files that are only kept in case somebody reads them again. */
export function readUse(cgroups: Cgroups, group: string): CgroupUse {
  const memory = folder(cgroups, "memory", group);
  const stat = text(join(memory, "memory.stat"));
  if (cgroups.version === 2) {
    return {
      memoryBytes: Math.max(0, Number(text(join(memory, "memory.current"))) - numberIn(stat, "inactive_file")),
      cpuMs: numberIn(text(join(memory, "cpu.stat")), "usage_usec") / 1_000,
      outOfMemoryKills: numberIn(text(join(memory, "memory.events")), "oom_kill"),
    };
  }
  return {
    memoryBytes: Math.max(0, Number(text(join(memory, "memory.usage_in_bytes"))) - numberIn(stat, "total_inactive_file")),
    cpuMs: Number(text(join(folder(cgroups, "cpuacct", group), "cpuacct.usage"))) / 1_000_000,
    outOfMemoryKills: numberIn(text(join(memory, "memory.oom_control")), "oom_kill"),
  };
}

/** Removes an empty group from every hierarchy; quiet when it is not there. Answers whether it is gone everywhere. */
export async function removeGroup({ hierarchies }: Cgroups, group: string): Promise<boolean> {
  const gone = await Promise.all(hierarchies.map(async (root) => {
    const dir = join(root, group);
    for (const entry of await readdir(dir, { withFileTypes: true }).catch(() => [])) if (entry.isDirectory()) await rmdir(join(dir, entry.name)).catch(() => {});
    return rmdir(dir).then(() => true, (error: unknown) => (error as { code?: string }).code === "ENOENT");
  }));
  return gone.every(Boolean);
}

/** Names of the groups in a group, in any hierarchy. */
export async function groupsIn({ hierarchies }: Cgroups, group: string): Promise<string[]> {
  const lists = await Promise.all(hierarchies.map((root) => readdir(join(root, group), { withFileTypes: true }).catch(() => [])));
  return [...new Set(lists.flat().filter((entry) => entry.isDirectory()).map(({ name }) => name))];
}

/** Whether the kernel counts swap here, so that a limit of memory can include it. */
export function countsSwap({ version, roots }: Cgroups): boolean {
  const root = roots["memory"] ?? "";
  if (version === 1) return text(join(root, "memory.memsw.limit_in_bytes")) !== "";
  // The root of version 2 has no such file, its children do.
  if (childrenOf(root).some((name) => text(join(root, name, "memory.swap.max")) !== "")) return true;
  const child = join(root, `opencf-dea-probe-${process.pid}`);
  try {
    mkdirSync(child);
    return text(join(child, "memory.swap.max")) !== "";
  } catch {
    return false;
  } finally {
    try {
      rmdirSync(child);
    } catch {
      // It was not made.
    }
  }
}

const childrenOf = (dir: string): string[] => {
  try {
    return readdirSync(dir);
  } catch {
    return [];
  }
};
