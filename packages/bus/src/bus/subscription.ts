import { BusError } from "../errors.ts";
import { createInbox, type Inbox } from "../inbox.ts";
import { after, type Clock } from "../ports.ts";
import type { AnyMessage } from "../schema.ts";
import { fillPattern } from "../subject.ts";
import type { Packet, Transport, TransportSubscription } from "../transport.ts";
import type { Counting } from "./counters.ts";
import type { Answer, Delivery, ReceivedDelivery } from "./delivery.ts";
import type { BusEvent, SubscribeOptions, Subscription } from "./face.ts";
import { createOnce, type Once } from "./once.ts";
import { readDelivery } from "./read.ts";
import { createReader } from "./reader.ts";
import { within } from "./trace.ts";

/** What the subscriptions of one lane have in common. */
export interface Subscribing {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly nowMs: () => number;
  readonly counting: Counting;
  readonly answer: Answer;
  readonly emit: (event: BusEvent) => void;
  /** Called when it has ended, whatever the reason. */
  readonly onEnd: (subscription: Running) => void;
}

/** What a bus needs to know of a subscription when it ends. */
export interface Running {
  readonly transport: Transport;
  drain(): Promise<void>;
  /** Resolves when no handler is at work. */
  idle(): Promise<void>;
  /** No handler is called any more. What waits for an iterator can still be read. */
  end(cause?: BusError): void;
}

export type Handle<M extends AnyMessage> = (delivery: Delivery<M>) => unknown;

const bytesOf = (packet: Packet): number => packet.bytes + packet.subject.length;
const none = (): void => undefined;

/** One subscription: a bounded inbox, read by a handler or a loop. A class, since there may be many that are idle. */
export class BusSubscription<M extends AnyMessage> implements Subscription<M>, Running {
  readonly #message: M;
  readonly #handle: Handle<M> | undefined;
  readonly #options: SubscribeOptions;
  readonly #with: Subscribing;
  readonly #heard: { ms: number };
  readonly #inbox: Inbox<Packet>;
  readonly #taken: TransportSubscription;
  readonly #concurrency: number;
  readonly #slowAt: number;
  #once: Once | undefined;
  #first: Disposable | undefined;
  #received = 0;
  #running = 0;
  #told = false;
  #settled = false;
  #cause: BusError | undefined;
  #idlers: (() => void)[] | undefined;
  #closed: Promise<BusError | undefined> | undefined;
  #resolveClosed: (cause: BusError | undefined) => void = none;
  #reader: AsyncIterator<Delivery<M>, undefined> | undefined;
  #abort: (() => void) | undefined;

