import { execFile, spawn } from "node:child_process";
import { chownSync, closeSync, constants, existsSync, openSync, readFileSync, writeSync } from "node:fs";
import { Socket } from "node:net";
import { constants as os } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { DeaError, textOf } from "../errors.ts";
import { isExecutable } from "../executable.ts";
import type { ExitStatus, ProcessSpec } from "./container.ts";
import { environmentOf } from "./environment-of.ts";
import type { ProcessLimits } from "./limits.ts";

/*
 * Between the executor and the app stands a shell of a few lines, the keeper. It is the app's parent, so it
 * learns how the app ended even when no executor is there to ask; and it holds every pipe open for
 * reading and writing, so the app never meets a broken pipe, and what it printed last waits to be read.
 *
 *      executor --- reads --- out, err, ctl (named pipes) --- written by --- keeper and app
 *      executor --- writes -- hold (named pipe) ------------- read by ------ keeper
 *
 * Nothing of the app runs before the executor has written down who the keeper is and says "go";
 * the keeper goes only when told "bye", so its pid stays valid as the name of the process group.
 * Signals to the group reach it too: it traps them (not ignores: that would be inherited) and waits on.
 * When the kernel runs out of memory it shall take an app before the executor.
 * Its own standard output and error go nowhere: a shell remarks on children that are killed. (The parentheses are
 * for dash, which redirects in the parent and would make that remark in the app's error output.)
 */
/** Descriptors the executor itself was started with and does not know of. sh cannot name the higher ones. */
const closes = `for __opencf_fd in /proc/self/fd/*; do
  __opencf_fd=\${__opencf_fd##*/}
  case $__opencf_fd in [0-4]|*[!0-9]*) ;; *) eval "exec $__opencf_fd>&-" ;; esac
done
unset __opencf_fd
`;

/* Names of variables are long: the environment is the app's, and a short one may be in it. */
const prepares = `trap : HUP INT QUIT TERM USR1 USR2 ALRM
__opencf_word=
while [ "$__opencf_word" != go ]; do read -r __opencf_word <&4; [ "$__opencf_word" = bye ] && exit 0; done
__opencf_status_file=$1
ulimit -c 0 2>/dev/null
ulimit -n "$2" 2>/dev/null
[ -n "$3" ] && ulimit -f "$3" 2>/dev/null
[ -n "$4" ] && ulimit -d "$4" 2>/dev/null
shift 4
`;

const itself = `exec 5>&1 6>&2 >/dev/null 2>/dev/null
(echo 500 >/proc/self/oom_score_adj; exec "$@" >&5 2>&6 3>&- 4>&- 5>&- 6>&-)
__opencf_status=$?
`;

/*
 * An OCI runtime is large, so it does not stay: it makes the container and ends, and the container's first process
 * has one end of a pipe on which it says how the app ended. When it says nothing it was killed. Signals are ignored
 * from then on: one that is trapped would interrupt the waiting. The app's outputs are opened for writing only.
 * Its input is an empty pipe: crun gives what stands there to the user inside, and /dev/null is everybody's.
 */
const handedOver = `exec 5>&1 6>&2 >/dev/null 2>/dev/null 8<>"\${__opencf_status_file%/*}/told" 7<"\${__opencf_status_file%/*}/told"
: | (echo 500 >/proc/self/oom_score_adj; exec "$@" >"\${__opencf_status_file%/*}/out" 2>"\${__opencf_status_file%/*}/err" 3>"\${__opencf_status_file%/*}/told" 4>&- 5>&- 6>&- 7>&- 8>&-)
__opencf_status=$?
exec 8>&-
trap '' HUP INT QUIT TERM USR1 USR2 ALRM
if [ "$__opencf_status" = 0 ]; then read -r __opencf_status <&7; fi
case $__opencf_status in ''|*[!0-9]*) __opencf_status=137 ;; esac
`;

const tells = `printf '%s\\n' "$__opencf_status" >"$__opencf_status_file"
printf 'exit %s\\n' "$__opencf_status" >&3
while [ "$__opencf_word" != bye ]; do read -r __opencf_word <&4; done
exit 0
`;

const pipes = ["out", "err", "ctl", "hold"] as const;
/** Used by a container that is handed over. Made last. */
const toldPipe = "told";
const run = promisify(execFile);

/**
 * bash where there is one: dash drops variables whose names are no shell identifiers, and such names
 * (`spring.datasource.url`) are common. `-p` keeps bash from running a user's BASH_ENV here.
 */
export const keeperShell = (): string[] => {
  const bash = ["/bin/bash", "/usr/bin/bash", "/usr/local/bin/bash"].find(isExecutable);
  return bash ? [bash, "-p"] : ["/bin/sh"];
};

export interface Keeper {
  readonly pid: number;
  readonly stdout: Socket;
  readonly stderr: Socket;
  readonly exited: Promise<ExitStatus>;
  /** Lets the app's first instruction run. */
  go(): void;
  /** Lets the keeper end: after this the output streams end as soon as nobody holds them. */
  bye(): void;
  /** Stops reading and leaves everything as it is. */
  release(): void;
}

const writers = constants.O_RDWR;
const readers = constants.O_RDONLY | constants.O_NONBLOCK;

