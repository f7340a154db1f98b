import { randomUUID } from "node:crypto";
import { BusError } from "./errors.ts";
import { createInbox } from "./inbox.ts";
import { type Clock, type Logger, silentLogger, systemClock } from "./ports.ts";
import type { Body, Message, Reply } from "./schema.ts";
import { fillSubject, readParams } from "./subject.ts";
import type { Packet, Transport, TransportStatus } from "./transport.ts";

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- a body is both read and written, so only `any` stands for all of them
export type AnyMessage = Message<string, any, any>;
type Params = Readonly<Record<string, string>>;

/** One message as a subscriber sees it. */
export interface Delivery<M extends AnyMessage> {
  readonly body: Body<M>;
  readonly subject: string;
  /** The values of the names in the subject template: `{ id }` for `dea.{id}.start`. */
  readonly params: Readonly<Record<string, string>>;
  /**
   * Answers the sender.
   * @returns false when the sender does not want an answer, or the bus is away
   * @throws BusError `BUS_INVALID_MESSAGE`
   */
  respond(body: Reply<M>): boolean;
}

export interface SubscribeOptions {
  /** Of all members of a queue group exactly one gets each message. Default: the group that the message declares, if any; `""` for none. */
  queue?: string;
  /** Values for the subject template; a missing one is a wildcard. */
  params?: Params;
  /** Ends the subscription. */
  signal?: AbortSignal;
  /** Messages kept for a slow reader before the oldest are forgotten. Default 65 536. */
  maxPending?: number;
}

export interface RequestOptions {
  params?: Params;
  /** Default 2 000 ms. */
  timeoutMs?: number;
  signal?: AbortSignal;
}

export interface GatherOptions {
  params?: Params;
  /** How long answers are collected. */
  waitMs: number;
  /** Return as soon as this many answers are there. */
  max?: number;
  signal?: AbortSignal;
}

/** Iterate it, or give a handler to `subscribe`. Leaving the loop, disposing or aborting ends it. */
export interface Subscription<M extends AnyMessage> extends AsyncIterable<Delivery<M>>, AsyncDisposable, Disposable {
  /** Messages waiting to be read. */
  readonly pending: number;
  /** Messages forgotten because the reader was too slow. */
  readonly dropped: number;
}

/** How many messages were refused, dropped or failed, by subject and reason. */
export type BusCounters = ReadonlyMap<string, number>;

export interface Bus extends AsyncDisposable {
  readonly connected: boolean;
  readonly counters: BusCounters;
  onStatus(listen: (status: TransportStatus) => void): Disposable;
  /**
   * Says something, waits for nobody. While the bus is away the message is dropped and counted: what is state is said again.
   * @throws BusError `BUS_INVALID_MESSAGE`, `BUS_INVALID_SUBJECT`, `BUS_PAYLOAD_TOO_LARGE`, `BUS_CLOSED`
   */
  publish<M extends AnyMessage>(message: M, body: Body<M>, options?: { params?: Params }): void;
  subscribe<M extends AnyMessage>(message: M, options?: SubscribeOptions): Subscription<M>;
  subscribe<M extends AnyMessage>(message: M, handle: (delivery: Delivery<M>) => unknown, options?: SubscribeOptions): Subscription<M>;
  /**
   * Asks and takes the first answer.
   * @throws BusError `BUS_TIMEOUT`, `BUS_NO_RESPONDERS` (at once), `BUS_DISCONNECTED`, `BUS_INVALID_MESSAGE` (the answer makes no sense)
   */
  request<M extends AnyMessage>(message: M, body: Body<M>, options?: RequestOptions): Promise<Reply<M>>;
  /** Asks everybody and collects the answers that come in time. Nobody answering is an empty list, no error. */
  gather<M extends AnyMessage>(message: M, body: Body<M>, options: GatherOptions): Promise<Reply<M>[]>;
  /** Asks once and yields several answers; `timeoutMs` (default 2 000) starts anew with each. */
  replies<M extends AnyMessage>(message: M, body: Body<M>, options?: RequestOptions): AsyncGenerator<Reply<M>, void>;
  flush(): Promise<void>;
}

