export type TraceEventName =
  | "publish" | "deliver" | "drop" | "duplicate" | "reorder" | "cut" | "lost" | "no_responders"
  | "connect" | "disconnect" | "reconnect" | "close" | "partition" | "heal" | "pause" | "resume"
  | "store" | "receiver_failed" | "forbidden" | "note";

/** One thing that happened in a simulation. */
export interface TraceEntry {
  /** Milliseconds of virtual time since the simulation began, with three decimals. */
  readonly atMs: number;
  readonly event: TraceEventName;
  readonly from?: string;
  readonly to?: string;
  /** Inboxes have stand-in names (`_INBOX.~1`), since their real ones differ from run to run. */
  readonly subject?: string;
  /** Tells the copies of one message from those of others. */
  readonly message?: number;
  readonly note?: string;
}

/** What happened, oldest first. `String(trace)` prints it, one line each. */
export interface SimulationTrace {
  readonly entries: readonly TraceEntry[];
  /** Entries that were too many and are gone, the oldest first. */
  readonly forgotten: number;
  /** Writes a line of your own. */
  note(text: string): void;
  /** @param last how many entries; default all */
  toString(last?: number): string;
}

export interface TraceRecorder extends SimulationTrace {
  add(entry: Omit<TraceEntry, "atMs">): void;
}

export function createTrace(limit: number, nowUs: () => number): TraceRecorder {
  let entries: TraceEntry[] = [];
  let forgotten = 0;
  const trace: TraceRecorder = {
    get entries() {
      return entries.length > limit ? entries.slice(-limit) : entries;
    },
    get forgotten() {
      return forgotten + Math.max(0, entries.length - limit);
    },
    add(entry) {
      entries.push({ atMs: nowUs() / 1_000, ...entry });
      if (entries.length < limit * 2) return;
      forgotten += entries.length - limit;
      entries = entries.slice(-limit);
    },
    note: (text) => trace.add({ event: "note", note: text }),
    toString(last = limit) {
      const shown = last <= 0 ? [] : trace.entries.slice(-last);
      const gone = trace.forgotten + trace.entries.length - shown.length;
      return [...(gone > 0 ? [`… ${gone} earlier`] : []), ...shown.map(line)].join("\n");
    },
  };
  return trace;
}

function line({ atMs, event, from, to, subject, message, note }: TraceEntry): string {
  const who = [from, to].filter((name) => name !== undefined).join(" -> ");
  return [`${atMs.toFixed(3).padStart(12)} ms`, event.padEnd(13), message === undefined ? "" : `#${message}`, who, subject, note]
    .filter((part) => part !== undefined && part !== "").join("  ");
}
