import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { StringDecoder } from "node:string_decoder";
import { createLineSplitter, createTail } from "../lines.ts";
import { killGroup } from "./proc.ts";

export interface RunOptions {
  args: readonly string[];
  /** The whole environment: nothing is inherited. */
  env: Readonly<Record<string, string>>;
  cwd: string;
  signal: AbortSignal;
  onLine: (text: string, stream: "out" | "err") => void;
  /** Keep standard output as the result instead of logging it; at most `captureBytes`. */
  capture?: boolean;
  /** Default 1 MiB; what is over is cut and `truncated` set. */
  captureBytes?: number;
  /** User to run as; needs the right to change users. Default: the user of this process. */
  runAs?: { readonly uid: number; readonly gid: number };
  /** Told as soon as the process exists. */
  onStart?: (pid: number) => void;
  /** Longest output line in characters; longer ones are cut into pieces. Default 16 384. */
  maxLineLength?: number;
}

export interface RunResult {
  /** Exit status, or the name of the signal. 126: not runnable, 127: not found. */
  readonly exit: number | string;
  readonly stdout: string;
  readonly truncated: boolean;
  /** The last lines of standard error (and of standard output, unless captured). */
  readonly tail: readonly string[];
}

/**
 * bash where there is one: dash forgets variables whose names are no identifiers, such as `spring.datasource.url`.
 * With `-p` it obeys no variable of the app (`BASH_ENV`).
 */
const launcher = (): readonly [string, ...string[]] => {
  const bash = ["/bin/bash", "/usr/bin/bash", "/usr/local/bin/bash"].find((path) => existsSync(path));
  return bash === undefined ? ["/bin/sh"] : [bash, "-p"];
};

/** How long a pipe that a left-over child holds open is waited for after the script itself has ended. */
const drainMs = 1_000;

/**
 * Runs a program in a process group of its own, without standard input and with umask 022. Abort ends the whole group at once.
 * A program that cannot be run gives 126 or 127 as in a shell.
 * @throws the signal's reason
 */
export async function run(
  file: string,
  { args, env, cwd, signal, onLine, capture = false, captureBytes = 1024 * 1024, runAs, onStart, maxLineLength }: RunOptions,
): Promise<RunResult> {
  signal.throwIfAborted();
  const tail = createTail();
  const line = (stream: "out" | "err") => (text: string) => {
    tail.push(text);
    onLine(text, stream);
  };
  const out = createLineSplitter(line("out"), maxLineLength);
  const err = createLineSplitter(line("err"), maxLineLength);
  const decoder = new StringDecoder("utf8");
  let stdout = "";
  let captured = 0;

  // The umask belongs to the process, not to spawn: a shell that replaces itself sets it, so modes do not depend on who runs us.
  const [shell, ...flags] = launcher();
  const child = spawn(shell, [...flags, "-c", 'umask 022; ulimit -c 0; exec "$0" "$@"', file, ...args], {
    env,
    cwd,
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
    ...runAs,
  });
  const kill = (): void => {
    if (child.pid !== undefined) killGroup(child.pid);
  };
  let onAbort: (() => void) | undefined;
  try {
    const exit = await new Promise<number | string>((done, stop) => {
      child.once("error", stop);
      child.once("spawn", () => child.pid !== undefined && onStart?.(child.pid));
      onAbort = () => {
        kill();
        // A process that not even SIGKILL ends at once (stuck in the kernel) must not hold the job.
        setTimeout(() => stop(signal.reason as Error), 5_000).unref();
      };
      signal.addEventListener("abort", onAbort, { once: true });
      child.stdout.on("data", (chunk: Buffer) => {
        if (!capture) return out.write(chunk);
        const room = Math.max(0, captureBytes - captured);
        captured += chunk.length;
        if (room > 0) stdout += decoder.write(chunk.subarray(0, room));
      });
      child.stderr.on("data", (chunk: Buffer) => err.write(chunk));
      child.once("exit", (code, name) => {
        const status = name ?? code ?? 1;
        // A child left in the background may hold the pipes for ever; the script itself has ended.
        const timer = setTimeout(() => done(status), signal.aborted ? 0 : drainMs);
        child.once("close", () => {
          clearTimeout(timer);
          done(status);
        });
      });
    });
    out.end();
    err.end();
    signal.throwIfAborted();
    return { exit, stdout: stdout + decoder.end(), truncated: captured > captureBytes, tail: tail.lines };
  } finally {
    if (onAbort) signal.removeEventListener("abort", onAbort);
    kill();
    child.stdout?.destroy();
    child.stderr?.destroy();
  }
}
