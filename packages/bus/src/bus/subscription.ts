import { BusError } from "../errors.ts";
import { createInbox } from "../inbox.ts";
import type { Clock } from "../ports.ts";
import type { AnyMessage } from "../schema.ts";
import { fillPattern } from "../subject.ts";
import type { Packet, Transport } from "../transport.ts";
import type { Counting } from "./counters.ts";
import { type Answer, commandId, type Delivery, ReceivedDelivery } from "./delivery.ts";
import type { BusEvent, SubscribeOptions, Subscription } from "./face.ts";
import { createOnce, type Seen } from "./once.ts";
import { within } from "./trace.ts";

export interface Subscribing {
  transport: Transport;
  clock: Clock;
  counting: Counting;
  answer: Answer;
  emit: (event: BusEvent) => void;
  /** Called for every packet that arrives. */
  heard: () => void;
  /** Called when it has ended, whatever the reason. */
  onEnd: (subscription: Running) => void;
}

/** What a bus needs to know of a subscription when it drains. */
export interface Running {
  drain(): Promise<void>;
  /** Resolves when no handler is at work. */
  idle(): Promise<void>;
  stop(): void;
}

export type Handle<M extends AnyMessage> = (delivery: Delivery<M>) => unknown;

/** One subscription: a bounded inbox, read by a handler or a loop. */
export function createSubscription<M extends AnyMessage>(
  message: M,
  handle: Handle<M> | undefined,
  options: SubscribeOptions,
  { transport, clock, counting, answer, emit, heard, onEnd }: Subscribing,
): Subscription<M> & Running {
  const {
    queue = message.queue, params, signal, max = Infinity, maxPending = 65_536, maxPendingBytes = 32 * 1_048_576,
    whenFull = "drop-oldest", slowAt = maxPending, concurrency = 256, firstWithinMs, once: onceGiven = message.onDisconnect.kind === "buffer",
  } = options;
  const inbox = createInbox<Packet>({ maxItems: maxPending, maxBytes: maxPendingBytes, bytesOf: (packet) => packet.bytes + packet.subject.length });
  const once = onceGiven === false ? undefined : createOnce(clock, onceGiven === true ? {} : onceGiven);
  const asBytes = message.body.codec === "zlib";
  let received = 0;
  let running = 0;
  let told = false;
  let settled = false;
  const idlers: (() => void)[] = [];
  let resolveClosed: (cause: BusError | undefined) => void = () => undefined;
  const closed = new Promise<BusError | undefined>((done) => (resolveClosed = done));

  const finish = (cause?: BusError): void => {
    if (settled) return;
    settled = true;
    taken.unsubscribe();
    first?.[Symbol.dispose]();
    signal?.removeEventListener("abort", abort);
    inbox.end(cause);
    resolveClosed(cause);
    onEnd(subscription);
  };
  const stop = (): void => finish();
  const abort = (): void => finish();

  /** Undefined for what is malformed or was there before. */
  const read = (packet: Packet): Delivery<M> | undefined => {
    const parsed = message.body.parse(asBytes ? packet.data : packet.text);
    if (!parsed.ok) {
      counting.count(message.subject, "invalid_message", { issues: parsed.issues.slice(0, 5) });
      return undefined;
    }
    let seen: Seen | undefined;
    if (once) {
      const id = commandId(message, packet, parsed.body);
      if (id !== undefined) {
        const before = once.see(id);
        if (before) {
          counting.count(message.subject, "repeated_message");
          if (packet.reply !== undefined && before.answer !== undefined) answer(packet.reply, before.answer, undefined);
          else if (packet.reply !== undefined && before.waiting.length < 16) before.waiting.push(packet.reply);
          return undefined;
        }
        if (message.reply) seen = once.of(id);
      }
    }
    return new ReceivedDelivery(message, packet, parsed.body as never, { answer, seen });
  };

  const failed = (error: unknown): void => {
    counting.count(message.subject, "handler_failed", { reason: error instanceof Error ? error.message : String(error) });
    emit({ type: "handler_failed", subject: message.subject, error });
  };
  const release = (): void => {
    running--;
    pump();
    if (running === 0) for (const done of idlers.splice(0)) done();
  };
  const run = (packet: Packet): void => {
    const delivery = read(packet);
    if (!delivery || !handle) return;
    try {
      const result: unknown = within(packet.headers === undefined ? undefined : delivery.trace, () => handle(delivery));
      if (!isPromise(result)) return;
      running++;
      result.then(release, (error: unknown) => {
        failed(error);
        release();
      });
    } catch (error) {
      failed(error);
    }
  };
  const pump = (): void => {
    for (let packet; running < concurrency && (packet = inbox.shift()); ) run(packet);
  };

  const overflow = (): void => {
    const pending = inbox.pending;
    if (whenFull === "cut" && inbox.dropped > 0) {
      inbox.clear();
      emit({ type: "slow_consumer", subject: message.subject, pending, cut: true });
      counting.count(message.subject, "slow_consumer_cut");
      return finish(new BusError("BUS_SLOW_CONSUMER", `the reader of ${message.subject} was too slow: more than ${maxPending} messages or ${maxPendingBytes} bytes waited`));
    }
    if (pending < slowAt / 2 && inbox.pendingBytes < maxPendingBytes / 2) told = false;
    if (told || (pending < slowAt && inbox.dropped === 0)) return;
    told = true;
    counting.count(message.subject, "slow_consumer", { pending });
    emit({ type: "slow_consumer", subject: message.subject, pending, cut: false });
  };
  const take = (packet: Packet): void => {
    if (settled) return;
    heard();
    if (first) {
      first[Symbol.dispose]();
      first = undefined;
    }
    received++;
    if (handle && running < concurrency && inbox.pending === 0) run(packet);
    else {
      const before = inbox.dropped;
      inbox.push(packet);
      if (inbox.pending >= slowAt || inbox.dropped > before || told) overflow();
    }
    if (received >= max) finish();
  };

  const taken = transport.subscribe(fillPattern(message.subject, params), take, {
    ...(queue !== undefined && queue !== "" && { queue }), ...(max !== Infinity && { max }),
  });
  let first = firstWithinMs === undefined ? undefined
    : clock.after(firstWithinMs, () => finish(new BusError("BUS_TIMEOUT", `no message on ${message.subject} within ${firstWithinMs} ms`, { retryable: true })));

  const iterator: AsyncIterator<Delivery<M>, undefined> = {
    async next() {
      for (;;) {
        for (let packet; (packet = inbox.shift()); ) {
          const delivery = read(packet);
          if (delivery) return { done: false, value: delivery };
        }
        if (inbox.ended) {
          if (inbox.error) throw inbox.error;
          return { done: true, value: undefined };
        }
        await inbox.readable();
      }
    },
    return() {
      stop();
      inbox.clear();
      return Promise.resolve({ done: true, value: undefined });
    },
  };

  const subscription: Subscription<M> & Running = {
    [Symbol.asyncIterator]: () => iterator,
    get pending() {
      return inbox.pending;
    },
    get dropped() {
      return inbox.dropped;
    },
    closed,
    async drain() {
      if (settled) return;
      await taken.drain();
      stop();
      if (handle) await subscription.idle();
    },
    idle: () => (running === 0 ? Promise.resolve() : new Promise((done) => idlers.push(done))),
    stop,
    [Symbol.dispose]: stop,
    [Symbol.asyncDispose]: () => Promise.resolve(stop()),
  };
  if (signal?.aborted) stop();
  else signal?.addEventListener("abort", abort, { once: true });
  return subscription;
}

const isPromise = (value: unknown): value is PromiseLike<unknown> => typeof value === "object" && value !== null && typeof (value as PromiseLike<unknown>).then === "function";
