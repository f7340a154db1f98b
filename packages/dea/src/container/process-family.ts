import { familyOf, isAlive, type MarkedProcess, type ProcessEntry } from "./process-table.ts";

export interface Leader {
  pid: number;
  startTicks: number;
}

/** Who belongs to a container, sorted by what they are. */
export interface Family {
  /** Everybody but the keeper. */
  all: readonly ProcessEntry[];
  /** What the user started: neither the keeper nor the processes that make a sandbox. */
  app: readonly ProcessEntry[];
  /** The main process, once it runs. */
  main: ProcessEntry | undefined;
  /** First process of the sandbox, by which it is entered. */
  first: ProcessEntry | undefined;
}

const oldest = (entries: readonly ProcessEntry[]): ProcessEntry | undefined =>
  entries.reduce<ProcessEntry | undefined>((found, entry) => (found && (found.startTicks < entry.startTicks || (found.startTicks === entry.startTicks && found.pid < entry.pid)) ? found : entry), undefined);

/**
 * Finds them in a list of processes. Without a leader too: what an earlier executor started carries the mark. In a
 * sandbox a child of the keeper waits, its child is the first process inside, and the oldest child of that is the app;
 * but while the sandbox is being built (`up` is false) the children of the first process are its tools.
 */
export function findFamily(mark: string, list: readonly MarkedProcess[], leader: Leader | undefined, { sandboxed, up }: { sandboxed: boolean; up: boolean }): Family {
  const all = familyOf(mark, list, leader).filter((entry) => entry.pid !== leader?.pid);
  const below = (parents: readonly ProcessEntry[]): ProcessEntry[] => all.filter(({ parent }) => parents.some(({ pid }) => pid === parent));
  const started = all.filter(({ parent }) => parent === leader?.pid);
  if (!sandboxed) return { all, app: all, main: oldest(started), first: undefined };
  const firsts = below(started);
  if (!up) return { all, app: [], main: undefined, first: undefined };
  const made = new Set([...started, ...firsts]);
  const main = oldest(below(firsts));
  // Nobody may enter a root that is not built.
  return { all, app: all.filter((entry) => !made.has(entry)), main, first: main && oldest(firsts) };
}

/** Sends a signal to each that is still the one it was. */
export function signalEach(signal: NodeJS.Signals, entries: readonly Leader[]): void {
  for (const { pid, startTicks } of entries) {
    // Looked up again right before the signal: a pid may have found a new owner since the list was made.
    if (!isAlive(pid, startTicks)) continue;
    try {
      process.kill(pid, signal);
    } catch {
      // It ended in between.
    }
  }
}
