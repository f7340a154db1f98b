import { BusError } from "../errors.ts";
import type { Clock } from "../ports.ts";
import type { Bucket, BucketOptions } from "./port.ts";

/** A bus, as far as buckets need it. */
export interface BucketCarrier {
  readonly transport: {
    openBucket?(name: string, options?: BucketOptions): Promise<Bucket>;
    /** Tells `connected` when the bus is back. */
    on?(listen: (event: { readonly type: string }) => void): Disposable;
  };
}

/**
 * Opens a bucket on the carrier of a bus; makes it where there is none.
 * @throws BusError `BUS_UNSUPPORTED` where the carrier keeps no state, or the bucket exists with other options; `BUS_INVALID_KEY`, `BUS_DISCONNECTED`, `BUS_TIMEOUT`
 */
export async function openBucket(bus: BucketCarrier, name: string, options: BucketOptions = {}): Promise<Bucket> {
  if (!bus.transport.openBucket) throw new BusError("BUS_UNSUPPORTED", "this carrier of the bus keeps no state: use NATS with JetStream or the transport within one process");
  return bus.transport.openBucket(name, options);
}

/** Where parts that live long get their bucket from, again when it was lost. One that was handed in is not closed. */
export interface BucketHolder {
  open(): Promise<Bucket>;
  /** Forgets a bucket that failed, so that `open` makes a new one. */
  forget(): Promise<void>;
}

export function holdBucket(source: Bucket | BucketCarrier, name: string, options: BucketOptions): BucketHolder {
  if (!("transport" in source)) return { open: () => Promise.resolve(source), forget: () => Promise.resolve() };
  let opened: Bucket | undefined;
  return {
    open: async () => (opened ??= await openBucket(source, name, options)),
    async forget() {
      const last = opened;
      opened = undefined;
      await last?.[Symbol.asyncDispose]();
    },
  };
}

/** Runs a part that must not end by itself: again after every failure, waiting longer each time. */
export function createBackoff({ minMs, maxMs }: { minMs: number; maxMs: number }): { readonly ms: number; reset(): void } {
  let next = minMs;
  return {
    get ms() {
      const now = next;
      next = Math.min(maxMs, next * 2);
      return now * (0.75 + Math.random() / 2);
    },
    reset() {
      next = minMs;
    },
  };
}

/** Resolves after `ms`, or when the signal says that nobody waits any more. */
export function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((done) => {
    const end = (): void => {
      timer[Symbol.dispose]();
      signal.removeEventListener("abort", end);
      done();
    };
    const timer = clock.after(ms, end);
    signal.addEventListener("abort", end, { once: true });
  });
}
