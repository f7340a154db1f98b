import type { BusError } from "../errors.ts";
import type { HeadersInit } from "../headers.ts";
import type { AnyMessage, Body, Reply } from "../schema.ts";
import type { Transport, TransportEvent, TransportStatus } from "../transport.ts";
import type { BusCounters } from "./counters.ts";
import type { Delivery } from "./delivery.ts";
import type { OnceOptions } from "./once.ts";

type Params = Readonly<Record<string, string>>;

export interface PublishOptions {
  /** Values for the subject template; all are needed. */
  params?: Params;
  headers?: HeadersInit;
  /** The delivery that led to this message, where it is not published by its handler. */
  cause?: Delivery<AnyMessage>;
}

export interface SubscribeOptions {
  /** Of all members of a queue group exactly one gets each message. Default: the group that the message declares, if any; `""` for none. */
  queue?: string;
  /** Values for the subject template; a missing one is a wildcard. */
  params?: Params;
  /** Ends the subscription. */
  signal?: AbortSignal;
  /** Ends the subscription after exactly so many messages, over reconnects too. */
  max?: number;
  /** Messages kept for a slow reader. Default 65 536. */
  maxPending?: number;
  /** Bytes of payload kept for a slow reader. Default 32 MiB. */
  maxPendingBytes?: number;
  /** Beyond that: forget the oldest and count them (default), or end the subscription with `BUS_SLOW_CONSUMER`. */
  whenFull?: "drop-oldest" | "cut";
  /** Messages pending at which the event `slow_consumer` is told, once per crossing. Default `maxPending`. */
  slowAt?: number;
  /** Handlers at work at the same time; further messages wait. Default 256. */
  concurrency?: number;
  /** Ends with `BUS_TIMEOUT` when nothing has come by then. */
  firstWithinMs?: number;
  /**
   * Each command once, however often it arrives; one that is repeated gets its answer again. Goes by the id that the message declares,
   * else by the message id. Default: on for messages whose policy is `buffer`, since those may be sent again after a reconnect.
   */
  once?: boolean | OnceOptions;
  /**
   * Asked for each message when its turn has come, before anything of it is decoded, with its payload: a look that is over when it returns. What it gives
   * stands for what the handler would have given, a promise is waited for; undefined leaves the message to the handler, which is called at once. For floods in which nearly
   * every message repeats an earlier one, byte for byte. Only with a handler, and never with `once`: what is recognised is not checked, and no command.
   */
  recognise?: (payload: Uint8Array) => unknown;
}

export interface RequestOptions {
  params?: Params;
  /** Default 2 000 ms. */
  timeoutMs?: number;
  signal?: AbortSignal;
  headers?: HeadersInit;
  /** An inbox subject of its own in place of the shared one, for servers whose permissions ask for it. */
  ownInbox?: boolean;
}

export interface GatherOptions extends Omit<RequestOptions, "timeoutMs"> {
  /** How long answers are collected. */
  waitMs: number;
  /** Return as soon as this many answers are there. */
  max?: number;
  /** Return when after an answer no other comes for so long. */
  stallMs?: number;
  /** Return at an answer of zero bytes, which is not data. */
  sentinel?: boolean;
}

/** Iterate it, or give a handler to `subscribe`. Leaving the loop, disposing or aborting ends it. */
export interface Subscription<M extends AnyMessage> extends AsyncIterable<Delivery<M>>, AsyncDisposable, Disposable {
  /** Messages waiting to be read. */
  readonly pending: number;
  /** Messages forgotten because the reader was too slow. */
  readonly dropped: number;
  /** Resolves when it has ended, with the error if it was cut or nothing came in time. */
  readonly closed: Promise<BusError | undefined>;
  /** Takes no more; resolves when what was on the way has been handed to the handler, or lies in the iterator's queue. */
  drain(): Promise<void>;
}

/** What happens on a bus: what happens to its connections, and handlers that failed. */
export type BusEvent = TransportEvent | { readonly type: "handler_failed"; readonly subject: string; readonly error: unknown };

export interface Bus extends AsyncDisposable {
  /** Told to receivers of traced messages. */
  readonly name: string | undefined;
  readonly connected: boolean;
  readonly counters: BusCounters;
  /** The connection for commands and soft state, for raw packets, shared state and the like. */
  readonly transport: Transport;
  /** The connection for logs and statistics; the same one where there is only one. */
  readonly bulk: Transport;
  /** Messages kept until the bus is back. */
  readonly pendingOut: number;
  /** Resolves when the connection has ended for good, with the cause if nobody asked for it. */
  readonly closed: Promise<Error | undefined>;
  /** When a message of this kind last arrived here, in ms since the epoch; silence is not the same as "all dead". */
  lastHeardMs(message: AnyMessage): number | undefined;
  onStatus(listen: (status: TransportStatus) => void): Disposable;
  on(listen: (event: BusEvent) => void): Disposable;
  /**
   * Says something, waits for nobody. While the bus is away the disconnect policy of the message decides.
   * @throws BusError `BUS_INVALID_MESSAGE`, `BUS_INVALID_SUBJECT`, `BUS_INVALID_HEADER`, `BUS_PAYLOAD_TOO_LARGE`, `BUS_CLOSED`
   */
  publish<M extends AnyMessage>(message: M, body: Body<M>, options?: PublishOptions): void;
  /** @throws BusError `BUS_INVALID_SUBJECT`, `BUS_CLOSED`, `BUS_DRAINING` */
  subscribe<M extends AnyMessage>(message: M, options?: SubscribeOptions): Subscription<M>;
  subscribe<M extends AnyMessage>(message: M, handle: (delivery: Delivery<M>) => unknown, options?: SubscribeOptions): Subscription<M>;
  /**
   * Asks and takes the first answer.
   * @throws BusError `BUS_TIMEOUT`, `BUS_NO_RESPONDERS` (at once), `BUS_DISCONNECTED`, `BUS_FORBIDDEN`, `BUS_DRAINING`,
   * `BUS_INVALID_MESSAGE` (the answer makes no sense), or the reason of the signal
   */
  request<M extends AnyMessage>(message: M, body: Body<M>, options?: RequestOptions): Promise<Reply<M>>;
  /** Asks everybody and collects the answers that come in time. Nobody answering is an empty list, no error. */
  gather<M extends AnyMessage>(message: M, body: Body<M>, options: GatherOptions): Promise<Reply<M>[]>;
  /** `gather` as they come. Leaving the loop cancels the rest. */
  answers<M extends AnyMessage>(message: M, body: Body<M>, options: GatherOptions): AsyncGenerator<Reply<M>, void>;
  /** Asks once and yields several answers; `timeoutMs` (default 2 000) starts anew with each, running out is `BUS_TIMEOUT`. */
  replies<M extends AnyMessage>(message: M, body: Body<M>, options?: RequestOptions): AsyncGenerator<Reply<M>, void>;
  /** What is published while `run` is at work belongs to one new trace. */
  trace<T>(run: () => T): T;
  /** Resolves when everything published before has been routed. @throws BusError `BUS_DISCONNECTED`, `BUS_CLOSED` */
  flush(signal?: AbortSignal): Promise<void>;
  /**
   * Takes no more, lets handlers at work finish and their messages leave, then closes. Always ends: after `timeoutMs` (default 10 000) it
   * closes as it is. Disposing the bus does the same within 2 000 ms.
   */
  drain(options?: { timeoutMs?: number }): Promise<void>;
}