export interface BusOptions {
  transport: Transport | (() => Promise<Transport>);
  log?: Logger;
  clock?: Clock;
}

/** Puts typed messages on a transport. Disposing the bus disposes the transport. */
export async function createBus({ transport: given, log = silentLogger, clock = systemClock }: BusOptions): Promise<Bus> {
  const transport = typeof given === "function" ? await given() : given;
  const counters = new Map<string, number>();
  const warned = new Map<string, number>();
  const waiting = new Set<(error: BusError) => void>();

  const count = (what: string, reason: string, details?: object): void => {
    const key = `${what} ${reason}`;
    counters.set(key, (counters.get(key) ?? 0) + 1);
    // One line a minute per kind: a peer that talks nonsense must not fill the log.
    if (clock.now() - (warned.get(key) ?? -Infinity) < 60_000) return;
    warned.set(key, clock.now());
    log.warn(`bus.${reason}`, { subject: what, ...details });
  };

  const statusWatch = transport.onStatus((status) => {
    if (status === "connected") return;
    const error = new BusError(status === "closed" ? "BUS_CLOSED" : "BUS_DISCONNECTED", "the bus went away before an answer came", { retryable: true });
    for (const fail of [...waiting]) fail(error);
  });

  const send = (subject: string, data: Uint8Array, reply?: string): boolean => {
    const sent = transport.publish(subject, data, reply);
    if (!sent) count(subject, "dropped_while_disconnected");
    return sent;
  };

  const read = <M extends AnyMessage>(message: M, packet: Packet): Delivery<M> | undefined => {
    const parsed = message.body.parse(packet.data);
    if (!parsed.ok) {
      count(message.subject, "invalid_message", { issues: parsed.issues.slice(0, 5) });
      return undefined;
    }
    return {
      body: parsed.body as Body<M>,
      subject: packet.subject,
      params: readParams(message.subject, packet.subject),
      respond(answer) {
        if (packet.reply === undefined) return false;
        if (!message.reply) throw new BusError("BUS_INVALID_MESSAGE", `${message.subject} has no answer`);
        return send(packet.reply, message.reply.encode(answer));
      },
    };
  };

  function subscribe<M extends AnyMessage>(
    message: M,
    first?: ((delivery: Delivery<M>) => unknown) | SubscribeOptions,
    second?: SubscribeOptions,
  ): Subscription<M> {
    const handle = typeof first === "function" ? first : undefined;
    const { queue = message.queue, params, signal, maxPending = 65_536 } = (typeof first === "function" ? second : first) ?? {};
    const stop = (): void => {
      taken?.unsubscribe();
      taken = undefined;
      inbox.end();
      signal?.removeEventListener("abort", stop);
    };
    const inbox = createInbox<Delivery<M>>(maxPending, stop);
    const failed = (error: unknown): void => count(message.subject, "handler_failed", { reason: error instanceof Error ? error.message : String(error) });
    let taken: { unsubscribe(): void } | undefined = transport.subscribe(fillSubject(message.subject, params), (packet) => {
      const delivery = read(message, packet);
      if (!delivery) return;
      if (!handle) return inbox.push(delivery);
      try {
        const result = handle(delivery);
        if (result instanceof Promise) result.catch(failed);
      } catch (error) {
        failed(error);
      }
    }, queue === "" ? undefined : queue);
    if (signal?.aborted) stop();
    else signal?.addEventListener("abort", stop, { once: true });
    return {
      [Symbol.asyncIterator]: () => inbox,
      get pending() {
        return inbox.pending;
      },
      get dropped() {
        return inbox.dropped;
      },
      [Symbol.dispose]: stop,
      [Symbol.asyncDispose]: () => Promise.resolve(stop()),
    };
  }

  /** Sends with an inbox of its own and feeds the answers to a small mailbox; the caller decides when it has enough. */
  function ask<M extends AnyMessage>(message: M, body: Body<M>, params: Params | undefined): Ask<Reply<M>> {
    const format = message.reply;
    if (!format) throw new BusError("BUS_INVALID_MESSAGE", `${message.subject} has no answer`);
    const data = message.body.encode(body);
    const inbox = `_INBOX.${randomUUID()}`;
    const box: AskEvent<Reply<M>>[] = [];
    let wake: (() => void) | undefined;
    const put = (event: AskEvent<Reply<M>>): void => {
      box.push(event);
      wake?.();
    };
    const taken = transport.subscribe(inbox, (packet) => {
      if (packet.noResponders)
        return put({ error: new BusError("BUS_NO_RESPONDERS", `nobody listens to ${fillSubject(message.subject, params)}`, { retryable: true }) });
      const parsed = format.parse(packet.data);
      if (parsed.ok) return put({ reply: parsed.body as Reply<M> });
      count(message.subject, "invalid_reply", { issues: parsed.issues.slice(0, 5) });
      put({ error: new BusError("BUS_INVALID_MESSAGE", `the answer to ${message.subject} is malformed: ${parsed.issues.join("; ")}`) });
    });
    const fail = (error: BusError): void => put({ error });
    waiting.add(fail);
    if (!send(fillSubject(message.subject, params), data, inbox)) fail(new BusError("BUS_DISCONNECTED", "the bus is away", { retryable: true }));
    return {
      async next(timeoutMs, signal) {
        signal?.throwIfAborted();
        const already = box.shift();
        if (already) return already;
        let abort: (() => void) | undefined;
        let timer: Disposable | undefined;
        try {
          await new Promise<void>((done, stop) => {
            wake = done;
            timer = clock.after(timeoutMs, done);
            abort = () => stop(signal?.reason as Error);
            signal?.addEventListener("abort", abort, { once: true });
          });
        } finally {
          wake = undefined;
          timer?.[Symbol.dispose]();
          if (abort) signal?.removeEventListener("abort", abort);
        }
        return box.shift() ?? { timeout: true };
      },
      [Symbol.dispose]() {
        waiting.delete(fail);
        if (transport.status !== "closed") taken.unsubscribe();
      },
    };
  }

  return {
    get connected() {
      return transport.status === "connected";
    },
    counters,
    onStatus: (listen) => transport.onStatus(listen),
    publish(message, body, options = {}) {
      send(fillSubject(message.subject, options.params), message.body.encode(body));
    },
    subscribe,
    async request(message, body, { params, timeoutMs = 2_000, signal } = {}) {
      using asked = ask(message, body, params);
      const event = await asked.next(timeoutMs, signal);
      if (event.error) throw event.error;
      if (event.timeout) throw new BusError("BUS_TIMEOUT", `no answer to ${message.subject} within ${timeoutMs} ms`, { retryable: true });
      return event.reply as Reply<typeof message>;
    },
    async gather(message, body, { params, waitMs, max = Infinity, signal }) {
      using asked = ask(message, body, params);
      const answers: Reply<typeof message>[] = [];
      const until = clock.now() + waitMs;
      while (answers.length < max) {
        const event = await asked.next(Math.max(0, until - clock.now()), signal);
        if (event.timeout || (event.error && event.error.code !== "BUS_INVALID_MESSAGE")) break;
        if (!event.error) answers.push(event.reply as Reply<typeof message>);
      }
      return answers;
    },
    async *replies(message, body, { params, timeoutMs = 2_000, signal } = {}) {
      using asked = ask(message, body, params);
      for (;;) {
        const event = await asked.next(timeoutMs, signal);
        if (event.error) throw event.error;
        if (event.timeout) throw new BusError("BUS_TIMEOUT", `no further answer to ${message.subject} within ${timeoutMs} ms`, { retryable: true });
        yield event.reply as Reply<typeof message>;
      }
    },
    flush: () => transport.flush(),
    async [Symbol.asyncDispose]() {
      statusWatch[Symbol.dispose]();
      const error = new BusError("BUS_CLOSED", "the bus was closed before an answer came");
      for (const fail of [...waiting]) fail(error);
      await transport[Symbol.asyncDispose]();
    },
  };
}

type AskEvent<R> = { reply?: R; error?: BusError; timeout?: true };
interface Ask<R> extends Disposable {
  next(timeoutMs: number, signal?: AbortSignal): Promise<AskEvent<R>>;
}
