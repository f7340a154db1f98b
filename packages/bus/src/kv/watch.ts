import { BusError } from "../errors.ts";
import type { Clock } from "../ports.ts";
import type { Entry, WatchEvent, WatchOptions } from "./port.ts";
import { createBell, type FollowStart, type Store, type StoredChange } from "./store.ts";

export interface WatchParts extends WatchOptions {
  store: Store;
  clock: Clock;
  /** When an entry goes away by itself, in ms since the epoch by the clock of the store; Infinity: never. */
  expiresMs: (change: StoredChange) => number;
  onEnd: () => void;
}

/** Timers are not set closer than this, so that many keys with many expiries cost little. */
const timerStepMs = 5;
const starts: Readonly<Record<NonNullable<WatchOptions["include"]>, FollowStart>> = { last: "last", history: "all", updates: "new" };

/**
 * Follows a store and adds what no store says: the end of what was there, and expiries.
 * An expiry is told only while the store is in reach and nothing newer waits: a key that was refreshed meanwhile has not expired.
 */
export function createWatch({ key = ">", include = "last", fromRevision, signal, store, clock, expiresMs, onEnd }: WatchParts): AsyncIterable<WatchEvent> & AsyncDisposable {
  const bell = createBell();
  const follower = store.follow(key, fromRevision ?? starts[include], bell.ring);
  const expiring = new Map<string, { atMs: number; revision: number }>();
  const told = new Set<string>();
  let timer: { atMs: number; handle: Disposable } | undefined;
  let current = false;
  let closed = false;

  const close = (): void => {
    if (closed) return;
    closed = true;
    follower.close();
    timer?.handle[Symbol.dispose]();
    signal?.removeEventListener("abort", close);
    expiring.clear();
    onEnd();
    bell.ring();
  };
  const arm = (atMs: number): void => {
    if (timer && timer.atMs <= atMs) return;
    timer?.handle[Symbol.dispose]();
    const handle = clock.after(Math.max(timerStepMs, Math.min(atMs - store.now(), 2 ** 31 - 1)), () => {
      timer = undefined;
      bell.ring();
    });
    timer = { atMs, handle };
  };
  const remember = (change: StoredChange): void => {
    expiring.delete(change.key);
    const atMs = expiresMs(change);
    if (change.operation !== "put" || atMs === Infinity) return;
    expiring.set(change.key, { atMs, revision: change.revision });
    arm(atMs);
  };
  /** The earliest expiry that is due, if any; otherwise the timer is set for the next one. */
  const takeExpired = (): Entry | undefined => {
    if (timer || expiring.size === 0) return undefined;
    let first: { key: string; atMs: number; revision: number } | undefined;
    for (const [each, { atMs, revision }] of expiring)
      if (!first || atMs < first.atMs) first = { key: each, atMs, revision };
    if (!first) return undefined;
    if (first.atMs > store.now()) return void arm(first.atMs);
    expiring.delete(first.key);
    return { key: first.key, value: new Uint8Array(), revision: first.revision, operation: "expire", createdMs: first.atMs };
  };
  /** Among what was there before, `last` and `history` tell only what still holds; but what was told may change before all is told. */
  const hidden = (change: StoredChange): boolean =>
    !current && fromRevision === undefined && !told.has(change.key) && ((include === "last" && change.operation !== "put") || expiresMs(change) <= store.now());

  async function* run(): AsyncGenerator<WatchEvent, void, undefined> {
    try {
      while (!closed) {
        const change = follower.take();
        if (change) {
          if (hidden(change)) continue;
          if (!current) told.add(change.key);
          remember(change);
          const { key, data: value, revision, operation, createdMs } = change;
          yield { type: "entry", entry: { key, value, revision, operation, createdMs } };
          continue;
        }
        if (follower.live) {
          if (!current) {
            current = true;
            told.clear();
            yield { type: "current" };
            continue;
          }
          const entry = takeExpired();
          if (entry) {
            yield { type: "entry", entry };
            continue;
          }
        }
        await bell.wait();
      }
    } catch (error) {
      // The connection ended: so does this, as a subscription would.
      if (!(error instanceof BusError && error.code === "BUS_CLOSED")) throw error;
    } finally {
      close();
    }
  }

  if (signal?.aborted) close();
  else signal?.addEventListener("abort", close, { once: true });
  const events = run();
  const iterator: AsyncIterator<WatchEvent, void, undefined> = {
    next: () => events.next(),
    return() {
      close();
      return events.return();
    },
  };
  return {
    [Symbol.asyncIterator]: () => iterator,
    [Symbol.asyncDispose]() {
      close();
      return Promise.resolve();
    },
  };
}
