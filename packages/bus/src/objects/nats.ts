import type { NatsConnection } from "nats";
import type { ObjectStore, ObjectStoreOptions } from "./port.ts";

/** Opens a store of large things on JetStream; makes it where there is none. */
export function openNatsObjects(connection: NatsConnection, name: string, options: ObjectStoreOptions = {}): Promise<ObjectStore> {
  return Promise.reject(new Error(`to come ${name} ${connection.getServer()} ${options.replicas ?? 1}`));
}
