import { BusError } from "../errors.ts";
import type { Bucket, BucketOptions } from "../kv/port.ts";
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

export function createMemoryState(clock: Clock): MemoryState {
  void clock;
  const missing = (): Promise<never> => Promise.reject(new BusError("BUS_UNSUPPORTED", "this hub keeps no state yet"));
  return { bucket: missing, objects: missing, queue: missing };
}
