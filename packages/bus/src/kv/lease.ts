import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { BusError } from "../errors.ts";
import { createEmitter } from "../emitter.ts";
import { headerNames } from "../headers.ts";
import { type Clock, type Logger, silentLogger } from "../ports.ts";
import { assertKey } from "./keys.ts";
import { type LeaseRecord, readLease, writeLease } from "./lease-record.ts";
import { type BucketCarrier, createBackoff, holdBucket, pause } from "./open.ts";
import type { Bucket, Entry } from "./port.ts";

export interface LeaseOptions {
  /** How long a leader that is not heard of stays leader. Default 10 000 ms; it renews three times as often. */
  ttlMs?: number;
  /** Who leads, for people. Default: host and process id. */
  holder?: string;
  /** Bucket for the leases of a bus. Default `leases`. */
  bucket?: string;
  /** Copies of that bucket in a cluster. Default: as it is, 1 where it is made. */
  replicas?: number;
  /** Default: one that no correction of the time of day moves. */
  clock?: Clock;
  log?: Logger;
  /** Gives the lease up. */
  signal?: AbortSignal;
}

export interface LeaseChange {
  readonly held: boolean;
  readonly fencing: number | undefined;
}

/** One of many candidates for one office. It goes on standing for it until it is disposed. */
export interface Lease extends AsyncDisposable {
  readonly name: string;
  readonly holder: string;
  /** Whether it leads now, asked of the clock at this moment. Actions that take time are protected by the fencing number alone. */
  readonly held: boolean;
  /** Grows from leader to leader, is the same while one leads; undefined while it does not lead. */
  readonly fencing: number | undefined;
  /** Who leads as far as is known here, itself included. */
  readonly leader: string | undefined;
  onChange(listen: (change: LeaseChange) => void): Disposable;
  /** Waits until it leads. @returns the fencing number. @throws BusError `BUS_CLOSED` when disposed meanwhile */
  acquired(signal?: AbortSignal): Promise<number>;
  /** @throws BusError `BUS_LEASE_LOST` */
  assertHeld(): void;
  /** Goes with every message that only a leader may send; a receiver checks it with `createFence()`. @throws BusError `BUS_LEASE_LOST` */
  headers(): Record<string, string>;
  /** Stops standing for it; a leader hands over at once. Never throws. */
  [Symbol.asyncDispose](): Promise<void>;
}

interface Hold {
  readonly fencing: number;
  readonly bucket: Bucket;
  readonly ended: AbortController;
  revision: number;
  /** When the last renewal that succeeded was sent. */
  sentMs: number;
  renewing: Promise<void> | undefined;
  renewal: Disposable | undefined;
  expiry: Disposable | undefined;
}

interface Seen extends LeaseRecord {
  readonly revision: number;
  readonly free: boolean;
  readonly seenMs: number;
}

const steadyClock: Clock = {
  now: () => performance.timeOrigin + performance.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms);
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  },
};

/**
 * Stands for leadership of `name` on a bucket, by compare-and-set on the key `leader.NAME`. The fencing number is the revision of the
 * write that won, so no two leaders share one. A leader whose renewal fails, or is not answered for `ttlMs` since it was sent, has lost.
 * The others take over when they have seen no renewal for `ttlMs` and a tenth by their own clock (nobody's clock is compared), or at
 * once when it was given up. While the bus is away nobody leads for longer than `ttlMs`. Nothing is thrown in the background.
 * @throws BusError `BUS_INVALID_KEY`
 */