  /** @param heard gets the time when a packet arrives */
  constructor(message: M, handle: Handle<M> | undefined, options: SubscribeOptions, { parts, heard }: { parts: Subscribing; heard: { ms: number } }) {
    const { queue = message.queue, params, signal, max = Infinity, maxPending = 65_536, maxPendingBytes = 32 * 1_048_576, slowAt = maxPending, concurrency = 256, firstWithinMs } = options;
    this.#message = message;
    this.#handle = handle;
    this.#options = options;
    this.#with = parts;
    this.#heard = heard;
    this.#concurrency = Math.max(1, concurrency);
    this.#slowAt = slowAt;
    this.#inbox = createInbox<Packet>({ maxItems: maxPending, maxBytes: maxPendingBytes, bytesOf });
    const once = options.once ?? message.onDisconnect.kind === "buffer";
    if (once !== false) this.#once = createOnce(parts.clock, once === true ? {} : once);
    this.#taken = parts.transport.subscribe(fillPattern(message.subject, params), (packet) => this.#take(packet), {
      ...(queue !== undefined && queue !== "" && { queue }), ...(max !== Infinity && { max }),
    });
    if (firstWithinMs !== undefined)
      this.#first = after(parts.clock, firstWithinMs, () => this.#finish(new BusError("BUS_TIMEOUT", `no message on ${message.subject} within ${firstWithinMs} ms`, { retryable: true })));
    if (signal?.aborted) this.end();
    else signal?.addEventListener("abort", (this.#abort = () => this.end()), { once: true });
  }

  get transport(): Transport {
    return this.#with.transport;
  }
  get ended(): boolean {
    return this.#settled;
  }
  get pending(): number {
    return this.#inbox.pending;
  }
  get dropped(): number {
    return this.#inbox.dropped;
  }
  get closed(): Promise<BusError | undefined> {
    return (this.#closed ??= this.#settled ? Promise.resolve(this.#cause) : new Promise((done) => (this.#resolveClosed = done)));
  }

  [Symbol.asyncIterator](): AsyncIterator<Delivery<M>, undefined> {
    return (this.#reader ??= createReader(this.#inbox, (packet) => this.#read(packet), () => this.#leave()));
  }

  async drain(): Promise<void> {
    if (this.#settled) return;
    // A connection that is away has nothing on the way.
    if (this.transport.status === "connected") await this.#taken.drain();
    this.#finish();
    if (this.#handle) await this.idle();
  }

  idle(): Promise<void> {
    return this.#running === 0 ? Promise.resolve() : new Promise((done) => void (this.#idlers ??= []).push(done));
  }

  end(cause?: BusError): void {
    this.#finish(cause);
    if (this.#handle) this.#inbox.clear();
  }

  [Symbol.dispose](): void {
    this.end();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve(this.end());
  }

  #leave(): void {
    this.#finish();
    this.#inbox.clear();
  }

  /** Takes no more. What has arrived is still read. */
  #finish(cause?: BusError): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#cause = cause;
    this.#taken.unsubscribe();
    this.#first?.[Symbol.dispose]();
    if (this.#abort) this.#options.signal?.removeEventListener("abort", this.#abort);
    this.#inbox.end(cause);
    this.#resolveClosed(cause);
    this.#with.onEnd(this);
  }

  #take(packet: Packet): void {
    if (this.#settled) return;
    this.#heard.ms = this.#with.nowMs();
    if (this.#first) {
      this.#first[Symbol.dispose]();
      this.#first = undefined;
    }
    const inbox = this.#inbox;
    this.#received++;
    if (this.#handle && this.#running < this.#concurrency && inbox.pending === 0) this.#run(packet, this.#handle);
    else {
      const before = inbox.dropped;
      inbox.push(packet);
      const dropped = inbox.dropped > before;
      if (dropped || this.#told || inbox.pending >= this.#slowAt) this.#overflow(dropped);
    }
    if (this.#received >= (this.#options.max ?? Infinity)) this.#finish();
  }

  #read(packet: Packet): ReceivedDelivery<M> | undefined {
    return readDelivery(this.#message, packet, this.#once, this.#with);
  }

  #run(packet: Packet, handle: Handle<M>): void {
    let delivery: ReceivedDelivery<M> | undefined;
    try {
      let result = this.#once === undefined ? this.#options.recognise?.(packet.view ?? packet.data) : undefined;
      if (result === undefined) {
        const read = (delivery = this.#read(packet));
        if (!read) return;
        result = within(packet.headers === undefined ? undefined : read.trace, this.#with.nowMs, () => handle(read));
      }
      if (!isThenable(result)) return;
      this.#running++;
      // Whatever it is that was returned, it settles once and not before its time.
      Promise.resolve(result).then(() => this.#release(), (error: unknown) => {
        this.#failed(delivery, error);
        this.#release();
      });
    } catch (error) {
      this.#failed(delivery, error);
    }
  }

  #failed(delivery: ReceivedDelivery<M> | undefined, error: unknown): void {
    const { subject } = this.#message;
    delivery?.failed();
    this.#with.counting.count(subject, "handler_failed", { reason: reasonOf(error) });
    this.#with.emit({ type: "handler_failed", subject, error });
  }

  #release(): void {
    this.#running--;
    for (let packet; this.#handle && this.#running < this.#concurrency && (packet = this.#inbox.shift()); ) this.#run(packet, this.#handle);
    if (this.#running > 0) return;
    const idlers = this.#idlers;
    this.#idlers = undefined;
    if (idlers) for (const done of idlers) done();
  }

  #overflow(dropped: boolean): void {
    const inbox = this.#inbox;
    const { emit, counting } = this.#with;
    const { subject } = this.#message;
    const { pending } = inbox;
    const { whenFull = "drop-oldest", maxPending = 65_536, maxPendingBytes = 32 * 1_048_576 } = this.#options;
    const slowAt = this.#slowAt;
    if (whenFull === "cut" && dropped) {
      inbox.clear();
      emit({ type: "slow_consumer", subject, pending, cut: true });
      counting.count(subject, "slow_consumer_cut");
      return this.#finish(new BusError("BUS_SLOW_CONSUMER", `the reader of ${subject} was too slow: more than ${maxPending} messages or ${maxPendingBytes} bytes waited`));
    }
    if (pending < slowAt / 2 && inbox.pendingBytes < maxPendingBytes / 2) this.#told = false;
    if (this.#told || (pending < slowAt && !dropped)) return;
    this.#told = true;
    counting.count(subject, "slow_consumer", { pending });
    emit({ type: "slow_consumer", subject, pending, cut: false });
  }
}

const isThenable = (value: unknown): value is PromiseLike<unknown> => typeof value === "object" && value !== null && typeof (value as PromiseLike<unknown>).then === "function";

/** Anything can be thrown, also what cannot become text. */
function reasonOf(error: unknown): string {
  try {
    return error instanceof Error ? error.message : String(error);
  } catch {
    return typeof error;
  }
}
