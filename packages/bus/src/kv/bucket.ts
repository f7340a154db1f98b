import { BusError } from "../errors.ts";
import type { Clock } from "../ports.ts";
import { assertKey, assertKeyPattern } from "./keys.ts";
import type { Bucket, Entry } from "./port.ts";
import { createBell, type FollowStart, type Store, type StoredChange } from "./store.ts";
import { createWatch } from "./watch.ts";

export interface BucketParts {
  name: string;
  store: Store;
  clock: Clock;
  /** Time to live of every entry of the bucket. */
  ttlMs: number | undefined;
  /** Deadline of a call that reads several entries. */
  timeoutMs: number;
}

/** How often `create` tries again when others write the same key between its two steps. */
const maxAttempts = 20;
const empty = new Uint8Array();

/** The whole of `Bucket` on any store: keys are checked, what has expired counts as absent. */
export function createBucket({ name, store, clock, ttlMs: bucketTtlMs, timeoutMs }: BucketParts): Bucket {
  const watches = new Set<AsyncDisposable>();
  let closed = false;

  const expiresMs = ({ operation, createdMs, ttlMs }: StoredChange): number =>
    createdMs + Math.min(bucketTtlMs ?? Infinity, operation === "put" ? ttlMs ?? Infinity : Infinity);
  const expired = (change: StoredChange): boolean => expiresMs(change) <= store.now();

  const begin = (key: string, signal?: AbortSignal): void => {
    if (closed) throw new BusError("BUS_CLOSED", `bucket ${name} is closed`);
    signal?.throwIfAborted();
    assertKey(key);
  };
  const bytes = (value: Uint8Array | string): Uint8Array => {
    const data = typeof value === "string" ? new TextEncoder().encode(value) : value;
    if (!(data instanceof Uint8Array)) throw new BusError("BUS_INVALID_PAYLOAD", `bucket ${name}: a value is bytes or text`);
    if (data.length > store.maxValueBytes)
      throw new BusError("BUS_PAYLOAD_TOO_LARGE", `bucket ${name}: ${data.length} bytes are more than a value may have (${store.maxValueBytes})`);
    return data;
  };
  const assertTtl = (ttlMs: number | undefined): void => {
    if (ttlMs !== undefined && !(Number.isInteger(ttlMs) && ttlMs > 0))
      throw new BusError("BUS_UNSUPPORTED", `bucket ${name}: ttlMs must be a whole number of milliseconds above 0`);
  };
  const wrongRevision = (key: string, wanted: number, last: StoredChange | undefined): BusError =>
    new BusError("BUS_WRONG_REVISION", `bucket ${name}: the last change of ${key} is ${last ? (expired(last) ? "expired" : `revision ${last.revision}`) : "unknown"}, not revision ${wanted}`);
  /** The store compares revisions but knows nothing of expiry: what has expired is seen here. */
  const assertRevision = async (key: string, revision: number, signal?: AbortSignal): Promise<void> => {
    const last = await store.last(key, signal);
    if ((last?.revision ?? 0) !== revision || (last && expired(last))) throw wrongRevision(key, revision, last);
  };
  const read = async (pattern: string, start: FollowStart, signal?: AbortSignal): Promise<StoredChange[]> => {
    const bell = createBell();
    const late = new BusError("BUS_TIMEOUT", `bucket ${name}: not everything came within ${timeoutMs} ms`, { retryable: true });
    let over: { why: unknown } | undefined;
    const end = (why: unknown): void => {
      over ??= { why };
      bell.ring();
    };
    const aborted = (): void => end(signal?.reason);
    signal?.addEventListener("abort", aborted, { once: true });
    const timer = clock.after(timeoutMs, () => end(late));
    const follower = store.follow(pattern, start, bell.ring);
    try {
      const found: StoredChange[] = [];
      for (;;) {
        const change = follower.take();
        if (change) found.push(change);
        else if (follower.live) return found;
        else if (over) throw over.why;
        else await bell.wait();
      }
    } finally {
      follower.close();
      timer[Symbol.dispose]();
      signal?.removeEventListener("abort", aborted);
    }
  };

  const bucket: Bucket = {
    name,
    async get(key, { signal } = {}) {
      begin(key, signal);
      const last = await store.last(key, signal);
      return last?.operation === "put" && !expired(last) ? entryOf(last) : undefined;
    },
    async put(key, value, { ttlMs, bucketRevision, signal } = {}) {
      begin(key, signal);
      assertTtl(ttlMs);
      return store.append(key, { operation: "put", data: bytes(value), ttlMs, expectedLast: bucketRevision }, signal);
    },
    async create(key, value, { ttlMs, bucketRevision, signal } = {}) {
      begin(key, signal);
      assertTtl(ttlMs);
      const data = bytes(value);
      let expected = 0;
      for (let attempt = 0; ; attempt++) {
        try {
          return await store.append(key, { operation: "put", data, ttlMs, expected, expectedLast: bucketRevision }, signal);
        } catch (error) {
          if (!isWrongRevision(error) || attempt === maxAttempts) throw error;
        }
        const last = await store.last(key, signal);
        if (last?.operation === "put" && !expired(last))
          throw new BusError("BUS_KEY_EXISTS", `bucket ${name}: ${key} is there, with revision ${last.revision}`);
        const next = last?.revision ?? 0;
        if (next === expected && bucketRevision !== undefined) throw new BusError("BUS_WRONG_REVISION", `bucket ${name}: revision ${bucketRevision} is not the last`);
        expected = next;
      }
    },
    async update(key, value, revision, { ttlMs, bucketRevision, signal } = {}) {
      begin(key, signal);
      assertTtl(ttlMs);
      const data = bytes(value);
      await assertRevision(key, revision, signal);
      return store.append(key, { operation: "put", data, ttlMs, expected: revision, expectedLast: bucketRevision }, signal);
    },
    async delete(key, { revision, bucketRevision, signal } = {}) {
      begin(key, signal);
      if (revision !== undefined) await assertRevision(key, revision, signal);
      await store.append(key, { operation: "delete", data: empty, expected: revision, expectedLast: bucketRevision }, signal);
    },
    async purge(key, { signal } = {}) {
      begin(key, signal);
      await store.append(key, { operation: "purge", data: empty }, signal);
    },
    async revision({ signal } = {}) {
      begin("revision", signal);
      return store.revision(signal);
    },
    async keys(pattern = ">", { signal } = {}) {
      begin("keys", signal);
      assertKeyPattern(pattern);
      const last = new Map<string, StoredChange>();
      for (const change of await read(pattern, "last", signal)) last.set(change.key, change);
      return [...last.values()].filter((change) => change.operation === "put" && !expired(change)).map(({ key }) => key);
    },
    async history(key, { signal } = {}) {
      begin(key, signal);
      return (await read(key, "all", signal)).filter((change) => !expired(change)).map(entryOf);
    },
    watch(options = {}) {
      begin("watch");
      assertKeyPattern(options.key ?? ">");
      const watch = createWatch({ ...options, store, clock, expiresMs, onEnd: () => void watches.delete(watch) });
      watches.add(watch);
      return watch;
    },
    async destroy({ signal } = {}) {
      begin("destroy", signal);
      await store.destroy(signal);
    },
    async [Symbol.asyncDispose]() {
      if (closed) return;
      closed = true;
      await Promise.all([...watches].map((watch) => watch[Symbol.asyncDispose]()));
      store.close();
    },
  };
  return bucket;
}

const isWrongRevision = (error: unknown): boolean => error instanceof BusError && error.code === "BUS_WRONG_REVISION";

const entryOf = ({ key, data, revision, operation, createdMs }: StoredChange): Entry => ({ key, value: data, revision, operation, createdMs });
