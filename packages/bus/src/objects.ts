import { BusError } from "./errors.ts";
import type { ObjectStore, ObjectStoreOptions } from "./objects/port.ts";
import type { Transport } from "./transport.ts";

export type { ObjectInfo, ObjectStore, ObjectStoreOptions } from "./objects/port.ts";
export { createMemoryObjects, type MemoryObjects } from "./objects/memory.ts";
export { openNatsObjects } from "./objects/nats.ts";

/**
 * Opens a store of large things by the connection that the bus has, and makes it where there is none.
 * @param bus anything with a `transport`; its bulk lane is used where there is one, so that chunks do not hold up commands
 * @throws BusError `BUS_UNSUPPORTED` (the transport or the server keeps nothing), `BUS_INVALID_KEY`, `BUS_TIMEOUT`, `BUS_DISCONNECTED`
 */
export async function openObjects(bus: { readonly transport: Transport; readonly bulk?: Transport }, name: string, options?: ObjectStoreOptions): Promise<ObjectStore> {
  const transport = bus.bulk ?? bus.transport;
  if (!transport.openObjects) throw new BusError("BUS_UNSUPPORTED", "this transport has no object store");
  return transport.openObjects(name, options);
}
