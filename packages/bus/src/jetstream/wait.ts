import { BusError } from "../errors.ts";

/** How long an interruption may last before a call ends with an error, where nothing else is asked for. */
export const defaultPatienceMs = 15_000;

/** Settles as `promise` does, or rejects with the reason of `signal`, whichever is first. */
export function orAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  return new Promise<T>((done, fail) => {
    const aborted = (): void => fail(signal.reason as Error);
    if (signal.aborted) {
      promise.catch(() => undefined);
      return aborted();
    }
    signal.addEventListener("abort", aborted, { once: true });
    promise.then(done, fail).finally(() => signal.removeEventListener("abort", aborted));
  });
}

/** `ms` later, or at once when `signal` says so; never rejects. */
export const pause = (ms: number, signal?: AbortSignal): Promise<void> =>
  new Promise((done) => {
    if (signal?.aborted) return done();
    const end = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      done();
    };
    const timer = setTimeout(end, ms);
    signal?.addEventListener("abort", end, { once: true });
  });

/**
 * Repeats what may be repeated until it works, the error is none that time heals, or `forMs` are over.
 * @param run gets the number of the attempt, from 0, and the time that the attempt may take
 */
export async function persist<T>(run: (attempt: number, timeoutMs: number) => Promise<T>, { forMs, signal }: { forMs: number; signal?: AbortSignal | undefined }): Promise<T> {
  const until = performance.now() + forMs;
  for (let attempt = 0; ; attempt++) {
    signal?.throwIfAborted();
    try {
      return await run(attempt, Math.min(5_000, Math.max(100, until - performance.now())));
    } catch (error) {
      if (!(error instanceof BusError && error.retryable && performance.now() < until)) throw error;
    }
    await pause(Math.min(50 * 2 ** attempt, 500), signal);
  }
}
