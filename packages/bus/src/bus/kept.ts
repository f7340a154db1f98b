import type { HeadersInit } from "../headers.ts";
import type { AnyMessage } from "../schema.ts";

/** A message ready to leave. */
export interface Outgoing {
  readonly message: AnyMessage;
  readonly subject: string;
  readonly data: Uint8Array | string;
  readonly headers: HeadersInit | undefined;
}

/** A message that waits to leave, or to be confirmed. */
export interface Kept extends Outgoing {
  /** Of those with the same key only the last is kept; undefined for a message of a `buffer`. */
  readonly latestKey: string | undefined;
  /** When it was published first. */
  readonly sinceMs: number;
  readonly maxAgeMs: number;
}

/** About what it takes in memory. */
export const sizeOf = (item: Outgoing): number => item.data.length + item.subject.length + 200;

export interface Limits {
  maxItems: number;
  maxBytes: number;
}

export type LostReason = "dropped_while_disconnected" | "dropped_outbox_full" | "dropped_unconfirmed" | "dropped_too_old" | "dropped_refused";