function readPipe(path: string): Socket {
  const socket = new Socket({ fd: openSync(path, readers), readable: true, writable: false });
  socket.on("error", () => socket.destroy());
  return socket;
}

/** Writes one word to the keeper. False when nobody reads: it is gone. */
function say(dir: string, word: string): boolean {
  let fd: number;
  try {
    fd = openSync(join(dir, "hold"), constants.O_WRONLY | constants.O_NONBLOCK);
  } catch {
    return false;
  }
  try {
    writeSync(fd, `${word}\n`);
    return true;
  } catch {
    return false;
  } finally {
    closeSync(fd);
  }
}

/** A shell tells of a death by signal N as status 128+N; an app that itself exits with such a number cannot be told apart. */
export function exitStatusOf(shellStatus: number): ExitStatus {
  const signal = shellStatus > 128 ? Object.entries(os.signals).find(([, number]) => number === shellStatus - 128)?.[0] : undefined;
  return signal ? { signal } : { code: shellStatus };
}

/** What the keeper wrote when the app ended. */
export function readStatusFile(dir: string): ExitStatus | undefined {
  try {
    const match = /^(\d+)\n$/.exec(readFileSync(join(dir, "status"), "utf8"));
    return match ? exitStatusOf(Number(match[1])) : undefined;
  } catch {
    return undefined;
  }
}

/** Connects to the pipes of a keeper that runs already. */
export function attachKeeper(dir: string, pid: number): Keeper {
  const ctl = readPipe(join(dir, "ctl"));
  const stdout = readPipe(join(dir, "out"));
  const stderr = readPipe(join(dir, "err"));
  let settle: (status: ExitStatus) => void = () => {};
  const exited = new Promise<ExitStatus>((resolve) => (settle = resolve));
  let heard = "";
  let released = false;
  ctl.setEncoding("latin1");
  ctl.on("data", (text: string) => {
    heard = (heard + text).slice(-64);
    const match = /exit (\d+)\n/.exec(heard);
    if (match) settle(exitStatusOf(Number(match[1])));
  });
  // The keeper was killed: only the file can still tell.
  ctl.on("close", () => released || settle(readStatusFile(dir) ?? {}));
  const earlier = readStatusFile(dir);
  if (earlier) settle(earlier);
  return {
    pid,
    stdout,
    stderr,
    exited,
    go: () => void say(dir, "go"),
    bye: () => void say(dir, "bye"),
    release() {
      released = true;
      for (const socket of [ctl, stdout, stderr]) socket.destroy();
    },
  };
}

export interface KeeperPlace extends ProcessLimits {
  cwd: string;
  /** Program and options of the shell. */
  shell: readonly string[];
  /**
   * The program ends with 0 as soon as what it started runs; that has the pipe of number 3, says its exit status on it
   * and ends. Whose it shall be to open its outputs by name.
   */
  handsOverTo?: { uid: number; gid: number };
}

/** Makes the pipes of a keeper, where there is time before it is started. Rejects when they are there. */
export const makePipes = async (dir: string): Promise<void> => void (await run("mkfifo", ["-m", "600", ...[...pipes, toldPipe].map((name) => join(dir, name))]));

/** Starts a keeper in its own session and process group; the app waits for `go`. Throws DEA_CONTAINER. */
export async function startKeeper(dir: string, spec: ProcessSpec, place: KeeperPlace): Promise<Keeper> {
  const { cwd, fileDescriptors, fileBytes, dataBytes, shell, handsOverTo } = place;
  const opened: number[] = [];
  try {
    if (!existsSync(join(dir, toldPipe))) await makePipes(dir);
    if (handsOverTo) for (const name of ["out", "err"]) chownSync(join(dir, name), handsOverTo.uid, handsOverTo.gid);
    const script = `${prepares}${handsOverTo ? handedOver : itself}${tells}`;
    opened.push(openSync("/dev/null", constants.O_RDONLY), ...pipes.map((name) => openSync(join(dir, name), writers)));
    const [program = "/bin/sh", ...options] = shell;
    // bash counts the size of files in 1024 bytes unless it is told to be like sh, which counts in 512.
    const isBash = program.endsWith("/bash");
    const limits = [String(fileDescriptors), fileBytes === undefined ? "" : String(Math.ceil(fileBytes / (isBash ? 1024 : 512))), dataBytes === undefined ? "" : String(Math.ceil(dataBytes / 1024))];
    const args = [...options, "-c", isBash ? `set +o posix\n${closes}${script}` : script, "opencf-keeper", join(dir, "status"), ...limits, ...spec.argv];
    const child = spawn(program, args, { cwd, env: environmentOf(spec.env), stdio: opened, detached: true });
    const pid = await new Promise<number>((resolve, reject) => {
      child.once("error", reject);
      child.once("spawn", () => resolve(child.pid ?? -1));
    });
    child.on("error", () => {});
    child.unref();
    return attachKeeper(dir, pid);
  } catch (error) {
    throw new DeaError("DEA_CONTAINER", `cannot start a process: ${textOf(error)}`, { cause: error });
  } finally {
    for (const fd of opened) closeSync(fd);
  }
}
