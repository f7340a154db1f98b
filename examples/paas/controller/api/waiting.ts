/** Lets a question wait until the thing it asks about changes, instead of being asked again and again. */
export interface Waiting {
  /** Something about this guid changed. */
  changed(guid: string): void;
  /** Resolves at the next change of the guid, after `timeoutMs`, or when the signal aborts; never rejects. */
  change(guid: string, timeoutMs: number, signal?: AbortSignal): Promise<void>;
}

/** Questions beyond this many are not held at all. */
const maxWaiting = 10_000;

export function createWaiting(): Waiting {
  const waiting = new Map<string, Set<() => void>>();
  let count = 0;
  return {
    changed(guid) {
      for (const wake of waiting.get(guid) ?? []) wake();
    },
    change(guid, timeoutMs, signal) {
      if (timeoutMs <= 0 || signal?.aborted || count >= maxWaiting) return Promise.resolve();
      return new Promise((resolve) => {
        count++;
        const mine = waiting.get(guid) ?? new Set();
        waiting.set(guid, mine);
        const wake = (): void => {
          if (!mine.delete(wake)) return;
          if (mine.size === 0 && waiting.get(guid) === mine) waiting.delete(guid);
          count--;
          clearTimeout(timer);
          signal?.removeEventListener("abort", wake);
          resolve();
        };
        const timer = setTimeout(wake, timeoutMs);
        mine.add(wake);
        signal?.addEventListener("abort", wake, { once: true });
      });
    },
  };
}

/**
 * Reads something until it is finished or the time is up. The wait begins before the reading, so that a change between
 * the two is not missed.
 */
export async function longPoll<T>(waiting: Waiting, guid: string, { read, finished, timeoutMs, signal }: { read: () => Promise<T>; finished: (value: T) => boolean; timeoutMs: number; signal?: AbortSignal }): Promise<T> {
  const until = Date.now() + timeoutMs;
  for (;;) {
    const leave = new AbortController();
    const next = waiting.change(guid, until - Date.now(), signal ? AbortSignal.any([signal, leave.signal]) : leave.signal);
    let value: T;
    try {
      value = await read();
    } catch (error) {
      leave.abort();
      throw error;
    }
    if (finished(value) || Date.now() >= until || signal?.aborted) {
      leave.abort();
      return value;
    }
    await next;
  }
}