export function createLease(source: Bucket | BucketCarrier, name: string, options: LeaseOptions = {}): Lease {
  const { ttlMs = 10_000, holder = `${hostname()}/${process.pid}`, bucket: bucketName = "leases", replicas, clock = steadyClock, log = silentLogger, signal } = options;
  assertKey(name);
  if (!(Number.isFinite(ttlMs) && ttlMs >= 30)) throw new BusError("BUS_UNSUPPORTED", "ttlMs of a lease must be 30 or more");
  const key = `leader.${name}`;
  const marginMs = Math.max(10, ttlMs / 10);
  const instance = randomUUID();
  const record = writeLease({ holder, instance, ttlMs });
  const buckets = holdBucket(source, bucketName, { ...(replicas !== undefined && { replicas }) });
  const changes = createEmitter<LeaseChange>();
  const backoff = createBackoff({ minMs: Math.min(100, ttlMs / 10), maxMs: Math.min(2_000, ttlMs) });
  const stop = new AbortController();
  let bucket: Bucket | undefined;
  let hold: Hold | undefined;
  let seen: Seen | undefined;
  let current = false;
  let trying: Promise<void> | undefined;
  let planned: Disposable | undefined;
  let notBeforeMs = 0;
  let closing: Promise<void> | undefined;

  const lose = (reason: string): void => {
    const lost = hold;
    if (!lost) return;
    hold = undefined;
    lost.renewal?.[Symbol.dispose]();
    lost.expiry?.[Symbol.dispose]();
    if (!closing) lost.ended.abort(new BusError("BUS_LEASE_LOST", `lease ${name}: ${reason}`));
    log.info("lease.lost", { lease: name, holder, fencing: lost.fencing, reason });
    changes.emit({ held: false, fencing: undefined });
    plan();
  };
  /** The clock decides, not a timer: a process that was stopped finds its timers late. */
  const valid = (): Hold | undefined => {
    if (hold && clock.now() - hold.sentMs >= ttlMs) lose("not renewed in time");
    return hold;
  };

  const take = (own: Bucket, revision: number, sentMs: number): void => {
    if (!seen || seen.revision < revision) seen = { holder, instance, ttlMs, revision, free: false, seenMs: clock.now() };
    if (clock.now() - sentMs >= ttlMs) return;
    planned?.[Symbol.dispose]();
    hold = { fencing: revision, bucket: own, ended: new AbortController(), revision, sentMs, renewing: undefined, renewal: undefined, expiry: undefined };
    arm(hold);
    log.info("lease.acquired", { lease: name, holder, fencing: revision });
    changes.emit({ held: true, fencing: revision });
  };
  const arm = (own: Hold): void => {
    const agoMs = clock.now() - own.sentMs;
    own.renewal?.[Symbol.dispose]();
    own.expiry?.[Symbol.dispose]();
    own.renewal = clock.after(Math.max(0, ttlMs / 3 - agoMs), () => void (hold === own && (own.renewing = renew(own))));
    own.expiry = clock.after(Math.max(0, ttlMs - agoMs), () => void valid());
  };
  async function renew(own: Hold): Promise<void> {
    if (valid() !== own) return;
    const sentMs = clock.now();
    try {
      const revision = await own.bucket.update(key, record, own.revision, { signal: own.ended.signal });
      own.revision = revision;
      if (valid() !== own) return;
      own.sentMs = sentMs;
      arm(own);
    } catch (error) {
      if (hold === own) lose(reasonOf(error));
    } finally {
      own.renewing = undefined;
    }
  }

  const observe = (entry: Entry): void => {
    if (seen && entry.revision <= seen.revision) return;
    seen = { ...readLease(entry), revision: entry.revision, free: entry.operation !== "put", seenMs: clock.now() };
    // A write of its own whose answer is still on the way has its own instance in it.
    if (hold && entry.revision > hold.revision && (seen.free || seen.instance !== instance)) lose(seen.free ? "removed" : `taken over by ${seen.holder}`);
    plan();
  };
  /** Sets when to try: at once where the office is free or the last write is its own, otherwise after the leader's time. */
  function plan(): void {
    planned?.[Symbol.dispose]();
    planned = undefined;
    if (closing || hold || trying || !current) return;
    const nowMs = clock.now();
    const freeAtMs = !seen || seen.free || seen.instance === instance ? nowMs : seen.seenMs + Math.max(ttlMs, seen.ttlMs) + marginMs;
    const waitMs = Math.max(freeAtMs, notBeforeMs) - nowMs;
    if (waitMs > 0) planned = clock.after(Math.min(waitMs, 2 ** 31 - 1), plan);
    else trying = attempt();
  }
  async function attempt(): Promise<void> {
    const own = bucket as Bucket;
    const base = seen;
    const sentMs = clock.now();
    const deadline = new AbortController();
    const late = clock.after(ttlMs, () => deadline.abort(new BusError("BUS_TIMEOUT", "no answer")));
    try {
      const revision = !base || base.free
        ? await own.create(key, record, { signal: deadline.signal })
        : await own.update(key, record, base.revision, { signal: deadline.signal });
      if (closing) await own.delete(key, { revision, signal: deadline.signal });
      else take(own, revision, sentMs);
      backoff.reset();
    } catch (error) {
      log.debug?.("lease.attempt", { lease: name, holder, reason: reasonOf(error) });
      notBeforeMs = clock.now() + backoff.ms;
      if (isConflict(error) && !closing)
        // Somebody was faster; what the store has now may be known before the watch tells it.
        await own.get(key, { signal: deadline.signal }).then((entry) => (entry ? observe(entry) : seen === base && (seen = undefined)), () => undefined);
    } finally {
      late[Symbol.dispose]();
      trying = undefined;
      plan();
    }
  }

  async function follow(): Promise<void> {
    const waits = createBackoff({ minMs: 100, maxMs: 5_000 });
    while (!closing) {
      try {
        bucket = await buckets.open();
        seen = undefined;
        for await (const event of bucket.watch({ key, signal: stop.signal })) {
          if (event.type === "entry") observe(event.entry);
          else {
            current = true;
            waits.reset();
            plan();
          }
        }
      } catch (error) {
        log.warn("lease.store", { lease: name, holder, reason: reasonOf(error) });
      }
      current = false;
      if (closing) return;
      await buckets.forget().catch(() => undefined);
      await pause(clock, waits.ms, stop.signal);
    }
  }

  async function close(): Promise<void> {
    const last = hold;
    lose("given up");
    planned?.[Symbol.dispose]();
    signal?.removeEventListener("abort", aborted);
    const deadline = new AbortController();
    const timer = clock.after(Math.min(ttlMs, 2_000), () => deadline.abort());
    const late = new Promise<void>((done) => deadline.signal.addEventListener("abort", () => done(), { once: true }));
    // What is on the way is waited for: its revision is the one to remove.
    await Promise.race([Promise.all([last?.renewing, trying]), late]);
    if (last) await Promise.race([late, last.bucket.delete(key, { revision: last.revision, signal: deadline.signal }).catch((error: unknown) => log.debug?.("lease.release", { lease: name, reason: reasonOf(error) }))]);
    timer[Symbol.dispose]();
    stop.abort();
    await buckets.forget().catch(() => undefined);
    ended.emit(undefined);
  }
  const ended = createEmitter<undefined>();
  const dispose = (): Promise<void> => {
    if (!closing) {
      let started = (): void => undefined;
      closing = new Promise<void>((done) => (started = done)).then(close);
      started();
    }
    return closing;
  };
  const aborted = (): void => void dispose();
  const fencingNow = (): number => {
    const own = valid();
    if (!own) throw new BusError("BUS_LEASE_LOST", `lease ${name}: ${holder} does not lead`, { retryable: true });
    return own.fencing;
  };

  if (signal?.aborted) aborted();
  else signal?.addEventListener("abort", aborted, { once: true });
  void follow();
  return {
    name,
    holder,
    get held() {
      return valid() !== undefined;
    },
    get fencing() {
      return valid()?.fencing;
    },
    get leader() {
      return seen && !seen.free ? seen.holder : undefined;
    },
    onChange: (listen) => changes.on(listen),
    acquired(waitSignal) {
      return new Promise<number>((done, fail) => {
        const settle = (act: () => void): void => {
          for (const each of [listening, ending]) each[Symbol.dispose]();
          waitSignal?.removeEventListener("abort", abort);
          act();
        };
        const abort = (): void => settle(() => fail(waitSignal?.reason as Error));
        const listening = changes.on(({ fencing }) => fencing !== undefined && settle(() => done(fencing)));
        const ending = ended.on(() => settle(() => fail(new BusError("BUS_CLOSED", `lease ${name} was given up`))));
        const own = valid();
        if (waitSignal?.aborted) abort();
        else if (own) settle(() => done(own.fencing));
        else if (closing) settle(() => fail(new BusError("BUS_CLOSED", `lease ${name} was given up`)));
        else waitSignal?.addEventListener("abort", abort, { once: true });
      });
    },
    assertHeld: () => void fencingNow(),
    headers: () => ({ [headerNames.fence]: `${name}=${fencingNow()}` }),
    [Symbol.asyncDispose]: dispose,
  };
}

const isConflict = (error: unknown): boolean => error instanceof BusError && (error.code === "BUS_KEY_EXISTS" || error.code === "BUS_WRONG_REVISION");
const reasonOf = (error: unknown): string => (error instanceof BusError ? `${error.code}: ${error.message}` : String(error));
