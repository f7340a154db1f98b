/** A change as a store keeps it. An expiry is never stored: it follows from `createdMs` and `ttlMs`. */
export interface StoredChange {
  readonly key: string;
  readonly data: Uint8Array;
  readonly revision: number;
  readonly operation: "put" | "delete" | "purge";
  readonly createdMs: number;
  readonly ttlMs: number | undefined;
}

export interface Change {
  readonly operation: "put" | "delete" | "purge";
  readonly data: Uint8Array;
  readonly ttlMs?: number | undefined;
  /** Revision that the last change of the key must have; 0: none is kept. */
  readonly expected?: number | undefined;
  /** Revision that the last change of the whole store must have. */
  readonly expectedLast?: number | undefined;
}

/** Where a follower starts: with the last change of each key, with all that is kept, with what comes, or with a revision. */
export type FollowStart = "last" | "all" | "new" | number;

/** Reads a store in the order of revisions. It holds a bounded number of changes; whoever reads slowly misses only what the store forgets. */
export interface Follower {
  /** The next change if there is one now. @throws the error that ended it */
  take(): StoredChange | undefined;
  /** True when all that the store has was taken; false while the store is out of reach. */
  readonly live: boolean;
  close(): void;
}

/**
 * What a carrier of buckets implements: a log of changes by key with a conditional append.
 * Expiry, validation and the whole of `Bucket` are built on it once, in `bucket.ts`, so that all carriers behave alike.
 */
export interface Store {
  readonly maxValueBytes: number;
  /** The clock that stamps `createdMs`, in ms since the epoch. */
  now(): number;
  /** @returns the revision. @throws BusError `BUS_WRONG_REVISION` where `expected` is not met */
  append(key: string, change: Change, signal?: AbortSignal): Promise<number>;
  last(key: string, signal?: AbortSignal): Promise<StoredChange | undefined>;
  /** Revision of the last change of all. */
  revision(signal?: AbortSignal): Promise<number>;
  /** `ring` is called whenever `take` or `live` may have changed. */
  follow(pattern: string, start: FollowStart, ring: () => void): Follower;
  destroy(signal?: AbortSignal): Promise<void>;
  close(): void;
}

/** Wakes whoever waits. */
export interface Bell {
  ring(): void;
  wait(): Promise<void>;
}

export function createBell(): Bell {
  let waiting: (() => void)[] = [];
  return {
    ring() {
      const all = waiting;
      waiting = [];
      for (const wake of all) wake();
    },
    wait: () => new Promise<void>((done) => waiting.push(done)),
  };
}
