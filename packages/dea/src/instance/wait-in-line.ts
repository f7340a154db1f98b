import { type Clock, elapsed } from "../ports.ts";
import type { Semaphore } from "../semaphore.ts";

/** At least this long between two lines that tell the user the position. */
const sayEveryMs = 5_000;

export interface InLine {
  /** Starts before this one plus one, 1 for the next; undefined once it has its turn. */
  readonly position: number | undefined;
  /** Waits for its turn, and tells the user about it: once at the beginning, then at most every 5 s, and when the turn has come. */
  wait(signal: AbortSignal): Promise<Disposable>;
}

/** One start's place in the line before the few that unpack and start at the same time. */
export function standInLine(admission: Semaphore, clock: Clock, say: (text: string) => void): InLine {
  let position: number | undefined;
  let saidAt: number | undefined;
  return {
    get position() { return position; },
    async wait(signal) {
      const since = elapsed(clock);
      try {
        const place = await admission.enter(signal, (now) => {
          position = now;
          if (saidAt !== undefined && elapsed(clock) - saidAt < sayEveryMs) return;
          saidAt = elapsed(clock);
          say(`Waiting to be started: position ${now} in the queue of this executor`);
        });
        if (saidAt !== undefined) say(`Its turn to be started came after ${((elapsed(clock) - since) / 1000).toFixed(1)} s`);
        return place;
      } finally {
        position = undefined;
      }
    },
  };
}
