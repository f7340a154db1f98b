import type { Bucket } from "../kv/port.ts";
import type { ObjectStore } from "../objects/port.ts";
import type { Job, WorkQueue } from "../queue/port.ts";
import type { Remote } from "./remote.ts";

type Stream<T> = AsyncIterable<T> & AsyncDisposable;

interface Way<T> {
  readonly what: string;
  /** What becomes of an item that could not be brought: it comes when the way is free again, or never. */
  readonly onLost: "wait" | "skip";
  readonly isClosed: () => boolean;
  readonly hand?: (item: T) => T;
}

/** What comes from the shared state, one by one over the network. */
function carried<T>(source: Stream<T>, remote: Remote, { what, onLost, isClosed, hand = (item) => item }: Way<T>): AsyncIterableIterator<T> & AsyncDisposable {
  const items = source[Symbol.asyncIterator]();
  let left = false;
  const over = { done: true, value: undefined } as const;
  const arrives = async (): Promise<boolean> => {
    while (!(await remote.bring(what))) {
      if (onLost === "skip" || left || isClosed()) return false;
      await remote.pause();
    }
    return !left;
  };
  const iterator: AsyncIterableIterator<T> & AsyncDisposable = {
    async next() {
      for (;;) {
        const next = await items.next();
        if (next.done || left) return over;
        if (await arrives()) return { done: false, value: hand(next.value) };
      }
    },
    async return() {
      left = true;
      await items.return?.();
      return over;
    },
    [Symbol.asyncIterator]: () => iterator,
    [Symbol.asyncDispose]() {
      left = true;
      return source[Symbol.asyncDispose]();
    },
  };
  return iterator;
}

/** A bucket as one node reaches it. A watch misses nothing: what could not be brought comes when the way is free again. */
export function remoteBucket(inner: Bucket, remote: Remote, isClosed: () => boolean): Bucket {
  const { name } = inner;
  let closed = false;
  const call = <T>(verb: string, key: string, run: () => Promise<T>, signal?: AbortSignal): Promise<T> =>
    closed ? run() : remote.call(`${name}/${key} ${verb}`, run, signal);
  return {
    name,
    get: (key, { signal, ...rest } = {}) => call("get", key, () => inner.get(key, rest), signal),
    put: (key, value, { signal, ...rest } = {}) => call("put", key, () => inner.put(key, value, rest), signal),
    create: (key, value, { signal, ...rest } = {}) => call("create", key, () => inner.create(key, value, rest), signal),
    update: (key, value, revision, { signal, ...rest } = {}) => call(`update ${revision}`, key, () => inner.update(key, value, revision, rest), signal),
    delete: (key, { signal, ...rest } = {}) => call("delete", key, () => inner.delete(key, rest), signal),
    purge: (key, { signal, ...rest } = {}) => call("purge", key, () => inner.purge(key, rest), signal),
    revision: ({ signal, ...rest } = {}) => call("revision", "", () => inner.revision(rest), signal),
    keys: (pattern, { signal, ...rest } = {}) => call("keys", pattern ?? ">", () => inner.keys(pattern, rest), signal),
    history: (key, { signal, ...rest } = {}) => call("history", key, () => inner.history(key, rest), signal),
    watch(options = {}) {
      const isOver = (): boolean => isClosed() || closed || options.signal?.aborted === true;
      return carried(inner.watch(options), remote, { what: `${name}/${options.key ?? ">"} watch`, onLost: "wait", isClosed: isOver });
    },
    destroy: ({ signal, ...rest } = {}) => call("destroy", "", () => inner.destroy(rest), signal),
    [Symbol.asyncDispose]() {
      closed = true;
      return inner[Symbol.asyncDispose]();
    },
  };
}

/** An object store as one node reaches it. The contents go at once; the question whether it was done takes the network. */
export function remoteObjects(inner: ObjectStore, remote: Remote): ObjectStore {
  const { name } = inner;
  return {
    name,
    put: (key, source, options) => remote.call(`${name}/${key} put`, () => inner.put(key, source, options), options?.signal),
    get: (key, options) => remote.call(`${name}/${key} get`, () => inner.get(key, options), options?.signal),
    info: (key) => remote.call(`${name}/${key} info`, () => inner.info(key)),
    delete: (key) => remote.call(`${name}/${key} delete`, () => inner.delete(key)),
    list: () => remote.call(`${name} list`, () => inner.list()),
    destroy: () => remote.call(`${name} destroy`, () => inner.destroy()),
    [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
  };
}

/** A work queue as one node reaches it. A job that gets lost on its way comes again after the ack wait, as does one whose acknowledgement got lost. */
export function remoteQueue(inner: WorkQueue, remote: Remote, isClosed: () => boolean): WorkQueue {
  const { name } = inner;
  const hand = (job: Job): Job => ({
    data: job.data,
    headers: job.headers,
    delivery: job.delivery,
    ack: () => remote.call(`${name} ack`, () => job.ack()),
    retry: (delayMs) => remote.tell(`${name} retry`, () => job.retry(delayMs)),
    working: () => remote.tell(`${name} working`, () => job.working()),
    giveUp: () => remote.tell(`${name} give up`, () => job.giveUp()),
  });
  return {
    name,
    add: (data, { signal, ...options } = {}) => remote.call(`${name} add${options.id === undefined ? "" : ` ${options.id}`}`, () => inner.add(data, options), signal),
    take: (options = {}) => carried(inner.take(options), remote, { what: `${name} take`, onLost: "skip", isClosed, hand }),
    pending: () => remote.call(`${name} pending`, () => inner.pending()),
    destroy: () => remote.call(`${name} destroy`, () => inner.destroy()),
    [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
  };
}
