import { randomBytes } from "node:crypto";
import { createEmitter } from "../emitter.ts";
import { BusError } from "../errors.ts";
import { type BucketCarrier, createBackoff, holdBucket } from "../kv/open.ts";
import type { Bucket } from "../kv/port.ts";
import { type Clock, type Logger, silentLogger, systemClock } from "../ports.ts";
import { keptMs, keyOf, type Member, presenceBucket, writeMember } from "./member.ts";

export interface JoinOptions extends Partial<Pick<Member, "version" | "zone" | "host" | "attributes">> {
  /** What it is: `Router`, `DEA`, `CloudController` ... */
  type: string;
  /** Which one of its kind. Default 0. */
  index?: number;
  /** Default: random. */
  uuid?: string;
  /** It counts as gone when it was not heard of for so long. Default 15 000 ms; it speaks three times as often. At most an hour. */
  ttlMs?: number;
  /** Copies of the bucket in a cluster. Default: as it is, 1 where it is made. */
  replicas?: number;
  clock?: Clock;
  log?: Logger;
  /** Ends the presence. */
  signal?: AbortSignal;
}

/** A component that says that it is there until it is disposed. */
export interface Presence extends AsyncDisposable {
  readonly uuid: string;
  /** Whether the others see it: it was written and has not expired since. */
  readonly present: boolean;
  /** Resolves when the others see it for the first time. @throws BusError `BUS_CLOSED` when it ends before */
  joined(signal?: AbortSignal): Promise<void>;
  /** Tells something else of itself, at once. */
  update(changes: Partial<Pick<Member, "version" | "zone" | "host" | "attributes">>): void;
  /** Leaves: the others are told at once, if the bus is there. Never throws. */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Makes a component visible in the registry of its bus. It speaks again at a third of `ttlMs`, and at once when the bus is back;
 * nothing is thrown while it is away.
 * @throws BusError `BUS_UNSUPPORTED` for a `ttlMs` out of range
 */
export function join(source: Bucket | BucketCarrier, options: JoinOptions): Presence {
  const { type, index = 0, uuid = randomBytes(16).toString("hex"), ttlMs = 15_000, replicas, clock = systemClock, log = silentLogger, signal } = options;
  if (!(Number.isInteger(ttlMs) && ttlMs >= 30 && ttlMs <= keptMs)) throw new BusError("BUS_UNSUPPORTED", `ttlMs of a presence must be 30 to ${keptMs}`);
  const key = keyOf({ type, index, uuid });
  const buckets = holdBucket(source, presenceBucket, { ttlMs: keptMs, ...(replicas !== undefined && { replicas }) });
  const backoff = createBackoff({ minMs: Math.min(250, ttlMs / 10), maxMs: Math.min(2_000, ttlMs / 3) });
  const heard = createEmitter<"joined" | "closed">();
  const stop = new AbortController();
  let member: Member = {
    type, index, uuid, version: options.version, zone: options.zone, host: options.host, attributes: options.attributes ?? {}, since: clock.now(), lastSeenMs: 0,
  };
  let writtenMs: number | undefined;
  let working: Promise<void> | undefined;
  let again = false;
  let timer: Disposable | undefined;
  let closing: Promise<void> | undefined;

  const present = (): boolean => writtenMs !== undefined && clock.now() - writtenMs < ttlMs && !closing;
  /** Writes now, or once more when what is being written is written. */
  const speak = (): void => {
    if (closing) return;
    again = true;
    working ??= work().finally(() => (working = undefined));
  };
  async function work(): Promise<void> {
    while (again && !closing) {
      again = false;
      timer?.[Symbol.dispose]();
      const sentMs = clock.now();
      try {
        const bucket = await buckets.open();
        await bucket.put(key, writeMember(member), { ttlMs, signal: stop.signal });
        const first = writtenMs === undefined;
        writtenMs = sentMs;
        backoff.reset();
        if (first) heard.emit("joined");
        // Many start at the same time and need not speak at the same time for ever.
        timer = clock.after((ttlMs / 3) * (0.9 + Math.random() * 0.1), speak);
      } catch (error) {
        if (closing) return;
        log.debug?.("presence.write", { type, index, reason: String(error) });
        if (error instanceof BusError && (error.code === "BUS_NOT_FOUND" || error.code === "BUS_CLOSED")) await buckets.forget().catch(() => undefined);
        timer = clock.after(backoff.ms, speak);
      }
    }
  }
  const back = "transport" in source ? source.transport.on?.((event) => event.type === "connected" && speak()) : undefined;

  async function close(): Promise<void> {
    timer?.[Symbol.dispose]();
    back?.[Symbol.dispose]();
    signal?.removeEventListener("abort", aborted);
    heard.emit("closed");
    const deadline = clock.after(2_000, () => stop.abort());
    const late = new Promise<void>((done) => stop.signal.addEventListener("abort", () => done(), { once: true }));
    // What is on the way must not arrive after the farewell.
    await Promise.race([late, working]);
    if (!stop.signal.aborted)
      await Promise.race([late, buckets.open().then((bucket) => bucket.delete(key, { signal: stop.signal })).catch((error: unknown) => log.debug?.("presence.leave", { type, index, reason: String(error) }))]);
    deadline[Symbol.dispose]();
    stop.abort();
    await buckets.forget().catch(() => undefined);
  }
  const dispose = (): Promise<void> => {
    if (!closing) {
      let start = (): void => undefined;
      closing = new Promise<void>((done) => (start = done)).then(close);
      start();
    }
    return closing;
  };
  const aborted = (): void => void dispose();

  if (signal?.aborted) aborted();
  else signal?.addEventListener("abort", aborted, { once: true });
  speak();
  return {
    uuid,
    get present() {
      return present();
    },
    joined(waitSignal) {
      return new Promise<void>((done, fail) => {
        const settle = (act: () => void): void => {
          listening[Symbol.dispose]();
          waitSignal?.removeEventListener("abort", abort);
          act();
        };
        const abort = (): void => settle(() => fail(waitSignal?.reason as Error));
        const closed = (): void => fail(new BusError("BUS_CLOSED", `${type}/${index} has left`));
        const listening = heard.on((event) => settle(event === "joined" ? done : closed));
        if (waitSignal?.aborted) abort();
        else if (closing) settle(closed);
        else if (writtenMs !== undefined) settle(done);
        else waitSignal?.addEventListener("abort", abort, { once: true });
      });
    },
    update(changes) {
      member = { ...member, ...changes };
      speak();
    },
    [Symbol.asyncDispose]: dispose,
  };
}
