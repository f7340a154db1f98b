import { spawn } from "node:child_process";
import { readFileSync, readlinkSync } from "node:fs";
import { PassThrough, type Readable } from "node:stream";
import { constants as os } from "node:os";
import { DeaError, textOf } from "../errors.ts";
import { environmentOf } from "./environment-of.ts";
import type { ExecProcess, ExitStatus, TerminalSize } from "./container.ts";

export interface ExecChildOptions {
  id: string;
  /** Program and arguments, given to the kernel as they are. */
  argv: readonly string[];
  env: Readonly<Record<string, string>>;
  cwd: string;
  terminal?: TerminalSize;
  /** How a number of 128 and more is to be read. Default as it is: the child was no shell. */
  status?: (code: number) => ExitStatus;
  /** Sends a signal to the process itself, when the child is only its agent. Default: to the child. */
  signal?: (name: NodeJS.Signals, child: number) => Promise<void>;
  /** The terminal whose size counts, when the child makes another one and does not pass on the size of its own. */
  innerTerminal?: (child: number) => Promise<string | undefined>;
  /** What to start instead, so that this is started elsewhere. */
  instead?: (program: { argv: readonly string[]; env: readonly string[] }) => { argv: readonly string[]; env: readonly string[] };
}

/** script(1) gives a program a terminal and passes bytes; the arguments reach it through the environment-free "$@". */
const terminalScript = `stty cols "$1" rows "$2" 2>/dev/null; shift 2; exec "$@"`;
const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/** Starts a child with pipes or, by script(1), with a terminal. Throws DEA_CONTAINER. */
export async function startExecChild(options: ExecChildOptions): Promise<ExecProcess> {
  const { id, argv, env, cwd, terminal, status = (code) => ({ code }) } = options;
  const inner = terminal ? ["/bin/sh", "-c", terminalScript, "opencf-exec", String(terminal.columns), String(terminal.rows), ...argv] : argv;
  const wanted = {
    argv: terminal ? ["script", "-qefc", `exec ${inner.map(quote).join(" ")}`, "/dev/null"] : inner,
    env: Object.entries(terminal ? { TERM: "xterm", ...env, SHELL: "/bin/sh" } : env).map(([name, value]) => `${name}=${value}`),
  };
  const started = options.instead?.(wanted) ?? wanted;
  const [program = "", ...args] = started.argv;
  const environment = environmentOf(started.env);
  const child = spawn(program, args, { cwd, env: environment, stdio: ["pipe", "pipe", "pipe"], detached: true });
  for (const stream of [child.stdin, child.stdout, child.stderr]) stream.on("error", () => {});
  const exited = new Promise<ExitStatus>((resolve) => {
    child.once("exit", (code, signal) => resolve(signal ? { signal } : terminal ? shellStatus(code ?? 0) : status(code ?? 0)));
  });
  await new Promise<void>((resolve, reject) => {
    child.once("spawn", resolve);
    child.once("error", (error) => reject(new DeaError("DEA_CONTAINER", `cannot start ${program}: ${textOf(error)}`, { cause: error })));
  });
  child.on("error", () => {});
  const pid = child.pid ?? -1;
  let ended = false;
  void exited.then(() => (ended = true));
  return {
    id,
    stdin: child.stdin,
    stdout: child.stdout,
    stderr: terminal ? emptied(child.stderr) : child.stderr,
    exited,
    async signal(name) {
      if (ended) return;
      if (options.signal) return options.signal(name, pid);
      try {
        process.kill(-pid, name);
      } catch {
        // It ended in between.
      }
    },
    async resize({ columns, rows }) {
      if (!terminal || ended) return;
      for (const tty of [terminalOf(pid), await options.innerTerminal?.(pid)]) {
        if (tty === undefined) continue;
        await new Promise<void>((resolve) => {
          const setter = spawn("stty", ["-F", tty, "cols", String(columns), "rows", String(rows)], { stdio: "ignore" });
          setter.once("error", () => resolve());
          setter.once("exit", () => resolve());
        });
      }
    },
  };
}

const shellStatus = (code: number): ExitStatus => {
  const name = code > 128 ? Object.entries(os.signals).find(([, number]) => number === code - 128)?.[0] : undefined;
  return name ? { signal: name } : { code };
};

/** script(1) itself has nothing to say that the app's owner should read. */
function emptied(stream: Readable): Readable {
  stream.resume();
  const nothing = new PassThrough();
  nothing.end();
  return nothing;
}

/** The terminal that script(1) made: what its child has as input. */
function terminalOf(pid: number): string | undefined {
  try {
    const child = readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1").trim().split(" ")[0];
    const tty = readlinkSync(`/proc/${child}/fd/0`);
    return tty.startsWith("/dev/pts/") ? tty : undefined;
  } catch {
    return undefined;
  }
}
