import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import type { BackendPlace } from "../container/container.ts";
import { isAlive, readProcess } from "../container/process-table.ts";
import { removeGroup } from "./cgroup.ts";
import { dismantle, endHelpers, type Ground, handlesOf } from "./ground.ts";
import { type OwnerNames, ownerNames, runRoot } from "./names.ts";
import { removeTable } from "./network.ts";

/** An executor with a temporary folder: when it is killed, nobody with its id ever comes back. */
interface Ephemeral {
  pid: number;
  startTicks: number;
  owner: string;
  dir: string;
  folder: string;
}

const fileName = "ephemeral.json";

/** Writes down, where every executor of this machine looks, that nobody will come for this one's things. */
export async function rememberEphemeral(names: OwnerNames, { owner, dir, ephemeral }: BackendPlace, pid = process.pid): Promise<void> {
  const entry = readProcess(pid);
  if (ephemeral === undefined || !entry) return;
  const note: Ephemeral = { pid, startTicks: entry.startTicks, owner, dir, folder: ephemeral };
  await writeFile(join(names.runDir, fileName), JSON.stringify(note), { mode: 0o600 });
}

async function readNote(tag: string): Promise<Ephemeral | undefined> {
  try {
    const note = JSON.parse(await readFile(join(runRoot, tag, fileName), "utf8")) as Partial<Ephemeral>;
    const { pid, startTicks, owner, dir, folder } = note;
    const whole = typeof pid === "number" && typeof startTicks === "number" && typeof owner === "string" && typeof dir === "string" && typeof folder === "string";
    return whole && ownerNames(owner).tag === tag && isAbsolute(dir) && isAbsolute(folder) ? { pid, startTicks, owner, dir, folder } : undefined;
  } catch {
    return undefined;
  }
}

/** Removes what temporary executors left that were killed. One that cannot be removed is left for the next who starts. */
export async function reapEphemeral(ground: Omit<Ground, "names" | "dir">): Promise<void> {
  for (const tag of await readdir(runRoot).catch((): string[] => [])) {
    const note = await readNote(tag);
    if (!note || isAlive(note.pid, note.startTicks)) continue;
    const names = ownerNames(note.owner);
    try {
      const theirs: Ground = { ...ground, names, dir: note.dir };
      await endHelpers(note.owner, () => true, ground.clock);
      for (const handle of await handlesOf(theirs)) await dismantle(theirs, handle);
      await removeTable(names.table);
      await removeGroup(ground.cgroups, names.cgroup);
      await rm(note.folder, { recursive: true, force: true });
      await rm(names.runDir, { recursive: true, force: true });
    } catch {
      // Two who start at once may be at it together.
    }
  }
}
