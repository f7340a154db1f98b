import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Range } from "../container/egress.ts";
import { DeaError } from "../errors.ts";
import { killUntilGone } from "../container/kill-until-gone.ts";
import { createMarkReader } from "../container/process-table.ts";
import { markVariable } from "../container/mark.ts";
import { type Clock, elapsed, sleep } from "../ports.ts";
import { type Cgroups, groupsIn, processesIn, removeGroup } from "./cgroup.ts";
import { unmountBelow } from "./disk.ts";
import { containerPaths, type OwnerNames, slotOf } from "./names.ts";
import { removeNetwork } from "./network.ts";
import { callRuntime, type Runtime } from "./runtime.ts";
import { readSlots, releaseSlot } from "./slots.ts";

/** What all containers of one executor stand on. */
export interface Ground {
  names: OwnerNames;
  cgroups: Cgroups;
  runtime: Runtime;
  /** The executor's folder of containers. */
  dir: string;
  pool: Range;
  clock: Clock;
}

const killWaitMs = 10_000;

/** KILL to every process of a group until none is left. The first process ends the others: they cannot outlive it. Throws DEA_CONTAINER. */
export async function killGroup({ cgroups, clock }: Pick<Ground, "cgroups" | "clock">, group: string, done: () => boolean = () => true): Promise<void> {
  const deadline = elapsed(clock) + killWaitMs;
  for (let left = processesIn(cgroups, group); left.length > 0 || !done(); left = processesIn(cgroups, group)) {
    if (elapsed(clock) > deadline) throw new DeaError("DEA_CONTAINER", `processes survive KILL: ${left.slice(0, 20).join(", ")}`, { retryable: true });
    for (const pid of left) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // It ended in between.
      }
    }
    await sleep(clock, 5);
  }
}

/** Removes everything that carries a container's name, whatever step its making or unmaking had reached. Idempotent. Throws DEA_CONTAINER. */
export async function dismantle(ground: Ground, handle: string): Promise<void> {
  const { names, cgroups, runtime, dir, pool, clock } = ground;
  const paths = containerPaths(names, handle);
  await killGroup(ground, paths.cgroup);
  if ((await readdir(names.runtimeDir).catch((): string[] => [])).includes(handle)) {
    await callRuntime(runtime, ["--root", names.runtimeDir, "delete", "--force", handle]).catch(() => rm(join(names.runtimeDir, handle), { recursive: true, force: true }));
  }
  await killGroup(ground, paths.cgroup);
  await unmountBelow(paths.dir);
  const slot = (await readSlots()).find((entry) => entry.tag === names.tag && entry.handle === handle);
  if (slot) await removeNetwork(names.table, { ...slot, slot: slotOf(slot.number, pool) });
  // Mounts are gone, or this would empty somebody's disk.
  if ((await readFile("/proc/self/mountinfo", "utf8")).includes(` ${paths.dir}/`)) throw new DeaError("DEA_CONTAINER", `something is still mounted in ${paths.dir}`, { retryable: true });
  await rm(paths.dir, { recursive: true, force: true, maxRetries: 3 });
  await rm(join(dir, handle), { recursive: true, force: true, maxRetries: 3 });
  for (let round = 0; !(await removeGroup(cgroups, paths.cgroup)) && round < 200; round++) await sleep(clock, 10);
  if (slot) await releaseSlot(slot);
}

/** Handles of everything that carries this executor's name, in any of the places where something may be left. */
export async function handlesOf({ names, cgroups, dir }: Ground): Promise<string[]> {
  const lists = await Promise.all([
    readdir(dir).catch(() => []),
    readdir(names.containersDir).catch(() => []),
    readdir(names.runtimeDir).catch(() => []),
    groupsIn(cgroups, names.cgroup),
    readSlots().then((slots) => slots.filter(({ tag }) => tag === names.tag).map(({ handle }) => handle)),
  ]);
  return [...new Set(lists.flat())].sort();
}

/** Ends the helpers outside of a container (keeper and runtime) that a killed executor left, so that they make nothing more. */
export async function endHelpers(owner: string, wanted: (handle: string) => boolean, clock: Clock): Promise<void> {
  const read = createMarkReader(markVariable);
  await killUntilGone(() => read().filter(({ pid, mark }) => pid !== process.pid && mark?.startsWith(`${owner}/`) && wanted(mark.slice(owner.length + 1))), killWaitMs, clock);
}
