import { type Clock, elapsed } from "../ports.ts";

export interface CommandLedger<R> {
  /** The answer given before to this command, or undefined. */
  known(id: string): R | undefined;
  remember(id: string, answer: R): void;
}

/** Remembers answers for `keepMs`, at most `max` of them, so that a repeated command is answered and not repeated. */
export function createCommandLedger<R>(clock: Clock, { keepMs = 600_000, max = 10_000 } = {}): CommandLedger<R> {
  const entries = new Map<string, { answer: R; until: number }>();
  return {
    known(id) {
      const entry = entries.get(id);
      return entry && entry.until > elapsed(clock) ? entry.answer : undefined;
    },
    remember(id, answer) {
      const now = elapsed(clock);
      // A Map keeps the order of insertion: the oldest are first.
      for (const [old, { until }] of entries) {
        if (until > now && entries.size < max) break;
        entries.delete(old);
      }
      entries.delete(id);
      entries.set(id, { answer, until: now + keepMs });
    },
  };
}
