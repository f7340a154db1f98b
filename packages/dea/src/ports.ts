/** Where events go that an operator should see. Never given a secret. */
export interface Logger {
  debug?(event: string, data?: object): void;
  info(event: string, data?: object): void;
  warn(event: string, data?: object): void;
  error(event: string, data?: object): void;
}

/** Wall time in milliseconds, and a one-shot timer. */
export interface Clock {
  now(): number;
  /** Milliseconds since some moment, never set forward or back: deadlines are measured by it. Default: `now`. */
  elapsed?(): number;
  after(ms: number, run: () => void): Disposable;
}

/** What a download needs: the standard `fetch`, or anything that answers like it. */
export type Fetch = (url: string, init: { headers: Record<string, string>; signal: AbortSignal }) => Promise<Response>;

export const silentLogger: Logger = { info() {}, warn() {}, error() {} };

export const systemClock: Clock = {
  now: () => Date.now(),
  elapsed: () => performance.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms);
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  },
};

/** Time for deadlines: an operator who sets the machine's clock moves none of them. */
export const elapsed = (clock: Clock): number => clock.elapsed?.() ?? clock.now();

/** Waits `ms`, or until the signal aborts; never rejects. */
export function sleep(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      timer[Symbol.dispose]();
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = clock.after(ms, done);
    signal?.addEventListener("abort", done, { once: true });
  });
}

/** Repeats `run` every `ms`, never two at a time; a failure is handed to `onError` and the next turn still comes. */
export function every(clock: Clock, ms: number, run: () => void | Promise<void>, onError: (error: unknown) => void): Disposable {
  const stop = new AbortController();
  void (async () => {
    for (;;) {
      await sleep(clock, ms, stop.signal);
      if (stop.signal.aborted) return;
      try {
        await run();
      } catch (error) {
        onError(error);
      }
    }
  })();
  return { [Symbol.dispose]: () => stop.abort() };
}
