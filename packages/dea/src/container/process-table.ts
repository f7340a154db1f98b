import { readFileSync, readdirSync, readlinkSync } from "node:fs";

/** Units the kernel counts in, from our own auxiliary vector (getauxval(3): 6 is AT_PAGESZ, 17 is AT_CLKTCK). */
const readUnits = (): { pageBytes: number; ticksPerSecond: number } => {
  const vector = new Map<number, number>();
  try {
    const bytes = readFileSync("/proc/self/auxv");
    for (let at = 0; at + 16 <= bytes.length; at += 16) vector.set(Number(bytes.readBigUInt64LE(at)), Number(bytes.readBigUInt64LE(at + 8)));
  } catch {
    // The usual values serve.
  }
  return { pageBytes: vector.get(6) || 4096, ticksPerSecond: vector.get(17) || 100 };
};
let units: ReturnType<typeof readUnits> | undefined;

export interface ProcessEntry {
  pid: number;
  parent: number;
  group: number;
  session: number;
  /** Start time in ticks since boot: with the pid it names one process for ever. */
  startTicks: number;
  dead: boolean;
  cpuMs: number;
  residentBytes: number;
}

/** Parses one line of `/proc/PID/stat` (proc(5)). The name in parentheses may hold anything, so count from the last `)`. */
export function parseStat(line: string): ProcessEntry | undefined {
  const close = line.lastIndexOf(")");
  const fields = line.slice(close + 2).split(" ");
  const at = (index: number): number => Number(fields[index]);
  const pid = Number.parseInt(line, 10);
  const { pageBytes, ticksPerSecond } = (units ??= readUnits());
  if (close < 0 || fields.length < 22 || !Number.isInteger(pid)) return undefined;
  return {
    pid,
    parent: at(1),
    group: at(2),
    session: at(3),
    startTicks: at(19),
    dead: fields[0] === "Z" || fields[0] === "X",
    cpuMs: ((at(11) + at(12)) * 1000) / ticksPerSecond,
    residentBytes: at(21) * pageBytes,
  };
}

export function readProcess(pid: number): ProcessEntry | undefined {
  try {
    return parseStat(readFileSync(`/proc/${pid}/stat`, "latin1"));
  } catch {
    return undefined;
  }
}

/** True when the process with this pid is the very one that started at `startTicks`, and not a zombie. */
export function isAlive(pid: number, startTicks: number): boolean {
  const entry = readProcess(pid);
  return entry !== undefined && !entry.dead && entry.startTicks === startTicks;
}

/** A process, and the mark it was started with. */
export interface MarkedProcess extends ProcessEntry {
  mark: string | undefined;
}

/** All living processes. Reads are synchronous: /proc is memory, and one pass must be one moment. */
export function readProcesses(): ProcessEntry[] {
  const entries: ProcessEntry[] = [];
  for (const name of readdirSync("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    const entry = readProcess(pid);
    if (entry && !entry.dead) entries.push(entry);
  }
  return entries;
}

/** Memory in proportional shares: pages shared by a forked family count once. Undefined when the kernel refuses. */
export function readProportionalBytes(pid: number): number | undefined {
  try {
    const match = /^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "latin1"));
    return match ? Number(match[1]) * 1024 : undefined;
  } catch {
    return undefined;
  }
}

/** Lists living processes with their marks. */
export type MarkReader = () => MarkedProcess[];

/** Age from which "no marker" is believed. */
const settledMs = 10_000;

/** Time since boot, in the ticks of {@link ProcessEntry.startTicks}. */
function ticksSinceBoot(): number {
  try {
    return Number.parseFloat(readFileSync("/proc/uptime", "latin1")) * (units ??= readUnits()).ticksPerSecond;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

/**
 * Reads a marker variable from `/proc/PID/environ` and remembers it per process.
 * "No marker" is believed only of a process that is some seconds old: in the middle of exec(2) the kernel shows an
 * empty environment, and on a busy machine that moment can be long.
 */
export function createMarkReader(variable: string): MarkReader {
  let known = new Map<number, { startTicks: number; mark: string | undefined }>();
  const prefix = `${variable}=`;
  const readMark = (pid: number): string | undefined => {
    try {
      const pairs = readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
      return pairs.find((pair) => pair.startsWith(prefix))?.slice(prefix.length);
    } catch {
      // Another user's process, or gone: not ours either way.
      return undefined;
    }
  };
  return () => {
    const { ticksPerSecond } = (units ??= readUnits());
    const settledBefore = ticksSinceBoot() - (settledMs / 1000) * ticksPerSecond;
    const next: typeof known = new Map();
    const entries = readProcesses().map((entry): MarkedProcess => {
      const seen = known.get(entry.pid);
      const mark = seen?.startTicks === entry.startTicks ? seen.mark : readMark(entry.pid);
      if (mark !== undefined || entry.startTicks < settledBefore) next.set(entry.pid, { startTicks: entry.startTicks, mark });
      return { ...entry, mark };
    });
    known = next;
    return entries;
  };
}

/**
 * Everybody started with this mark, and whoever is related: same process group or session as `leader`, or a
 * descendant. A program that calls setsid(2) is found by its mark; one that also clears its environment is found
 * as long as its line of parents is unbroken.
 */
export function familyOf(
  mark: string,
  entries: readonly MarkedProcess[],
  leader?: { pid: number; startTicks: number },
): MarkedProcess[] {
  const members = new Map<number, MarkedProcess>();
  const byParent = new Map<number, MarkedProcess[]>();
  for (const entry of entries) {
    const siblings = byParent.get(entry.parent);
    if (siblings) siblings.push(entry);
    else byParent.set(entry.parent, [entry]);
    const leads = entry.pid === leader?.pid && entry.startTicks === leader.startTicks;
    if (leads || (entry.pid !== process.pid && entry.mark === mark)) members.set(entry.pid, entry);
  }
  // The group and session numbers are the leader's pid; they are ours only while somebody marked still holds them.
  const inGroup = (entry: ProcessEntry): boolean => entry.group === leader?.pid || entry.session === leader?.pid;
  if (leader && [...members.values()].some(inGroup)) {
    for (const entry of entries) if (inGroup(entry) && entry.startTicks >= leader.startTicks) members.set(entry.pid, entry);
  }
  for (const queue = [...members.values()]; queue.length > 0; ) {
    const parent = queue.pop();
    for (const child of byParent.get(parent?.pid ?? -1) ?? []) {
      if (members.has(child.pid)) continue;
      members.set(child.pid, child);
      queue.push(child);
    }
  }
  return [...members.values()];
}

/**
 * Who can write to which of the files below `dir`: who holds the pipe of an app's output came from that app,
 * whatever else it shook off. Reading ends do not count: those are ours.
 */
export function writersBelow(dir: string, entries: readonly MarkedProcess[]): Map<string, MarkedProcess[]> {
  const writers = new Map<string, MarkedProcess[]>();
  for (const entry of entries) {
    try {
      for (const fd of readdirSync(`/proc/${entry.pid}/fd`)) {
        const file = readlinkSync(`/proc/${entry.pid}/fd/${fd}`);
        if (!file.startsWith(dir)) continue;
        const flags = /^flags:\s+(\d+)/m.exec(readFileSync(`/proc/${entry.pid}/fdinfo/${fd}`, "latin1"))?.[1] ?? "0";
        if ((Number.parseInt(flags, 8) & 3) !== 0) writers.set(file, [...(writers.get(file) ?? []), entry]);
      }
    } catch {
      // Another user's process, or gone.
    }
  }
  return writers;
}
