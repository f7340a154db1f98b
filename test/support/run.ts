import { spawn } from "node:child_process";
import { once } from "node:events";

export interface Ran {
  /** Exit code; -1 when a signal or the limit ended it. */
  code: number;
  stdout: string;
  stderr: string;
  /** Both, in the order in which they came. */
  all: string;
}

export interface RunOptions {
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  /** Written to standard input, which is then closed. */
  input?: string;
  /** Default 60 000 ms; then the program and everything it started are killed. */
  limitMs?: number;
  /** Ends the program as Ctrl-C does not: at once, with everything it started. */
  signal?: AbortSignal;
  /** Called with everything heard so far, whenever there is more. */
  onText?: (all: string) => void;
}

/** Runs a program to its end, whatever the end is. */
export async function run(program: string, args: readonly string[], { cwd, env = process.env, input, limitMs = 60_000, signal, onText }: RunOptions = {}): Promise<Ran> {
  const child = spawn(program, args, { cwd, env, detached: true, stdio: ["pipe", "pipe", "pipe"] });
  const heard = { stdout: "", stderr: "", all: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8").on("data", (text: string) => {
      heard[name] += text;
      heard.all += text;
      onText?.(heard.all);
    });
  }
  child.stdin.on("error", () => {}).end(input ?? "");
  const kill = () => {
    try {
      process.kill(-(child.pid ?? 0), "SIGKILL");
    } catch {}
  };
  const limit = setTimeout(() => {
    heard.all += `\n(killed after ${limitMs} ms)`;
    kill();
  }, limitMs);
  signal?.addEventListener("abort", kill, { once: true });
  try {
    const [code] = await once(child, "close") as [number | null];
    return { code: code ?? -1, ...heard };
  } finally {
    clearTimeout(limit);
    signal?.removeEventListener("abort", kill);
  }
}
