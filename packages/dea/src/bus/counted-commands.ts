import { type Clock, elapsed } from "../ports.ts";

/** Start commands whose instances the executor's numbers hold: advertised, so that nobody counts them a second time. */
export interface CountedCommands {
  /** From now on the numbers hold this one. */
  note(command: string | undefined): void;
  list(): string[];
}

/** The newest `max`, none older than `keepMs`: whoever sent one hears of it within a few advertisements, or lets its promise run out. */
export function createCountedCommands(clock: Clock, { keepMs = 30_000, max = 64 } = {}): CountedCommands {
  const noted = new Map<string, number>();
  return {
    note(command) {
      if (command === undefined || noted.has(command)) return;
      noted.set(command, elapsed(clock));
      for (const first of noted.keys()) {
        if (noted.size <= max) break;
        noted.delete(first);
      }
    },
    list() {
      const oldest = elapsed(clock) - keepMs;
      for (const [command, at] of noted) if (at < oldest) noted.delete(command);
      return [...noted.keys()];
    },
  };
}
