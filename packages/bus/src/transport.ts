/** A message as a transport carries it: bytes on a subject, perhaps with a subject for answers. */
export interface Packet {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly reply?: string;
  /** Set on the packet that comes back at once when nobody listens to a request (NATS "no responders"). */
  readonly noResponders?: true;
}

export type TransportStatus = "connected" | "disconnected" | "closed";

export interface TransportSubscription {
  /** Nothing newly routed arrives after this. Calling it twice is quiet. */
  unsubscribe(): void;
}

/**
 * The port that every carrier of messages implements; its definition is the suite in `@opencf/bus/conformance`.
 * Delivery is at most once, asynchronous, and in order for one publisher and one subscription.
 */
export interface Transport extends AsyncDisposable {
  readonly status: TransportStatus;
  /** Largest payload in bytes that the carrier takes. */
  readonly maxPayloadBytes: number;
  /**
   * Never waits. While disconnected the packet is dropped: state is repeated, commands are requests.
   * @returns false when it was dropped
   * @throws BusError `BUS_CLOSED`, `BUS_INVALID_SUBJECT`, `BUS_PAYLOAD_TOO_LARGE`
   */
  publish(subject: string, data: Uint8Array, reply?: string): boolean;
  /** @throws BusError `BUS_CLOSED`, `BUS_INVALID_SUBJECT` */
  subscribe(pattern: string, receive: (packet: Packet) => void, queue?: string): TransportSubscription;
  /** Resolves when everything published before has been routed. */
  flush(signal?: AbortSignal): Promise<void>;
  onStatus(listen: (status: TransportStatus) => void): Disposable;
}
