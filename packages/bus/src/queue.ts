import { BusError } from "./errors.ts";
import type { WorkQueue, WorkQueueOptions } from "./queue/port.ts";
import type { Transport } from "./transport.ts";

export type { Job, WorkQueue, WorkQueueOptions } from "./queue/port.ts";
export { createMemoryQueues, type MemoryQueues } from "./queue/memory.ts";
export { openNatsQueue } from "./queue/nats.ts";

/**
 * Opens a work queue by the connection that the bus has, and makes it where there is none.
 * @throws BusError `BUS_UNSUPPORTED` (the transport or the server keeps nothing), `BUS_INVALID_KEY`, `BUS_TIMEOUT`, `BUS_DISCONNECTED`
 */
export async function openQueue(bus: { readonly transport: Transport }, name: string, options?: WorkQueueOptions): Promise<WorkQueue> {
  if (!bus.transport.openQueue) throw new BusError("BUS_UNSUPPORTED", "this transport has no work queues");
  return bus.transport.openQueue(name, options);
}
