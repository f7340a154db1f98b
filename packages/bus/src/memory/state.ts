import { BusError } from "../errors.ts";
import type { Bucket, BucketOptions } from "../kv/port.ts";
import type { MemoryObjects } from "../objects/memory.ts";
import type { ObjectStore, ObjectStoreOptions } from "../objects/port.ts";
import type { Clock } from "../ports.ts";
import type { WorkQueue, WorkQueueOptions } from "../queue/port.ts";
import type { Transport } from "../transport.ts";

/** What a hub keeps beside messages. Loaded with the first use: a bus without state carries nothing of it. */
export interface MemoryState {
  bucket(asker: Transport, name: string, options?: BucketOptions): Promise<Bucket>;
  objects(asker: Transport, name: string, options?: ObjectStoreOptions): Promise<ObjectStore>;
  queue(asker: Transport, name: string, options?: WorkQueueOptions): Promise<WorkQueue>;
}

export function createMemoryState({ clock, maxPayloadBytes, objects }: { clock: Clock; maxPayloadBytes: number; objects: MemoryObjects | undefined }): MemoryState {
  const buckets = once(async () => (await import("../kv/memory.ts")).createMemoryBuckets({ clock }));
  const stores = once(async () => objects ?? (await import("../objects/memory.ts")).createMemoryObjects({ clock }));
  const queues = once(async () => (await import("../queue/memory.ts")).createMemoryQueues({ clock, maxPayloadBytes }));
  return {
    async bucket(asker, name, options) {
      assertThere(asker);
      return seenFrom(asker, await (await buckets()).open(name, options));
    },
    async objects(asker, name, options) {
      assertThere(asker);
      return seenFrom(asker, await (await stores()).open(name, options));
    },
    async queue(asker, name, options) {
      assertThere(asker);
      return seenFrom(asker, await (await queues()).open(name, options));
    },
  };
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}

function assertThere({ status }: Transport): void {
  if (status === "closed") throw new BusError("BUS_CLOSED", "this connection to the bus is closed");
  if (status !== "connected") throw new BusError("BUS_DISCONNECTED", "the bus is away", { retryable: true });
}

/** Who is cut off reaches no state either. What is followed goes on: a watcher catches up when it is back. */
const followed: ReadonlySet<PropertyKey> = new Set(["watch", "take", Symbol.asyncDispose]);

function seenFrom<T extends object>(asker: Transport, state: T): T {
  return new Proxy(state, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key, target);
      if (typeof value !== "function") return value;
      const call = value as (...given: unknown[]) => unknown;
      if (followed.has(key)) return (...given: unknown[]) => call.apply(target, given);
      return async (...given: unknown[]) => {
        assertThere(asker);
        return call.apply(target, given);
      };
    },
  });
}
