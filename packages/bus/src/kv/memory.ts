import { BusError } from "../errors.ts";
import { type Clock, systemClock } from "../ports.ts";
import { matches } from "../subject.ts";
import { createBucket } from "./bucket.ts";
import { assertBucketName, assertBucketOptions, assertSameOptions } from "./keys.ts";
import type { Bucket, BucketOptions } from "./port.ts";
import type { Change, FollowStart, Follower, Store, StoredChange } from "./store.ts";

export interface MemoryBucketsOptions {
  /** Stamps entries and lets them expire. Default: the system's. */
  clock?: Clock;
  /** Largest value in bytes. Default 1 MiB less what headers need, as with a NATS server. */
  maxValueBytes?: number;
}

/** The buckets of one process: whoever opens a name sees the same entries. */
export interface MemoryBuckets {
  /** @throws BusError `BUS_INVALID_KEY`, `BUS_UNSUPPORTED` when the bucket exists with other options */
  open(name: string, options?: BucketOptions): Promise<Bucket>;
}

/** The in-process twin of JetStream KV: same rules, same order, same expiry, nothing to install. It ends with the process. */
export function createMemoryBuckets({ clock = systemClock, maxValueBytes = 1_048_064 }: MemoryBucketsOptions = {}): MemoryBuckets {
  const logs = new Map<string, ChangeLog>();
  return {
    async open(name, options = {}) {
      assertBucketName(name);
      assertBucketOptions(name, options);
      let log = logs.get(name);
      if (log) assertSameOptions(name, options, log.options);
      else {
        log = createChangeLog(name, options, clock);
        logs.set(name, log);
      }
      const own = log;
      const store = storeOn(name, own, { clock, maxValueBytes, onDestroy: () => void (logs.get(name) === own && logs.delete(name)) });
      return createBucket({ name, store, clock, ttlMs: own.options.ttlMs, timeoutMs: 5_000 });
    },
  };
}

interface ChangeLog {
  readonly options: BucketOptions & { history: number };
  readonly revision: number;
  readonly destroyed: boolean;
  readonly bells: Set<() => void>;
  append(key: string, change: Change): number;
  kept(key: string): readonly StoredChange[];
  /** Last changes of all keys, in the order of revisions. */
  latest(): StoredChange[];
  /** The first kept change after a revision. */
  after(revision: number): Iterable<StoredChange>;
  destroy(): void;
}

function createChangeLog(name: string, { ttlMs, history = 1, replicas = 1 }: BucketOptions, clock: Clock): ChangeLog {
  const byKey = new Map<string, StoredChange[]>();
  const bells = new Set<() => void>();
  // In the order of revisions; what was forgotten stays in until half of it is forgotten.
  let line: StoredChange[] = [];
  const forgotten = new Set<StoredChange>();
  let revision = 0;
  let destroyed = false;

  const forget = (change: StoredChange): void => {
    forgotten.add(change);
    const kept = byKey.get(change.key) as StoredChange[];
    kept.splice(kept.indexOf(change), 1);
    if (kept.length === 0) byKey.delete(change.key);
  };
  const tidy = (): void => {
    if (ttlMs !== undefined) for (const change of line) if (change.createdMs + ttlMs > clock.now()) break; else if (!forgotten.has(change)) forget(change);
    if (forgotten.size < 64 || forgotten.size * 2 < line.length) return;
    line = line.filter((change) => !forgotten.has(change));
    forgotten.clear();
  };
  return {
    options: { ...(ttlMs !== undefined && { ttlMs }), history, replicas },
    bells,
    get revision() {
      return revision;
    },
    get destroyed() {
      return destroyed;
    },
    append(key, { operation, data, ttlMs: ownTtlMs, expected, expectedLast }) {
      if (destroyed) throw gone(name);
      tidy();
      const last = byKey.get(key)?.at(-1)?.revision ?? 0;
      if (expected !== undefined && expected !== last)
        throw new BusError("BUS_WRONG_REVISION", `bucket ${name}: the last change of ${key} is revision ${last}, not ${expected}`);
      if (expectedLast !== undefined && expectedLast !== revision)
        throw new BusError("BUS_WRONG_REVISION", `bucket ${name}: its last change is revision ${revision}, not ${expectedLast}`);
      const change: StoredChange = { key, data: data.slice(), revision: ++revision, operation, createdMs: clock.now(), ttlMs: ownTtlMs };
      const limit = operation === "purge" ? 0 : history - 1;
      for (const old of [...(byKey.get(key) ?? [])].slice(0, Math.max(0, (byKey.get(key)?.length ?? 0) - limit))) forget(old);
      const kept = byKey.get(key);
      if (kept) kept.push(change);
      else byKey.set(key, [change]);
      line.push(change);
      for (const ring of [...bells]) ring();
      return revision;
    },
    kept: (key) => byKey.get(key) ?? [],
    latest: () => [...byKey.values()].map((kept) => kept.at(-1) as StoredChange).sort((a, b) => a.revision - b.revision),
    *after(from) {
      let low = 0;
      let high = line.length;
      while (low < high) {
        const middle = (low + high) >>> 1;
        if ((line[middle] as StoredChange).revision <= from) low = middle + 1;
        else high = middle;
      }
      for (const at = line; low < at.length; low++) if (!forgotten.has(at[low] as StoredChange)) yield at[low] as StoredChange;
    },
    destroy() {
      if (destroyed) throw gone(name);
      destroyed = true;
      byKey.clear();
      line = [];
      for (const ring of [...bells]) ring();
    },
  };
}

const gone = (name: string): BusError => new BusError("BUS_NOT_FOUND", `bucket ${name} was destroyed: open it again`);
const copy = (change: StoredChange): StoredChange => ({ ...change, data: change.data.slice() });

function storeOn(name: string, log: ChangeLog, { clock, maxValueBytes, onDestroy }: { clock: Clock; maxValueBytes: number; onDestroy: () => void }): Store {
  const assertThere = (): void => {
    if (log.destroyed) throw gone(name);
  };
  return {
    maxValueBytes,
    now: () => clock.now(),
    append: async (key, change) => log.append(key, change),
    async last(key) {
      assertThere();
      const last = log.kept(key).at(-1);
      return last && copy(last);
    },
    async revision() {
      assertThere();
      return log.revision;
    },
    follow: (pattern, start, ring) => follow(log, { pattern, start, ring, assertThere }),
    async destroy() {
      log.destroy();
      onDestroy();
    },
    close() {},
  };
}

/** A place in the log and no queue: what is overwritten before it is read is not read. */
function follow(log: ChangeLog, { pattern, start, ring, assertThere }: { pattern: string; start: FollowStart; ring: () => void; assertThere: () => void }): Follower {
  let first = start === "last" ? log.latest().filter(({ key }) => matches(pattern, key)) : [];
  let at = typeof start === "number" ? start - 1 : start === "all" ? 0 : log.revision;
  const peek = (): StoredChange | undefined => {
    for (const change of log.after(at))
      if (matches(pattern, change.key)) return change;
      else at = change.revision;
    return undefined;
  };
  log.bells.add(ring);
  return {
    take() {
      assertThere();
      const initial = first.shift();
      if (initial) return copy(initial);
      const change = peek();
      if (!change) return undefined;
      at = change.revision;
      return copy(change);
    },
    get live() {
      return !log.destroyed && first.length === 0 && peek() === undefined;
    },
    close() {
      log.bells.delete(ring);
      first = [];
    },
  };
}
