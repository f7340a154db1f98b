import type { NatsConnection } from "nats";
import { BusError } from "../errors.ts";
import type { Bucket, BucketOptions } from "./port.ts";

export async function openNatsBucket(_connection: NatsConnection, _name: string, _options: BucketOptions = {}): Promise<Bucket> {
  throw new BusError("BUS_UNSUPPORTED", "not yet");
}
