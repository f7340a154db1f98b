/** Where events go. Any pino-shaped logger fits; the default is silent. */
export interface Logger {
  debug?(event: string, data?: object): void;
  info(event: string, data?: object): void;
  warn(event: string, data?: object): void;
  error(event: string, data?: object): void;
}

/** Time, in milliseconds since 1970. */
export interface Clock {
  now(): number;
  after(ms: number, run: () => void): Disposable;
}

export const silentLogger: Logger = { info() {}, warn() {}, error() {} };

export const systemClock: Clock = {
  now: () => Date.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms);
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  },
};
