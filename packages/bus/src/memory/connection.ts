import { BusError } from "../errors.ts";
import { createEmitter } from "../emitter.ts";
import { headerBytes, normalizeHeaders } from "../headers.ts";
import type { Clock } from "../ports.ts";
import { assertPattern, assertSubject } from "../subject.ts";
import type { Packet, PacketOptions, ReceiveOptions, Transport, TransportEvent, TransportStatus, TransportSubscription } from "../transport.ts";
import type { Exchange } from "./exchange.ts";
import { Session } from "./interest.ts";
import { payloadBytes } from "./packet.ts";
import type { Rights } from "./rights.ts";
import type { MemoryState } from "./state.ts";
import { MemorySubscription } from "./subscription.ts";

export interface ConnectionOptions {
  exchange: Exchange;
  state: MemoryState;
  clock: Clock;
  maxPayloadBytes: number;
  maxPendingBytes: number;
  reconnectWaitMs: number;
  inboxPrefix: string;
  echo: boolean;
  rights: Rights | undefined;
}

/** One client of a hub. */
export class MemoryConnection implements Transport {
  readonly maxPayloadBytes: number;
  readonly inboxPrefix: string;
  readonly closed: Promise<Error | undefined>;
  private current: TransportStatus = "connected";
  private session: Session;
  private closing: Promise<void> | undefined = undefined;
  private finish!: (cause: Error | undefined) => void;
  private readonly events = createEmitter<TransportEvent>();
  private readonly subscriptions = new Set<MemorySubscription>();
  private readonly options: ConnectionOptions;
  private readonly exchange: Exchange;
  private readonly forget = (subscription: MemorySubscription): void => void this.subscriptions.delete(subscription);

  constructor(options: ConnectionOptions) {
    this.options = options;
    this.exchange = options.exchange;
    this.maxPayloadBytes = options.maxPayloadBytes;
    this.inboxPrefix = options.inboxPrefix;
    this.closed = new Promise((done) => (this.finish = done));
    this.session = this.begin();
  }

  get status(): TransportStatus {
    return this.current;
  }

  publish(subject: string, data: Uint8Array | string, options?: PacketOptions): boolean {
    const { current, exchange, session } = this;
    if (current === "closed") throw closed();
    exchange.interests.find(subject);
    const text = typeof data === "string";
    if (!text && !(data instanceof Uint8Array)) throw new BusError("BUS_INVALID_PAYLOAD", `${subject}: a payload is bytes or text`);
    const reply = options?.reply;
    if (reply !== undefined) assertSubject(reply);
    const headers = options?.headers && normalizeHeaders(options.headers);
    const bytes = payloadBytes(data);
    if (bytes + (headers ? headerBytes(headers) : 0) > this.maxPayloadBytes)
      throw new BusError("BUS_PAYLOAD_TOO_LARGE", `${subject}: ${bytes + headerBytes(headers)} bytes are more than the bus carries (${this.maxPayloadBytes})`);
    if (current !== "connected") return false;
    if (this.options.rights && !this.options.rights.mayPublish(subject, session.responses)) {
      this.refuse("publish", subject);
      return true;
    }
    const reached = exchange.route(this.options.echo ? undefined : session, { subject, payload: text ? data : data.slice(), bytes, reply, headers, status: undefined });
    if (reached === 0 && reply !== undefined) exchange.tellNobody(session, reply);
    return true;
  }

  subscribe(pattern: string, receive: (packet: Packet) => void, options: ReceiveOptions = {}): TransportSubscription {
    if (this.current === "closed" || this.closing) throw closed();
    assertPattern(pattern);
    const { queue, max } = options;
    if (queue !== undefined) assertSubject(queue);
    if (max !== undefined && !(Number.isSafeInteger(max) && max > 0)) throw new BusError("BUS_INVALID_SUBJECT", `max must be a whole number above 0, not ${max}`);
    const subscription = new MemorySubscription(this.exchange, pattern, receive, { ...options, forget: this.forget });
    this.subscriptions.add(subscription);
    if (this.current === "connected") this.attach(subscription);
    return subscription;
  }

