import { readFile } from "node:fs/promises";
import type { Container, ExecProcess, TerminalSize } from "../container/container.ts";
import { markVariable } from "../container/mark.ts";
import { DeaError } from "../errors.ts";
import { type Clock, elapsed, sleep } from "../ports.ts";
import { launchArguments } from "./launch.ts";
import { environmentPairs, type StartSpec } from "./spec.ts";

/** A process beside an app's own. */
export interface ExecOptions {
  /** Run by a shell in `app/`, after the droplet's `profile.d`, as the app's own command is. Default: a shell that reads commands. */
  command?: string;
  /** Instead of `command`: program and arguments, given to the kernel as they are. */
  argv?: readonly string[];
  /** Beside the app's own variables, and before them. */
  env?: StartSpec["env"];
  /** `vcap`, the app's user (default), or `root`: root of the container, who is nobody outside. The `process` backend has no root. */
  user?: "vcap" | "root";
  /** Folder as the app sees it; only with `argv`. Default the folder above `app/`. */
  cwd?: string;
  /** Gives it a terminal of this size; its error output is then part of its output. Default: pipes. */
  terminal?: TerminalSize;
  /** Aborting ends it with KILL. */
  signal?: AbortSignal;
}

export interface ExecPlace {
  container: Container;
  shell: string;
  clock: Clock;
}

/** At most this many at once in one instance. */
const maxExecs = 32;

/** How long an aborted command is killed again, in case it begins only then. */
const killWaitMs = 30_000;

const invalid = (why: string): DeaError => new DeaError("DEA_INVALID_SPEC", why);
const isSize = (value: number): boolean => Number.isInteger(value) && value > 0 && value <= 10_000;

/** Starts commands beside one app. Beyond what {@link execIn} throws: DEA_CONTAINER when too many run. */
export function createExecs(): (place: ExecPlace, options: ExecOptions) => Promise<ExecProcess> {
  let running = 0;
  return async (place, options) => {
    if (running >= maxExecs) throw new DeaError("DEA_CONTAINER", `${maxExecs} commands run in this instance already`, { retryable: true });
    running += 1;
    try {
      const started = await execIn(place, options);
      void started.exited.then(() => (running -= 1));
      return started;
    } catch (error) {
      running -= 1;
      throw error;
    }
  };
}

/** Starts it; it ends with the app at the latest. Throws DEA_INVALID_SPEC, DEA_CONTAINER, DEA_UNSUPPORTED. */
export async function execIn({ container, shell, clock }: ExecPlace, options: ExecOptions): Promise<ExecProcess> {
  const { command, argv, cwd, user, terminal, signal } = options;
  if (command !== undefined && argv !== undefined) throw invalid("either command or argv, not both");
  if (argv?.length === 0 || argv?.some((word) => word.includes("\0")) || command?.includes("\0")) throw invalid("not a command");
  if (cwd !== undefined && argv === undefined) throw invalid("cwd goes with argv only");
  if (terminal && !(isSize(terminal.columns) && isSize(terminal.rows))) throw invalid("a terminal has 1 to 10000 columns and rows");
  signal?.throwIfAborted();
  const own = environmentPairs(options.env).map(([name, value]) => `${name}=${value}`);
  const known = await environmentOfApp(container, clock, signal);
  const words = argv ?? launchArguments(container.homeInside, shell, command ?? `exec ${shell}`);
  const process = await container.exec({
    argv: words,
    env: [...new Map([...known, ...own].map((pair) => [pair.slice(0, pair.indexOf("=")), pair] as const)).values()],
    ...(cwd === undefined ? {} : { cwd }),
    ...(user === undefined ? {} : { user }),
    ...(terminal ? { terminal } : {}),
  });
  const over = new AbortController();
  const kill = async (): Promise<void> => {
    // Again and again: what starts it may not have started it yet, and a signal to nobody is lost.
    for (const deadline = elapsed(clock) + killWaitMs; !over.signal.aborted && elapsed(clock) < deadline; await sleep(clock, 100, over.signal)) {
      await process.signal("SIGKILL").catch(() => {});
    }
  };
  const onAbort = (): void => void kill();
  signal?.addEventListener("abort", onAbort, { once: true });
  void process.exited.then(() => {
    over.abort();
    signal?.removeEventListener("abort", onAbort);
  });
  if (signal?.aborted) onAbort();
  return process;
}

/** How long a container may take to show the app's first process. */
const appWaitMs = 10_000;

/**
 * The app's own variables, from its processes: secrets are in no file of ours, and an app that an earlier executor
 * started has them still. Empty where no process shows them.
 */
async function environmentOfApp(container: Container, clock: Clock, signal: AbortSignal | undefined): Promise<string[]> {
  for (const deadline = elapsed(clock) + appWaitMs; !signal?.aborted && elapsed(clock) < deadline; await sleep(clock, 50, signal)) {
    const pids = await container.pids?.();
    if (pids === undefined) break;
    for (const pid of pids) {
      const pairs = (await readFile(`/proc/${pid}/environ`, "utf8").catch(() => "")).split("\0");
      if (pairs.some((pair) => pair.startsWith("VCAP_APPLICATION="))) return pairs.filter((pair) => pair.indexOf("=") > 0 && !pair.startsWith(`${markVariable}=`));
    }
  }
  return [];
}
