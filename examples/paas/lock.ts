import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Another platform is at work in this data folder. */
export class FolderInUseError extends Error {
  override readonly name = "FolderInUseError";
}

/**
 * Takes a data folder for this process. A lock whose owner is dead (kill -9, power cut) is taken over:
 * the owner is known by process id and start time, since ids are used again.
 * @throws FolderInUseError
 */
export function lockFolder(dir: string): Disposable {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const file = join(dir, "lock");
  const own = `${process.pid} ${startTime(process.pid) ?? ""}\n`;
  for (let attempt = 0; ; attempt++) {
    try {
      writeFileSync(file, own, { flag: "wx", mode: 0o600 });
      break;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST" || attempt > 2) throw error;
    }
    const [pid = "", started = ""] = readOr(file, "").trim().split(" ");
    if (pid !== "" && Number(pid) !== process.pid && isAlive(Number(pid)) && (started === "" || started === startTime(Number(pid))))
      throw new FolderInUseError(`${dir} is in use by process ${pid}: stop that one, or choose another folder with --data-dir`);
    rmSync(file, { force: true });
  }
  let held = true;
  return {
    [Symbol.dispose]() {
      if (held && readOr(file, "") === own) rmSync(file, { force: true });
      held = false;
    },
  };
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Clock ticks after boot at which a process began (field 22 of /proc/PID/stat); undefined where there is no /proc. */
function startTime(pid: number): string | undefined {
  const stat = readOr(`/proc/${pid}/stat`, "");
  return stat === "" ? undefined : stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
}

function readOr(file: string, otherwise: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return otherwise;
  }
}
