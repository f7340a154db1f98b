import type { Job } from "./port.ts";

/**
 * The loop of a worker. A job is asked for only when the loop wants one and fewer than `atOnce` are unacknowledged,
 * so nothing waits unseen in a worker while its time to acknowledge runs.
 * @param pull waits for a job; calls `release` when it no longer counts; undefined ends the loop
 * @param closing the queue itself goes; `signal` is the caller's. Either ends the loop without an error
 */
export function takeLoop(
  pull: (stop: AbortSignal, release: () => void) => Promise<Job | undefined>,
  { atOnce = 1, signal, closing }: { atOnce?: number | undefined; signal?: AbortSignal | undefined; closing: AbortSignal },
): AsyncIterableIterator<Job> & AsyncDisposable {
  if (!Number.isInteger(atOnce) || atOnce < 1) throw new RangeError(`atOnce must be a whole number from 1 on, not ${atOnce}`);
  const stop = new AbortController();
  const end = (): void => stop.abort();
  const ends = signal ? [signal, closing] : [closing];
  for (const each of ends) {
    if (each.aborted) end();
    each.addEventListener("abort", end, { once: true });
  }

  let held = 0;
  let wake: (() => void) | undefined;
  stop.signal.addEventListener("abort", () => wake?.(), { once: true });

  const jobs = (async function* (): AsyncGenerator<Job> {
    try {
      while (!stop.signal.aborted) {
        if (held >= atOnce) {
          await new Promise<void>((done) => (wake = done));
          wake = undefined;
          continue;
        }
        held++;
        let counts = true;
        const release = (): void => {
          if (!counts) return;
          counts = false;
          held--;
          wake?.();
        };
        const job = await pull(stop.signal, release);
        if (!job) return;
        yield job;
      }
    } finally {
      for (const each of ends) each.removeEventListener("abort", end);
      end();
    }
  })();

  const loop: AsyncIterableIterator<Job> & AsyncDisposable = {
    next: () => jobs.next(),
    return: () => {
      end();
      return jobs.return(undefined);
    },
    [Symbol.asyncIterator]: () => loop,
    [Symbol.asyncDispose]: async () => {
      end();
      await jobs.return(undefined);
    },
  };
  return loop;
}
