import { spawn } from "node:child_process";
import { readdirSync, realpathSync } from "node:fs";
import { delimiter, join } from "node:path";
import { isExecutable } from "./executable.ts";
import { type RuntimeKind, runtimeTable } from "./runtime-table.ts";
import { createSemaphore } from "./semaphore.ts";

/** A runtime that stands on this host. */
export interface FoundRuntime {
  name: string;
  /** As the program says it, or as it was configured. */
  version?: string;
  /** The program's path, or `configured`. */
  found: string;
}

export interface FindRuntimesOptions {
  /** Search path. Default: the executor's `PATH`. */
  path?: string;
  /** Runtimes that are there though no search path leads to them. They stand before what is found, and replace what has their name and version. */
  configured?: readonly { name: string; version?: string }[];
  /** How long one program may take to tell its version; default 5 000 ms. Who takes longer is left out. */
  timeoutMs?: number;
  signal?: AbortSignal;
}

/** Most programs of one kind that are asked: a search path may hold any number of links. */
const maxOfKind = 16;
/** Programs asked at a time. */
const atOnce = 4;
const maxAnswerBytes = 64 * 1024;

/** Programs of this kind in the search path, each file once. */
function programsOf({ programs }: RuntimeKind, folders: readonly string[]): string[] {
  const seen = new Map<string, string>();
  for (const folder of folders) {
    let names: string[] = [];
    try {
      names = readdirSync(folder).filter((name) => programs.test(name)).sort();
    } catch {
      // A search path may name folders that do not exist.
    }
    for (const name of names) {
      const file = join(folder, name);
      try {
        if (!isExecutable(file)) continue;
        const real = realpathSync(file);
        if (!seen.has(real) && seen.size < maxOfKind) seen.set(real, file);
      } catch {
        // Gone in between.
      }
    }
  }
  return [...seen.values()];
}

/** What a program says, on both outputs; empty when it fails or takes too long. */
function answerOf(program: string, args: readonly string[], { path, timeoutMs, signal }: { path: string; timeoutMs: number; signal: AbortSignal | undefined }): Promise<string> {
  return new Promise((resolve) => {
    let text = "";
    const child = spawn(program, args, {
      cwd: "/", env: { PATH: path, HOME: "/nonexistent", LC_ALL: "C", DOTNET_NOLOGO: "1", DOTNET_CLI_TELEMETRY_OPTOUT: "1" },
      stdio: ["ignore", "pipe", "pipe"], timeout: timeoutMs, killSignal: "SIGKILL", ...(signal ? { signal } : {}),
    });
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (chunk: string) => text.length < maxAnswerBytes && (text += chunk));
    child.once("error", () => resolve(""));
    child.once("close", (code) => resolve(code === 0 ? text : ""));
  });
}

/**
 * Finds the runtimes that stand on this host for droplets to share (DEA v1: `runtimes`), by asking each program of the
 * search path for its version. A program that does not tell one is no runtime. For `joinBus`, which advertises them.
 * Order: configured ones, then by kind, then as the search path has them.
 */
export async function findRuntimes(options: FindRuntimesOptions = {}): Promise<FoundRuntime[]> {
  const { path = process.env["PATH"] ?? "/usr/bin:/bin", configured = [], timeoutMs = 5_000, signal } = options;
  const folders = [...new Set(path.split(delimiter).filter((folder) => folder.startsWith("/")))];
  const places = createSemaphore(atOnce);
  const asked = runtimeTable.flatMap((kind) => programsOf(kind, folders).map(async (file): Promise<FoundRuntime[]> => {
    using _place = await places.enter(signal ?? new AbortController().signal);
    const version = kind.version.exec(await answerOf(file, kind.args, { path, timeoutMs, signal }))?.[1];
    return version === undefined ? [] : [{ name: kind.name, version, found: file }];
  }));
  const found = (await Promise.all(asked)).flat();
  const told = configured.map(({ name, version }): FoundRuntime => ({ name, ...(version === undefined ? {} : { version }), found: "configured" }));
  const unique = new Map<string, FoundRuntime>();
  for (const each of [...told, ...found]) {
    const key = `${each.name}@${each.version ?? ""}`;
    if (!unique.has(key)) unique.set(key, each);
  }
  return [...unique.values()];
}
