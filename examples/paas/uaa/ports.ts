/** Where a part writes what happened. Any logger with these methods fits. */
export interface Logger {
  info(event: string, data?: object): void;
  warn(event: string, data?: object): void;
  error(event: string, data?: object): void;
}

export const silentLogger: Logger = { info() {}, warn() {}, error() {} };

/** The time, so that tests can hand in theirs. */
export interface Clock {
  now(): number;
}

export const systemClock: Clock = { now: () => Date.now() };

/** The part of the global `fetch` that is used here. */
export type Fetch = (url: string, init?: RequestInit) => Promise<Response>;

/** Looked up at each call, so that a `fetch` replaced later is seen. */
export const globalFetch: Fetch = (url, init) => fetch(url, init);
