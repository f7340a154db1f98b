import type { Bucket, WatchEvent } from "../kv/port.ts";
import type { ObjectStore } from "../objects/port.ts";
import type { Job, WorkQueue } from "../queue/port.ts";
import type { Remote } from "./remote.ts";

type Stream<T> = AsyncIterable<T> & AsyncDisposable;

/** What comes from the shared state, one by one over the network. `onLost`: `wait` until it gets through, or `skip`. */
function carried<T>(source: Stream<T>, remote: Remote, { what, onLost, ended }: { what: string; onLost: "wait" | "skip"; ended: () => boolean }): Stream<T> {
  async function* run(): AsyncGenerator<T, void, undefined> {
    for await (const item of source) {
      let there = await remote.bring(what);
      while (!there && onLost === "wait" && !ended()) {
        await remote.pause();
        there = await remote.bring(what);
      }
      if (there) yield item;
    }
  }
  const items = run();
  return {
    [Symbol.asyncIterator]: () => items,
    [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
  };
}

/** A bucket as one node reaches it. A watch misses nothing: what could not be brought comes when the way is free again. */
export function remoteBucket(inner: Bucket, remote: Remote, isClosed: () => boolean): Bucket {
  const { name } = inner;
  let closed = false;
  const call = <T>(verb: string, key: string, run: () => Promise<T>, signal?: AbortSignal): Promise<T> =>
    closed ? run() : remote.call(`${name}/${key} ${verb}`, run, signal);
  return {
    name,
    get: (key, options = {}) => call("get", key, () => inner.get(key), options.signal),
    put: (key, value, { signal, ...options } = {}) => call("put", key, () => inner.put(key, value, options), signal),
    create: (key, value, { signal, ...options } = {}) => call("create", key, () => inner.create(key, value, options), signal),
    update: (key, value, revision, { signal, ...options } = {}) => call(`update ${revision}`, key, () => inner.update(key, value, revision, options), signal),
    delete: (key, { signal, ...options } = {}) => call("delete", key, () => inner.delete(key, options), signal),
    purge: (key, { signal } = {}) => call("purge", key, () => inner.purge(key), signal),
    keys: (pattern) => call("keys", pattern ?? ">", () => inner.keys(pattern)),
    history: (key) => call("history", key, () => inner.history(key)),
    watch(options = {}): Stream<WatchEvent> {
      return carried(inner.watch(options), remote, { what: `${name}/${options.key ?? ">"} watch`, onLost: "wait", ended: () => isClosed() || closed || options.signal?.aborted === true });
    },
    destroy: () => call("destroy", "", () => inner.destroy()),
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
  async function* jobs(source: Stream<Job>, ended: () => boolean): AsyncGenerator<Job, void, undefined> {
    for await (const job of carried(source, remote, { what: `${name} take`, onLost: "skip", ended })) {
      yield {
        data: job.data,
        headers: job.headers,
        delivery: job.delivery,
        ack: () => remote.call(`${name} ack`, () => job.ack()),
        retry: (delayMs) => remote.tell(`${name} retry`, () => job.retry(delayMs)),
        working: () => remote.tell(`${name} working`, () => job.working()),
        giveUp: () => remote.tell(`${name} give up`, () => job.giveUp()),
      };
    }
  }
  return {
    name,
    add: (data, { signal, ...options } = {}) => remote.call(`${name} add${options.id === undefined ? "" : ` ${options.id}`}`, () => inner.add(data, options), signal),
    take(options = {}) {
      const source = inner.take(options);
      const items = jobs(source, isClosed);
      return { [Symbol.asyncIterator]: () => items, [Symbol.asyncDispose]: () => source[Symbol.asyncDispose]() };
    },
    pending: () => remote.call(`${name} pending`, () => inner.pending()),
    destroy: () => remote.call(`${name} destroy`, () => inner.destroy()),
    [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
  };
}
