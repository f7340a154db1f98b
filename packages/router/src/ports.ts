/** Where the router reports what it does. Any logger with these methods fits; the default says nothing. */
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

export const systemClock: Clock = {
  now: () => Date.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms);
    // A sweep or a hold-off must never be the thing that keeps a process alive.
    timer.unref();
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  },
};
