import { BusError } from "../errors.ts";
import { type Headers, type HeadersInit, normalizeHeaders } from "../headers.ts";
import { assertStoreName } from "../jetstream/api.ts";
import { defaultPatienceMs } from "../jetstream/wait.ts";
import type { WorkQueueOptions } from "./port.ts";

export type QueueSettings = Required<WorkQueueOptions>;

/** @throws BusError `BUS_INVALID_KEY` for the name; RangeError for an option */
export function queueSettings(name: string, { ackWaitMs = 30_000, maxDeliver = 5, duplicateWindowMs = 120_000, replicas = 1, patienceMs = defaultPatienceMs }: WorkQueueOptions): QueueSettings {
  assertStoreName(name);
  for (const [option, value] of Object.entries({ ackWaitMs, duplicateWindowMs })) if (!(value > 0 && value <= 2 ** 31)) throw new RangeError(`${option} must be a time above 0 ms, not ${value}`);
  if (!Number.isInteger(maxDeliver) || maxDeliver < 1) throw new RangeError(`maxDeliver must be a whole number from 1 on, not ${maxDeliver}`);
  return { ackWaitMs, maxDeliver, duplicateWindowMs, replicas, patienceMs };
}

/** @throws BusError `BUS_INVALID_PAYLOAD` */
export function jobBytes(data: Uint8Array | string): Uint8Array {
  if (typeof data !== "string" && !(data instanceof Uint8Array)) throw new BusError("BUS_INVALID_PAYLOAD", "a job is bytes or text");
  return Uint8Array.from(Buffer.from(data as string));
}

/** @throws BusError `BUS_INVALID_HEADER` for names that belong to the server too */
export function jobHeaders(given: HeadersInit | undefined): Headers | undefined {
  if (!given) return undefined;
  const headers = normalizeHeaders(given);
  const own = Object.keys(headers).find((name) => /^nats-/i.test(name));
  if (own !== undefined) throw new BusError("BUS_INVALID_HEADER", `header ${own} is the server's: names that begin with Nats- are not for jobs`);
  return headers;
}

/** @throws BusError `BUS_INVALID_KEY` */
export function assertJobId(id: string): void {
  if (typeof id !== "string" || id === "" || Buffer.byteLength(id) > 1_024 || /\p{Cc}/u.test(id)) throw new BusError("BUS_INVALID_KEY", `${JSON.stringify(String(id).slice(0, 80))} is no id of a job: 1 to 1024 bytes without control characters are needed`);
}
