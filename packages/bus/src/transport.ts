import type { BusError } from "./errors.ts";
import type { Headers, HeadersInit } from "./headers.ts";
import type { Bucket, BucketOptions } from "./kv/port.ts";
import type { ObjectStore, ObjectStoreOptions } from "./objects/port.ts";
import type { WorkQueue, WorkQueueOptions } from "./queue/port.ts";

/** A message as a transport carries it: a payload on a subject, perhaps with a subject for answers. */
export interface Packet {
  readonly subject: string;
  /** The payload; every receiver has bytes of its own. */
  readonly data: Uint8Array;
  /** The same bytes without a copy, for a look: a window on all that came with them, not to be kept and not to be written to. Absent where `data` costs no more. */
  readonly view?: Uint8Array;
  /** The payload read as UTF-8. */
  readonly text: string;
  /** Length of the payload in bytes. */
  readonly bytes: number;
  readonly reply: string | undefined;
  readonly headers: Headers | undefined;
  /** What the server itself says: 503 comes back at once when nobody listens to a request. */
  readonly status: { readonly code: number; readonly description: string } | undefined;
}

export type TransportStatus = "connected" | "disconnected" | "closed";

/** What happens to a connection. `disconnected`, `reconnecting`, `connected` come in this order. */
export type TransportEvent =
  | { readonly type: "disconnected" }
  | { readonly type: "reconnecting" }
  | { readonly type: "connected"; readonly server?: string }
  /** The server asks its clients to move; the client does so by itself. */
  | { readonly type: "lame_duck" }
  | { readonly type: "servers"; readonly added: readonly string[]; readonly removed: readonly string[] }
  /** The server refused something after the call had returned. `code` is `BUS_FORBIDDEN` for a permission. */
  | { readonly type: "error"; readonly error: BusError; readonly operation?: "publish" | "subscribe"; readonly subject?: string }
  /** More waits than was allowed; `cut` when it was thrown away. */
  | { readonly type: "slow_consumer"; readonly subject: string; readonly pending: number; readonly cut: boolean }
  /** A receiver threw; the others were served. */
  | { readonly type: "receiver_failed"; readonly subject: string; readonly error: unknown }
  | { readonly type: "closed"; readonly cause?: Error };

export interface TransportSubscription extends Disposable {
  /** Nothing newly routed arrives after this. Calling it twice is quiet. */
  unsubscribe(): void;
  /** Takes no more, delivers what is on the way, then resolves. */
  drain(): Promise<void>;
}

export interface PacketOptions {
  /** Subject for answers. */
  reply?: string;
  headers?: HeadersInit;
}

export interface ReceiveOptions {
  /** Of all members of a queue group exactly one gets each packet. */
  queue?: string;
  /** Ends the subscription after exactly so many packets, over reconnects too. */
  max?: number;
}

/**
 * The port that every carrier of messages implements; its definition is the suite in `@opencf/bus/conformance`.
 * Delivery is at most once, asynchronous, and in order for one publisher and one subscription.
 */
export interface Transport extends AsyncDisposable {
  readonly status: TransportStatus;
  /** Largest packet in bytes, headers included, that the carrier takes. */
  readonly maxPayloadBytes: number;
  /** First part of the subjects that this connection listens on for answers, such as `_INBOX`. */
  readonly inboxPrefix: string;
  /** Resolves when the connection has ended for good, with the cause if it was not asked for. */
  readonly closed: Promise<Error | undefined>;
  /**
   * Never waits. While disconnected the packet is dropped: what should happen then is decided above the transport.
   * @returns false when it was dropped
   * @throws BusError `BUS_CLOSED`, `BUS_INVALID_SUBJECT`, `BUS_INVALID_HEADER`, `BUS_INVALID_PAYLOAD` (neither bytes nor text), `BUS_PAYLOAD_TOO_LARGE`
   */
  publish(subject: string, data: Uint8Array | string, options?: PacketOptions): boolean;
  /** @throws BusError `BUS_CLOSED`, `BUS_INVALID_SUBJECT` */
  subscribe(pattern: string, receive: (packet: Packet) => void, options?: ReceiveOptions): TransportSubscription;
  /**
   * Resolves when everything published before has been routed.
   * @throws BusError `BUS_DISCONNECTED`, `BUS_CLOSED`
   */
  flush(signal?: AbortSignal): Promise<void>;
  on(listen: (event: TransportEvent) => void): Disposable;
  /** Shared state, where the carrier has it (`@opencf/bus/kv`). */
  openBucket?(name: string, options?: BucketOptions): Promise<Bucket>;
  /** Large things by name, where the carrier has it (`@opencf/bus/objects`). */
  openObjects?(name: string, options?: ObjectStoreOptions): Promise<ObjectStore>;
  /** Work that must be done once, where the carrier has it (`@opencf/bus/queue`). */
  openQueue?(name: string, options?: WorkQueueOptions): Promise<WorkQueue>;
}
