import { randomUUID } from "node:crypto";
import { BusError } from "../errors.ts";
import { assertStoreName } from "../jetstream/api.ts";
import { type Clock, systemClock } from "../ports.ts";
import { assertChunkBytes, assertObjectName, chunked, createDigest, defaultChunkBytes, mismatch } from "./chunks.ts";
import type { ObjectInfo, ObjectStore, ObjectStoreOptions } from "./port.ts";

export interface MemoryObjects {
  /** The same name opens the same store. @throws BusError `BUS_INVALID_KEY` */
  open(name: string, options?: ObjectStoreOptions): Promise<ObjectStore>;
  /** The chunks that a store keeps, by the id of the object: for tests that look at them or damage them. */
  chunks(name: string): Map<string, Uint8Array[]>;
}

interface Shelf {
  readonly objects: Map<string, { readonly info: ObjectInfo; readonly id: string }>;
  readonly chunks: Map<string, Uint8Array[]>;
  gone: boolean;
}

/** Stores of large things within the process: what is put is kept until it is deleted, replaced, or the process ends. */
export function createMemoryObjects({ clock = systemClock }: { clock?: Clock } = {}): MemoryObjects {
  const shelves = new Map<string, Shelf>();
  return {
    open: async (name, options = {}) => {
      assertStoreName(name);
      const shelf = shelves.get(name) ?? { objects: new Map(), chunks: new Map(), gone: false };
      const store = openShelf(name, { shelf, clock, remove: () => shelves.get(name) === shelf && shelves.delete(name) }, options);
      shelves.set(name, shelf);
      return Promise.resolve(store);
    },
    chunks: (name) => shelves.get(name)?.chunks ?? new Map<string, Uint8Array[]>(),
  };
}

function openShelf(name: string, { shelf, clock, remove }: { shelf: Shelf; clock: Clock; remove: () => void }, { chunkBytes = defaultChunkBytes }: ObjectStoreOptions): ObjectStore {
  assertChunkBytes(chunkBytes);
  let closed = false;
  const check = (object?: string): void => {
    if (closed) throw new BusError("BUS_CLOSED", `the object store ${name} is closed`);
    if (shelf.gone) throw new BusError("BUS_NOT_FOUND", `the object store ${name} was removed`);
    if (object !== undefined) assertObjectName(object);
  };
  return {
    name,
    async put(object, source, { signal } = {}) {
      check(object);
      signal?.throwIfAborted();
      const id = randomUUID();
      const kept: Uint8Array[] = [];
      const digest = createDigest();
      let sizeBytes = 0;
      shelf.chunks.set(id, kept);
      try {
        for await (const chunk of chunked(source, chunkBytes, signal)) {
          digest.update(chunk);
          sizeBytes += chunk.length;
          kept.push(chunk);
        }
        check();
      } catch (error) {
        shelf.chunks.delete(id);
        throw error;
      }
      const old = shelf.objects.get(object);
      const info: ObjectInfo = Object.freeze({ name: object, sizeBytes, chunks: kept.length, digest: digest.read(), modifiedMs: clock.now() });
      shelf.objects.set(object, { info, id });
      if (old) shelf.chunks.delete(old.id);
      return info;
    },
    get: async (object, { signal } = {}) => {
      check(object);
      signal?.throwIfAborted();
      const found = shelf.objects.get(object);
      return Promise.resolve(found && { info: found.info, data: read(found.info, shelf.chunks.get(found.id) ?? [], signal) });
    },
    info: async (object) => {
      check(object);
      return Promise.resolve(shelf.objects.get(object)?.info);
    },
    delete: async (object) => {
      check(object);
      const found = shelf.objects.get(object);
      shelf.objects.delete(object);
      if (found) shelf.chunks.delete(found.id);
      return Promise.resolve();
    },
    list: async () => {
      check();
      return Promise.resolve([...shelf.objects.values()].map(({ info }) => info).sort((a, b) => (a.name < b.name ? -1 : 1)));
    },
    destroy: async () => {
      check();
      shelf.gone = true;
      shelf.objects.clear();
      shelf.chunks.clear();
      remove();
      return Promise.resolve();
    },
    [Symbol.asyncDispose]: () => {
      closed = true;
      return Promise.resolve();
    },
  };
}

/** A reader keeps the chunks that were there when it came, whatever is put afterwards. */
async function* read(info: ObjectInfo, chunks: readonly Uint8Array[], signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  const digest = createDigest();
  for (const chunk of chunks) {
    // Somebody else's work goes on between chunks, as it would with a server.
    await Promise.resolve();
    signal?.throwIfAborted();
    digest.update(chunk);
    yield chunk.slice();
  }
  if (digest.read() !== info.digest) throw mismatch(info.name, "its chunks are not those that were put");
}
