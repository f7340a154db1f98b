/** One change of a key. `revision` grows with every change of the bucket, over restarts too. */
export interface Entry {
  readonly key: string;
  readonly value: Uint8Array;
  readonly revision: number;
  /** `delete` keeps the history of a key, `purge` does not; `expire` is a time to live that ran out. */
  readonly operation: "put" | "delete" | "purge" | "expire";
  /** Milliseconds since the epoch, by the clock of the store. */
  readonly createdMs: number;
}

export interface BucketOptions {
  /** Every key goes away so long after it was last written. Default: never. */
  ttlMs?: number;
  /** Changes kept for each key, 1 to 64. Default 1. */
  history?: number;
  /** Copies in a cluster. Default 1. */
  replicas?: number;
}

/** A watcher's item: a change, or the moment from which all that follows is new. */
export type WatchEvent = { readonly type: "entry"; readonly entry: Entry } | { readonly type: "current" };

export interface WatchOptions {
  /** Keys to watch; `*` and `>` as in subjects. Default `>`. */
  key?: string;
  /** `last` gives the value of each key first (default), `history` all kept changes, `updates` only what comes. A change that is overwritten before it is read may be left out. */
  include?: "last" | "history" | "updates";
  /** Starts with this revision in place of `include`. */
  fromRevision?: number;
  signal?: AbortSignal;
}

export interface ReadOptions {
  signal?: AbortSignal;
}

export interface WriteOptions {
  /** The key goes away so long after this write, unless it is written again. */
  ttlMs?: number;
  /** Only where the last change of the whole bucket has this revision, of whatever key. */
  bucketRevision?: number;
  signal?: AbortSignal;
}

export interface DeleteOptions {
  /** Only where the last change of the key has this revision. */
  revision?: number;
  bucketRevision?: number;
  signal?: AbortSignal;
}

/** Shared state by key, with compare-and-set (NATS JetStream KV, ADR-8; where Cloud Foundry used Consul and etcd). */
export interface Bucket extends AsyncDisposable {
  readonly name: string;
  /** @throws BusError `BUS_INVALID_KEY` (as every method), `BUS_DISCONNECTED`, `BUS_TIMEOUT` */
  get(key: string, options?: ReadOptions): Promise<Entry | undefined>;
  /** @returns the new revision. @throws BusError `BUS_WRONG_REVISION` where `bucketRevision` is not met */
  put(key: string, value: Uint8Array | string, options?: WriteOptions): Promise<number>;
  /** Only where the key is absent, deleted or expired. @throws BusError `BUS_KEY_EXISTS` */
  create(key: string, value: Uint8Array | string, options?: WriteOptions): Promise<number>;
  /** Only where the last change of the key has this revision. @throws BusError `BUS_WRONG_REVISION` */
  update(key: string, value: Uint8Array | string, revision: number, options?: WriteOptions): Promise<number>;
  /** Leaves a marker. With `revision` only where the last change has it. @throws BusError `BUS_WRONG_REVISION` */
  delete(key: string, options?: DeleteOptions): Promise<void>;
  /** Forgets the history of the key too. */
  purge(key: string, options?: ReadOptions): Promise<void>;
  /** Revision of the last change of the whole bucket; 0 when there was none. */
  revision(options?: ReadOptions): Promise<number>;
  /** Keys that have a value. */
  keys(pattern?: string, options?: ReadOptions): Promise<string[]>;
  /** Oldest first, as many as the bucket keeps. */
  history(key: string, options?: ReadOptions): Promise<Entry[]>;
  /** Goes on over reconnects. Ends quietly with its signal, its bucket and its connection. @throws BusError `BUS_NOT_FOUND` while iterating, when the bucket was destroyed */
  watch(options?: WatchOptions): AsyncIterable<WatchEvent> & AsyncDisposable;
  /** Removes the bucket with all that is in it. */
  destroy(options?: ReadOptions): Promise<void>;
}
