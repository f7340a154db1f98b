/** Where staging reports what it does besides the log of the app. Any logger with these methods fits; the default says nothing. */
export interface Logger {
  debug?(event: string, data?: object): void;
  info(event: string, data?: object): void;
  warn(event: string, data?: object): void;
  error(event: string, data?: object): void;
}

/** Time behind a port. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Runs once, `ms` milliseconds from now, unless disposed first. */
  after(ms: number, run: () => void): Disposable;
}

/** The part of `fetch` that staging needs; `undici.fetch` by default. */
export type Fetch = (
  url: string,
  init: { method?: string; headers?: Record<string, string>; body?: unknown; signal?: AbortSignal; redirect?: "follow" | "manual"; duplex?: "half" },
) => Promise<FetchResponse>;

export interface FetchResponse {
  readonly ok: boolean;
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  readonly body: AsyncIterable<Uint8Array> | null;
  text(): Promise<string>;
}

export const silentLogger: Logger = { info() {}, warn() {}, error() {} };

export const systemClock: Clock = {
  now: () => Date.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms);
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  },
};
