import { randomUUID } from "node:crypto";
import { chmod, mkdir, readdir, readFile, realpath, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { StagingError } from "../errors.ts";
import { type Logger, silentLogger } from "../ports.ts";
import { removeTree } from "../remove-tree.ts";
import { isAlive, killGroup, killTaskProcesses, startTimeOf } from "./proc.ts";

/** The folder of one staging task. Leaving it kills what still runs for the task and removes everything. */
export interface WorkFolder extends AsyncDisposable {
  readonly id: string;
  readonly path: string;
  /** Notes which process group is at work, so that a later start can end it if this process dies. */
  noteScript(pid: number): void;
  /** Ends every process of the task. */
  killAll(): Promise<number>;
}

/**
 * The record is a file whose *name* says who works: it comes into being whole or not at all, whenever the process dies.
 * Its content, the script at work, is a hint only.
 */
const recordName = (id: string, pid: number, startTime: string | undefined): string => `${id}.${pid}.${startTime ?? 0}.task`;
const recordShape = /^([0-9a-f-]{36})\.(\d+)\.(\d+)\.task$/;

/**
 * Makes the folder of a task below `workDir` and, before that, a record of who works in it:
 * when this process is killed, `recoverStaging` finds the record, ends orphans and clears up.
 */
export async function createWorkFolder(workDir: string, log: Logger = silentLogger): Promise<WorkFolder> {
  await mkdir(workDir, { recursive: true, mode: 0o711 });
  const root = await realpath(workDir);
  if (!(await isOurs(root)))
    throw new StagingError("STAGING_OPTIONS_INVALID", `the work folder ${root} belongs to another user, who could exchange what lies in it; choose another one`);
  const id = randomUUID();
  const path = join(root, id);
  const record = join(root, recordName(id, process.pid, await startTimeOf(process.pid)));
  await writeFile(record, "", { mode: 0o600, flag: "wx" });
  await mkdir(path);
  // Others may pass through (scripts can run as another user) but not look around.
  await chmod(path, 0o711);

  let closing: Promise<void> | undefined;
  let noting: Promise<void> = Promise.resolve();
  return {
    id,
    path,
    noteScript(pid) {
      noting = noting
        .then(async () => {
          const startTime = await startTimeOf(pid);
          if (!closing && startTime !== undefined) await writeFile(record, `${pid} ${startTime}\n`);
        })
        .catch(() => {});
    },
    killAll: () => killTaskProcesses(id, path),
    [Symbol.asyncDispose]: () =>
      (closing ??= (async () => {
        await killTaskProcesses(id, path).catch(() => 0);
        await noting;
        await removeTree(path);
        await rm(record, { force: true });
      })().catch((error: unknown) => {
        // Thrown here it would hide why the build failed. The record stays, so the next start tries again.
        log.error("staging.cleanup_failed", { folder: path, reason: String(error) });
      })),
  };
}

/** The default work folder has a name that anybody can guess, in a folder where anybody can make one first. */
const isOurs = async (root: string): Promise<boolean> => [0, process.getuid?.() ?? 0].includes((await stat(root)).uid);

/** What `recoverStaging` cleared up. */
export interface Recovery {
  /** Tasks whose stager is gone. */
  readonly tasks: readonly string[];
  /** Processes that were still at work for them. */
  readonly processesKilled: number;
}

/**
 * Clears up after stagers that died without a chance to do it themselves: ends their orphaned scripts and removes their folders.
 * Tasks whose stager still runs (same pid, same start time) are left alone, so several stagers of one machine may share a folder.
 * Stagers in containers that do not see each other's processes must not. Call it at start.
 */
export async function recoverStaging(workDir: string): Promise<Recovery> {
  const root = await realpath(workDir).catch(() => undefined);
  const tasks: string[] = [];
  let processesKilled = 0;
  if (root === undefined || !(await isOurs(root))) return { tasks, processesKilled };
  for (const name of await readdir(root)) {
    const [, id, pid, startTime] = recordShape.exec(name) ?? [];
    if (id === undefined || (await isAlive(Number(pid), startTime === "0" ? undefined : startTime))) continue;
    const [script, since] = (await readFile(join(root, name), "utf8").catch(() => "")).trim().split(" ");
    // The pid of the script may belong to somebody else by now: only its start time says that it is ours.
    if (script && since && (await isAlive(Number(script), since))) {
      killGroup(Number(script));
      processesKilled++;
    }
    processesKilled += await killTaskProcesses(id, join(root, id));
    await removeTree(join(root, id));
    await rm(join(root, name), { force: true });
    tasks.push(id);
  }
  return { tasks, processesKilled };
}
