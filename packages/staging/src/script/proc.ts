import { readdir, readFile, readlink, stat } from "node:fs/promises";

/** Name of the environment variable by which every process of one staging task can be found again, wherever it hides. */
export const markerName = "OPENCF_STAGING_ID";

/** State letter and start time of a process; `undefined` when it is gone, or the host has no `/proc`. */
async function statusOf(pid: number): Promise<{ state: string; startTime: string } | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, "latin1").catch(() => undefined);
  // The second field is the program's name in parentheses and may hold anything, so count from its end.
  const fields = text?.slice(text.lastIndexOf(")") + 2).split(" ");
  return fields && { state: fields[0] ?? "", startTime: fields[19] ?? "" };
}

/** Start time of a process in clock ticks since boot, as text: together with the pid it names one process for good. */
export const startTimeOf = async (pid: number): Promise<string | undefined> => (await statusOf(pid))?.startTime;

/** Whether a process still runs. One that has ended and waits for its parent to take notice does not. */
export async function isAlive(pid: number, startTime?: string): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return false;
  }
  const status = await statusOf(pid);
  if (!status) return startTime === undefined;
  return !/[ZX]/.test(status.state) && (startTime === undefined || status.startTime === startTime);
}

/** Kills a whole process group; quiet when it is gone. */
export function killGroup(leader: number, signal: NodeJS.Signals = "SIGKILL"): void {
  try {
    process.kill(-leader, signal);
  } catch {
    // gone already
  }
}

/** Pids of processes that carry the marker of a task, or whose working directory lies in its folder. Empty where there is no `/proc`. */
export async function findTaskProcesses(id: string, folder?: string): Promise<number[]> {
  const marker = Buffer.from(`${markerName}=${id}\0`);
  const pids = (await readdir("/proc").catch(() => [])).filter((name) => /^\d+$/.test(name)).map(Number);
  const found: number[] = [];
  const look = async (pid: number): Promise<void> => {
    if (pid === process.pid) return;
    const [environment, directory] = await Promise.all([
      readFile(`/proc/${pid}/environ`).catch(() => undefined),
      folder === undefined ? undefined : readlink(`/proc/${pid}/cwd`).catch(() => undefined),
    ]);
    const inside = directory !== undefined && folder !== undefined && (directory === folder || directory.startsWith(`${folder}/`));
    const at = environment?.indexOf(marker) ?? -1;
    if (inside || at === 0 || (at > 0 && environment?.[at - 1] === 0)) found.push(pid);
  };
  for (let at = 0; at < pids.length; at += 32) await Promise.all(pids.slice(at, at + 32).map(look));
  return found;
}

/**
 * Kills every process of a task: those that left its process group with `setsid` too. Looks again until nobody is left,
 * because a process can fork between the look and the kill. Returns how many were killed.
 */
export async function killTaskProcesses(id: string, folder?: string): Promise<number> {
  const killed = new Set<number>();
  for (let round = 0; round < 20; round++) {
    const found = await findTaskProcesses(id, folder);
    if (found.length === 0) break;
    for (const pid of found) {
      killed.add(pid);
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // gone already
      }
    }
    await new Promise((done) => setTimeout(done, 5 + 5 * round));
  }
  return killed.size;
}

/** Resident bytes of all processes of a task. */
export async function residentBytes(id: string): Promise<number> {
  let total = 0;
  for (const pid of await findTaskProcesses(id)) {
    const text = await readFile(`/proc/${pid}/statm`, "latin1").catch(() => "");
    total += Number(text.split(" ")[1] ?? 0) * 4096;
  }
  return total;
}

/** Whether the host shows its processes as files. */
export const hasProc = (): Promise<boolean> => stat("/proc/self/environ").then(() => true, () => false);
