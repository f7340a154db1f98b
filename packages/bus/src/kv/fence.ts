import { BusError } from "../errors.ts";
import { headerNames, type HeadersInit } from "../headers.ts";
import { type Clock, systemClock } from "../ports.ts";
import type { Bucket, DeleteOptions, WriteOptions } from "./port.ts";

/** The right to act under a lease: its name and the fencing number of one hold. */
export interface FenceToken {
  readonly name: string;
  readonly number: number;
}

/** Refuses whoever acts under a fencing number that has been surpassed. */
export interface Fence {
  /**
   * Takes the headers of a message, their text `name=number`, or both apart.
   * @throws BusError `BUS_FENCED` for a lower number than the highest seen of that name, and for none at all
   */
  admit(given: HeadersInit | string | FenceToken | undefined): void;
  /** The highest number seen of a name. */
  highest(name: string): number | undefined;
}

export interface FenceOptions {
  /** Names that are remembered; the one not heard of for longest is forgotten first. Default 1 024. */
  maxNames?: number;
  /** Admits what carries no number at all, from senders that know no leases. Default false. */
  optional?: boolean;
  /**
   * A number not heard of for so long counts no more. A store that was wiped begins again with low numbers; without this its new leaders
   * would be refused for ever. Choose many times the time limit of the lease. Default: never.
   */
  forgetAfterMs?: number;
  clock?: Clock;
}

/** For receivers: the late message of a leader that was paused comes with a lower number than its successor's and is refused. */
export function createFence({ maxNames = 1_024, optional = false, forgetAfterMs = Infinity, clock = systemClock }: FenceOptions = {}): Fence {
  const seen = new Map<string, { readonly number: number; readonly atMs: number }>();
  return {
    admit(given) {
      const token = tokenOf(given);
      if (token === undefined) {
        if (optional) return;
        throw new BusError("BUS_FENCED", "the message carries no fencing number: only who holds the lease may send it");
      }
      const { name, number } = token;
      const highest = seen.get(name);
      if (highest !== undefined && number < highest.number && clock.now() - highest.atMs <= forgetAfterMs) throw surpassed(token, highest.number);
      seen.delete(name);
      seen.set(name, { number, atMs: clock.now() });
      if (seen.size > maxNames) seen.delete(seen.keys().next().value as string);
    },
    highest: (name) => seen.get(name)?.number,
  };
}

const surpassed = ({ name, number }: FenceToken, highest: number): BusError =>
  new BusError("BUS_FENCED", `lease ${name}: fencing number ${number} was surpassed by ${highest}`);

/** @throws BusError `BUS_FENCED` for what is there and unreadable */
function tokenOf(given: HeadersInit | string | FenceToken | undefined): FenceToken | undefined {
  if (given === undefined) return undefined;
  if (isToken(given)) return checked(given.name, given.number);
  const value = typeof given === "string" ? given : given[headerNames.fence];
  const text = typeof value === "string" ? value : value?.[0];
  if (text === undefined) return undefined;
  const at = text.lastIndexOf("=");
  const digits = text.slice(at + 1);
  return checked(text.slice(0, Math.max(0, at)), /^\d+$/.test(digits) ? Number(digits) : NaN);
}
const isToken = (given: object | string): given is FenceToken => typeof given === "object" && typeof (given as FenceToken).number === "number";
function checked(name: string, number: number): FenceToken {
  if (name === "" || name.length > 1_024 || !Number.isSafeInteger(number) || number < 0)
    throw new BusError("BUS_FENCED", "the fencing number is unreadable: NAME=NUMBER is needed");
  return { name, number };
}

/** Who writes: a lease, or one hold of it. */
export type FenceSource = FenceToken | { readonly name: string; readonly fencing: number | undefined };

/** The writing half of a bucket; every call may also end with BusError `BUS_FENCED` or `BUS_LEASE_LOST`. */
export interface FencedWriter {
  put(key: string, value: Uint8Array | string, options?: FencedWriteOptions): Promise<number>;
  create(key: string, value: Uint8Array | string, options?: FencedWriteOptions): Promise<number>;
  update(key: string, value: Uint8Array | string, revision: number, options?: FencedWriteOptions): Promise<number>;
  delete(key: string, options?: Omit<DeleteOptions, "bucketRevision">): Promise<void>;
}
export type FencedWriteOptions = Omit<WriteOptions, "bucketRevision">;

/** Others may write the bucket in between so often. */
const maxAttempts = 50;

/**
 * Writes that the store itself refuses when they come late. The highest number that ever wrote is kept in the bucket (key `fence/NAME`),
 * and every write depends on the last revision of the whole bucket: whatever a successor wrote, in particular its number, makes an
 * older leader's write fail, however long it was on its way. Meant for buckets with few writers: one leader alone needs one request a write.
 */
export function fencedWriter(bucket: Bucket, source: FenceSource): FencedWriter {
  const key = `fence/${source.name}`;
  // Up to this revision nothing in the bucket is unknown here, and the number under which that was found out.
  let known: { revision: number; number: number } | undefined;

  const numberNow = (): number => {
    const number = "number" in source ? source.number : source.fencing;
    if (number === undefined) throw new BusError("BUS_LEASE_LOST", `lease ${source.name} is not held`, { retryable: true });
    return number;
  };
  /** Finds the last revision at which this number is the highest, and makes it so where it is higher. */
  const learn = async (number: number, signal?: AbortSignal): Promise<number> => {
    const options = signal ? { signal } : {};
    const revision = await bucket.revision(options);
    const entry = await bucket.get(key, options);
    const highest = entry && Number(new TextDecoder().decode(entry.value));
    if (highest !== undefined && !(number >= highest)) throw surpassed({ name: source.name, number }, highest);
    return highest === number ? revision : bucket.put(key, String(number), { ...options, bucketRevision: revision });
  };
  // One after the other: two at once would only be in each other's way.
  let line: Promise<unknown> = Promise.resolve();
  const write = <T>(run: (bucketRevision: number) => Promise<T>, revisionOf: (result: T) => number | undefined, signal?: AbortSignal): Promise<T> => {
    const result = line.then(() => writeNow(run, revisionOf, signal));
    line = result.catch(() => undefined);
    return result;
  };
  const writeNow = async <T>(run: (bucketRevision: number) => Promise<T>, revisionOf: (result: T) => number | undefined, signal?: AbortSignal): Promise<T> => {
    for (let attempt = 1; ; attempt++) {
      const number = numberNow();
      try {
        const at: number = known?.number === number ? known.revision : await learn(number, signal);
        known = { revision: at, number };
        const result = await run(at);
        const revision = revisionOf(result);
        known = revision === undefined ? undefined : { revision, number };
        return result;
      } catch (error) {
        const stale = error instanceof BusError && error.code === "BUS_WRONG_REVISION" && (known === undefined || (await bucket.revision(signal ? { signal } : {})) !== known.revision);
        known = undefined;
        if (!stale || attempt === maxAttempts) throw error;
      }
    }
  };
  return {
    put: (name, value, options = {}) => write((bucketRevision) => bucket.put(name, value, { ...options, bucketRevision }), (revision) => revision, options.signal),
    create: (name, value, options = {}) => write((bucketRevision) => bucket.create(name, value, { ...options, bucketRevision }), (revision) => revision, options.signal),
    update: (name, value, revision, options = {}) => write((bucketRevision) => bucket.update(name, value, revision, { ...options, bucketRevision }), (next) => next, options.signal),
    delete: (name, options = {}) => write((bucketRevision) => bucket.delete(name, { ...options, bucketRevision }), () => undefined, options.signal),
  };
}
