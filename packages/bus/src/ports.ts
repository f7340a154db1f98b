/** Where the bus reports what it does. Any logger with these methods fits; the default says nothing. */
export interface Logger {
  debug?(event: string, data?: object): void;
  info(event: string, data?: object): void;
  warn(event: string, data?: object): void;
  error(event: string, data?: object): void;
}

/** Time behind a port, so that tests need no waiting. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Runs once, `ms` milliseconds from now, unless disposed first. */
  after(ms: number, run: () => void): Disposable;
}

export const silentLogger: Logger = { info() {}, warn() {}, error() {} };

/** What `setTimeout` can wait; with more it fires at once. */
const longestMs = 2_147_483_647;

export const systemClock: Clock = {
  now: () => Date.now(),
  after(ms, run) {
    if (!(ms > longestMs)) {
      const timer = setTimeout(run, ms);
      return { [Symbol.dispose]: () => clearTimeout(timer) };
    }
    let left = ms - longestMs;
    let timer = setTimeout(function next() {
      timer = setTimeout(left > longestMs ? next : run, Math.min(left, longestMs));
      left -= longestMs;
    }, longestMs);
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  },
};

const nothing: Disposable = { [Symbol.dispose]() {} };

/** A timer that may be for never: `Infinity` on any clock. */
export const after = (clock: Clock, ms: number, run: () => void): Disposable => (ms === Infinity ? nothing : clock.after(ms, run));
