import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { createInterface } from "node:readline";
import { freePort } from "./free-port.ts";

const program = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "examples", "paas", "dist", "cli.js");

/** What the platform says on its one line of JSON when it stands. A part without a controller has no api. */
export interface Ready {
  api?: string;
  app?: string;
  user?: string;
  password?: string;
}

export interface PlatformOptions {
  /** Where it keeps everything. */
  dataDir: string;
  /** Default: a free port. */
  port?: number;
  /** Flags besides --port, --data-dir and --json. */
  args?: readonly string[];
  env?: NodeJS.ProcessEnv;
  /** How long it may take to stand. Default 60 000 ms. */
  readyMs?: number;
}

export interface Platform extends AsyncDisposable {
  readonly ready: Ready;
  readonly port: number;
  readonly pid: number;
  readonly dataDir: string;
  /** Everything it wrote so far, both streams. */
  output(): string;
  /** Ends the process, and only it, as a crash would; resolves when it is gone. */
  kill(signal?: NodeJS.Signals): Promise<void>;
}

/** Starts the built platform program as a child and waits until it says that it stands. */
export async function startPlatform({ dataDir, port, args = [], env = {}, readyMs = 60_000 }: PlatformOptions): Promise<Platform> {
  if (!existsSync(program)) throw new Error(`${program} is not built; run \`npm run build\` first`);
  const chosen = port ?? await freePort();
  // A group of its own, so that what a failed test leaves behind goes with it.
  const child = spawn(process.execPath, [program, "--port", String(chosen), "--data-dir", dataDir, "--json", ...args], {
    env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"], detached: true,
  });
  let output = "";
  const hear = (line: string) => { output = (output + line + "\n").slice(-500_000); };
  createInterface(child.stderr).on("line", hear);
  const ready = new Promise<Ready>((resolve) => {
    createInterface(child.stdout).on("line", (line) => {
      hear(line);
      if (!line.startsWith("{")) return;
      try {
        resolve(JSON.parse(line) as Ready);
      } catch {}
    });
  });
  const platform: Platform = {
    ready: {}, port: chosen, pid: child.pid ?? 0, dataDir,
    output: () => output,
    kill: (signal = "SIGKILL") => end(child, signal),
    async [Symbol.asyncDispose]() {
      await end(child, "SIGTERM");
      for (const pid of processesOf(dataDir)) {
        try {
          process.kill(pid, "SIGKILL");
        } catch {}
      }
    },
  };
  const failed = once(child, "exit").then(([code, signal]) => { throw new Error(`the platform ended with ${code ?? signal} before it stood:\n${output}`); });
  failed.catch(() => {});
  const late = new Promise<never>((_, reject) => { setTimeout(() => reject(new Error(`the platform did not stand within ${readyMs} ms:\n${output}`)), readyMs).unref(); });
  late.catch(() => {});
  try {
    return { ...platform, ready: await Promise.race([ready, failed, late]) };
  } catch (error) {
    await platform[Symbol.asyncDispose]();
    throw error;
  }
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill(signal);
  const impatient = setTimeout(() => child.kill("SIGKILL"), 20_000);
  await gone;
  clearTimeout(impatient);
}

/** A port nobody listens on just now. */
/** Processes that name this folder in their command line, environment or working directory: on Linux, all that a
 * platform with this data folder has started, wherever they hang in the process tree. */
export function processesOf(folder: string): number[] {
  if (process.platform !== "linux") return [];
  const read = (path: string, how: (path: string) => string) => {
    try {
      return how(path);
    } catch {
      return "";
    }
  };
  const text = (path: string) => readFileSync(path, "utf8");
  const status = new Map(readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map((name) => [Number(name), read(`/proc/${name}/status`, text)]));
  const living = [...status].filter(([pid, words]) => pid !== process.pid && !/^State:\s+Z/m.test(words)).map(([pid]) => pid);
  const parentOf = (pid: number): number => Number(/^PPid:\s+(\d+)/m.exec(status.get(pid) ?? "")?.[1] ?? 0);
  const named = new Set(living.filter((pid) => [read(`/proc/${pid}/cmdline`, text), read(`/proc/${pid}/cwd`, readlinkSync), read(`/proc/${pid}/environ`, text)].some((found) => found.includes(folder))));
  // In a sandbox nothing of an app speaks of the folder, but who started it does.
  return living.filter((pid) => {
    for (let at = pid, steps = 0; at > 1 && at !== process.pid && steps < 50; at = parentOf(at), steps += 1) if (named.has(at)) return true;
    return false;
  });
}

/** Command lines of these processes, for messages. */
export function describeProcesses(pids: readonly number[]): string {
  return pids.map((pid) => {
    try {
      return `${pid} ${readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ")}`;
    } catch {
      return `${pid} (gone)`;
    }
  }).join("\n");
}