  async flush(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (this.current === "closed") throw closed();
    if (this.current !== "connected") throw away();
    await new Promise<void>((done, fail) => {
      const abort = (): void => fail(signal?.reason as Error);
      signal?.addEventListener("abort", abort, { once: true });
      this.exchange.mark(this.session, (lost) => {
        signal?.removeEventListener("abort", abort);
        if (!lost) done();
        else fail(this.current === "closed" ? closed() : away());
      });
    });
  }

  on(listen: (event: TransportEvent) => void): Disposable {
    return this.events.on(listen);
  }

  openBucket: Transport["openBucket"] & {} = (name, options) => this.options.state.bucket(this, name, options);
  openObjects: Transport["openObjects"] & {} = (name, options) => this.options.state.objects(this, name, options);
  openQueue: Transport["openQueue"] & {} = (name, options) => this.options.state.queue(this, name, options);

  [Symbol.asyncDispose](): Promise<void> {
    return (this.closing ??= this.close());
  }

  private async close(): Promise<void> {
    // What is on the way is still delivered, and may be answered; nothing new comes.
    if (this.current === "connected" && !this.session.held) {
      for (const subscription of this.subscriptions) subscription.detach(true);
      await new Promise<void>((done) => this.exchange.mark(this.session, () => done()));
    }
    this.current = "closed";
    this.end();
    this.subscriptions.clear();
    this.events.emit({ type: "closed" });
    this.finish(undefined);
  }

  /** Fault: the way to the hub is cut. What waits is lost. */
  cut(): void {
    if (this.current !== "connected") return;
    this.current = "disconnected";
    this.end();
    this.events.emit({ type: "disconnected" });
    if (this.status === "disconnected") this.events.emit({ type: "reconnecting" });
  }

  /** The way is there again: every subscription and group takes its place. */
  restore(): void {
    if (this.current !== "disconnected" || this.closing) return;
    this.current = "connected";
    this.session = this.begin();
    for (const subscription of this.subscriptions) this.attach(subscription);
    this.events.emit({ type: "connected" });
  }

  /** The hub asks to move: new places are taken first, then the old ones deliver what they still have. */
  move(): void {
    if (this.current !== "connected" || this.closing) return;
    this.events.emit({ type: "lame_duck" });
    if (this.status !== "connected" || this.closing) return;
    this.session = this.begin();
    for (const subscription of this.subscriptions) {
      subscription.detach(true);
      this.attach(subscription);
    }
  }

  /** Fault: nothing is read until the result is disposed. */
  hold(): Disposable {
    const { session } = this;
    session.held ??= [];
    return { [Symbol.dispose]: () => this.exchange.release(session) };
  }

  private begin(): Session {
    return new Session({
      maxPendingBytes: this.options.maxPendingBytes,
      responses: this.options.rights?.responses(this.options.clock),
      onOverrun: (session, subject) => queueMicrotask(() => this.overrun(session, subject)),
      onFailure: (subject, error) => this.events.emit({ type: "receiver_failed", subject, error }),
    });
  }

  private end(): void {
    const { session } = this;
    session.open = false;
    session.held = undefined;
    for (const subscription of this.subscriptions) subscription.detach();
    for (const tell of [...session.waiting]) tell(true);
  }

  private overrun(session: Session, subject: string): void {
    if (session !== this.session || this.current !== "connected") return;
    this.events.emit({ type: "slow_consumer", subject, pending: session.pendingBytes, cut: true });
    this.cut();
    this.options.clock.after(this.options.reconnectWaitMs, () => this.restore());
  }

  private attach(subscription: MemorySubscription): void {
    const { rights } = this.options;
    if (rights && !rights.maySubscribe(subscription.pattern, subscription.queue)) this.refuse("subscribe", subscription.pattern);
    else subscription.attach(this.session, rights);
  }

  private refuse(operation: "publish" | "subscribe", subject: string): void {
    const error = new BusError("BUS_FORBIDDEN", `this user may not ${operation === "publish" ? "publish to" : "subscribe to"} ${subject}`);
    setImmediate(() => this.events.emit({ type: "error", error, operation, subject }));
  }
}

const closed = (): BusError => new BusError("BUS_CLOSED", "this connection to the bus is closed");
const away = (): BusError => new BusError("BUS_DISCONNECTED", "the bus is away", { retryable: true });
