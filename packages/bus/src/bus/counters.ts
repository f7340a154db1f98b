import type { Clock, Logger } from "../ports.ts";

/** How many messages were refused, dropped or failed: `"router.register invalid_message"` -> 3. */
export type BusCounters = ReadonlyMap<string, number>;

export interface Counting {
  readonly counters: BusCounters;
  count(subject: string, reason: string, details?: object): void;
}

/** Keys beyond this many share one, so that nobody fills the memory with subjects of his own. */
const maxKeys = 2_000;

/** Counts what went wrong, and says it once a minute per kind: a peer that talks nonsense must not fill the log. */
export function createCounting(log: Logger, clock: Clock): Counting {
  const counters = new Map<string, number>();
  const warned = new Map<string, number>();
  return {
    counters,
    count(subject, reason, details) {
      let key = `${subject} ${reason}`;
      if (!counters.has(key) && counters.size >= maxKeys) key = `(others) ${reason}`;
      counters.set(key, (counters.get(key) ?? 0) + 1);
      const nowMs = clock.now();
      if (nowMs - (warned.get(key) ?? -Infinity) < 60_000) return;
      warned.set(key, nowMs);
      try {
        log.warn(`bus.${reason}`, { subject, ...details });
      } catch {
        // A logger that fails must not cost messages.
      }
    },
  };
}
