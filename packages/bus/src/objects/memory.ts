import type { Clock } from "../ports.ts";
import type { ObjectStore, ObjectStoreOptions } from "./port.ts";

export interface MemoryObjects {
  /** The same name opens the same store. */
  open(name: string, options?: ObjectStoreOptions): Promise<ObjectStore>;
}
/** Stores of large things within the process. */
export function createMemoryObjects(options: { clock?: Clock } = {}): MemoryObjects {
  return { open: () => Promise.reject(new Error(`to come ${typeof options}`)) };
}
