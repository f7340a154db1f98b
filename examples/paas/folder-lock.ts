import { readFileSync } from "node:fs";
import { readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";

/** Thrown when a living process holds the folder. */
export class FolderLockedError extends Error {
  override readonly name = "FolderLockedError";
  readonly code = "FOLDER_LOCKED";
  readonly pid: number;
  constructor(folder: string, pid: number, host: string) {
    super(`${folder} is in use by process ${pid}${host === hostname() ? "" : ` on ${host}`}: stop that process, or choose another folder`);
    this.pid = pid;
  }
}

interface Holder {
  pid: number;
  host: string;
  /** Tells a process from a later one with the same number: start time of the process, and the boot of its machine. */
  birth: string;
  /** Tells two holders inside one process apart. */
  nonce: string;
}

const touchEveryMs = 5_000;
const foreignStaleMs = 20_000;
const heldHere = new Set<string>();

/**
 * Takes `file` as a lock for as long as this process lives; disposing gives it back.
 * A lock left by a process that is gone (killed, machine restarted) is taken over.
 * Another machine's or container's process cannot be looked up, so that one's lock counts until it was not touched for 20 s.
 * @throws FolderLockedError
 */
export async function lockFolder(file: string, folder: string): Promise<AsyncDisposable> {
  const me: Holder = { pid: process.pid, host: hostname(), birth: birthOf(process.pid), nonce: `${process.pid}-${process.hrtime.bigint()}` };
  for (let attempt = 0; ; attempt++) {
    try {
      await writeFile(file, JSON.stringify(me), { flag: "wx", mode: 0o600 });
      break;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST" || attempt > 5) throw error;
    }
    const holder = await readHolder(file);
    if (holder && (await isAlive(holder, file))) throw new FolderLockedError(folder, holder.pid, holder.host);
    // Whoever moves the stale file away first may go on; the other one finds it gone, or finds the winner's.
    const aside = `${file}.${me.nonce}.stale`;
    await rename(file, aside).catch(() => undefined);
    const moved = await readHolder(aside);
    if (moved && (await isAlive(moved, aside))) {
      await rename(aside, file).catch(() => undefined);
      throw new FolderLockedError(folder, moved.pid, moved.host);
    }
    await rm(aside, { force: true });
  }
  heldHere.add(me.nonce);
  const timer = setInterval(() => void utimes(file, new Date(), new Date()).catch(() => undefined), touchEveryMs);
  timer.unref();
  let released = false;
  return {
    async [Symbol.asyncDispose]() {
      if (released) return;
      released = true;
      clearInterval(timer);
      heldHere.delete(me.nonce);
      if ((await readHolder(file))?.nonce === me.nonce) await rm(file, { force: true });
    },
  };
}

async function readHolder(file: string): Promise<Holder | undefined> {
  try {
    return JSON.parse(await readFile(file, "utf8")) as Holder;
  } catch {
    return undefined; // gone, or cut off by a crash while it was written
  }
}

async function isAlive({ pid, host, birth, nonce }: Holder, file: string): Promise<boolean> {
  if (host !== hostname()) {
    const { mtimeMs } = await stat(file).catch(() => ({ mtimeMs: 0 }));
    return Date.now() - mtimeMs < foreignStaleMs;
  }
  if (pid === process.pid && birth === birthOf(pid)) return heldHere.has(nonce);
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
  }
  const now = birthOf(pid);
  return now === "" || birth === "" || now === birth;
}

/** Empty where the system does not tell (no procfs). */
function birthOf(pid: number): string {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The second field, the program's name in brackets, may hold blanks; the start time is the 22nd field.
    const startTicks = text.slice(text.lastIndexOf(")") + 2).split(" ")[19] ?? "";
    return `${readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()}:${startTicks}`;
  } catch {
    return "";
  }
}
