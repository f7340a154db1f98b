import type { NatsConnection } from "nats";
import type { WorkQueue, WorkQueueOptions } from "./port.ts";

/** Opens a work queue on JetStream; makes it where there is none. */
export function openNatsQueue(connection: NatsConnection, name: string, options: WorkQueueOptions = {}): Promise<WorkQueue> {
  return Promise.reject(new Error(`to come ${name} ${connection.getServer()} ${options.replicas ?? 1}`));
}
