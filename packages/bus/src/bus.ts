import { createCounting } from "./bus/counters.ts";
import { createAsking } from "./bus/asking.ts";
import type { Answer } from "./bus/delivery.ts";
import type { Bus, BusEvent, GatherOptions, SubscribeOptions, Subscription } from "./bus/face.ts";
import { createIds } from "./bus/ids.ts";
import { createLane, type Lane } from "./bus/lane.ts";
import { BusSubscription, type Handle, type Running, type Subscribing } from "./bus/subscription.ts";
import { type Cause, currentCause, within, writeTrace } from "./bus/trace.ts";
import { createEmitter } from "./emitter.ts";
import { BusError } from "./errors.ts";
import type { HeadersInit } from "./headers.ts";
import { after, type Clock, type Logger, silentLogger, systemClock } from "./ports.ts";
import type { AnyMessage, Body, Reply } from "./schema.ts";
import { fillSubject } from "./subject.ts";
import type { Transport, TransportStatus } from "./transport.ts";

export interface BusOptions {
  /** A connection, or what opens one. Disposing the bus ends it. */
  transport: Transport | (() => Promise<Transport>);
  /** Whether bulk traffic takes a connection of its own. Default `separate` where `transport` can be opened twice. */
  lanes?: "separate" | "single";
  /** Who speaks, such as `dea/0`; told to receivers of traced messages. */
  name?: string;
  /** Wait after the bus has come back before kept messages leave, so that their receivers are back too. Default 1 500 ms. */
  resumeAfterMs?: number;
  log?: Logger;
  clock?: Clock;
}

/**
 * Puts typed messages on a transport.
 * @throws whatever opening the transport throws, such as BusError `BUS_CONNECT_FAILED`
 */
export async function createBus({ transport: given, lanes: lanesGiven = "separate", name, resumeAfterMs, log = silentLogger, clock = systemClock }: BusOptions): Promise<Bus> {
  const [transport, bulk] = await open(given, lanesGiven);
  const nowMs = (): number => clock.now();
  const counting = createCounting(log, clock);
  const events = createEmitter<BusEvent>();
  const heardAt = new Map<string, { ms: number }>();
  const running = new Set<Running>();
  const nextId = createIds();
  const control = createLane(transport, { clock, counting, nextId, resumeAfterMs });
  const lanes: readonly Lane[] = bulk === transport ? [control] : [control, createLane(bulk, { clock, counting, nextId, resumeAfterMs })];
  const laneOf = (message: AnyMessage): Lane => (message.lane === "bulk" ? (lanes.at(-1) as Lane) : control);
  let draining: Promise<void> | undefined;
  let hurry = (): void => undefined;

  const endOn = (own: Transport): void => {
    for (const each of [...running]) if (each.transport === own) each.end(new BusError("BUS_CLOSED", "the connection to the bus has ended"));
  };
  const watches = lanes.map(({ transport: own }) => own.on((event) => {
    if (event.type === "closed") endOn(own);
    // How the second connection fares is nobody's business, except for what it refuses.
    if (own === transport || "subject" in event) events.emit(event);
  }));

  const assertConnectable = (): void => {
    if (transport.status === "closed") throw new BusError("BUS_CLOSED", "this connection to the bus is closed");
  };
  const assertOpen = (): void => {
    assertConnectable();
    if (draining) throw new BusError("BUS_DRAINING", "this bus takes no more: it is being closed");
  };
  const headersOf = (headers: HeadersInit | undefined, cause: Cause | undefined): HeadersInit => writeTrace(headers, nextId(), cause, name);
  const asking = createAsking({ clock, counting, laneOf, headersFor: (headers) => headersOf(headers, currentCause(nowMs, "command")) });
  const answerOn = (own: Transport): Answer => (message, reply, data, trace) => {
    let sent = false;
    try {
      sent = own.status !== "closed" && own.publish(reply, data, trace && { headers: headersOf(undefined, trace) });
    } catch (error) {
      // Where the answer should go is the choice of who asked; what it is, is ours.
      if (error instanceof BusError && error.code === "BUS_PAYLOAD_TOO_LARGE") throw error;
    }
    if (!sent) counting.count(message.subject, "answer_lost");
    return sent;
  };
  const subscribing = new Map(lanes.map((lane): [Lane, Subscribing] => [lane, {
    transport: lane.transport, clock, nowMs, counting, answer: answerOn(lane.transport), emit: events.emit, onEnd: (ended) => running.delete(ended),
  }]));

  function subscribe<M extends AnyMessage>(message: M, first?: Handle<M> | SubscribeOptions, second?: SubscribeOptions): Subscription<M> {
    assertOpen();
    const handle = typeof first === "function" ? first : undefined;
    const options = (typeof first === "function" ? second : first) ?? {};
    const heard = heardAt.get(message.subject) ?? { ms: 0 };
    heardAt.set(message.subject, heard);
    const subscription = new BusSubscription(message, handle, options, { parts: subscribing.get(laneOf(message)) as Subscribing, heard });
    if (!subscription.ended) running.add(subscription);
    return subscription;
  }

  const flushLane = async ({ outbox, transport: own }: Lane, signal?: AbortSignal): Promise<void> => {
    if (outbox.pending > 0) await outbox.emptied(signal);
    await own.flush(signal);
  };
  const atMost = async (limitMs: number, ...work: readonly Promise<unknown>[]): Promise<void> => {
    let limit: Disposable | undefined;
    await Promise.race([...work, new Promise<void>((done) => (limit = after(clock, limitMs, done)))]);
    limit?.[Symbol.dispose]();
  };
  /** One way out for all: what it waits for may hang, it may not. */
  const close = async (timeoutMs: number): Promise<void> => {
    const orderly = async (): Promise<void> => {
      const all = [...running];
      await Promise.allSettled(all.map((each) => each.drain()));
      await Promise.allSettled(all.map((each) => each.idle()));
      await Promise.allSettled(lanes.map((each) => flushLane(each)));
    };
    await atMost(timeoutMs, orderly(), new Promise<void>((done) => (hurry = done)));
    for (const each of [...running]) each.end();
    for (const each of lanes) each[Symbol.dispose]();
    await atMost(2_000, Promise.allSettled(lanes.map((each) => each.transport[Symbol.asyncDispose]())));
    for (const each of watches) each[Symbol.dispose]();
  };

  return {
    name,
    transport,
    bulk,
    counters: counting.counters,
    closed: transport.closed,
    get connected() {
      return transport.status === "connected";
    },
    get pendingOut() {
      return lanes.reduce((sum, each) => sum + each.outbox.pending, 0);
    },
    lastHeardMs: (message) => heardAt.get(message.subject)?.ms || undefined,
    onStatus: (listen) => events.on((event) => isStatus(event.type) && listen(event.type)),
    on: events.on,
    publish(message, body, options) {
      assertConnectable();
      const data = message.body.encode(body);
      const subject = fillSubject(message.subject, options?.params);
      const traced = startsTrace(message);
      const cause = options?.cause?.trace ?? currentCause(nowMs, traced ? "command" : "softState");
      const headers = cause !== undefined || traced ? headersOf(options?.headers, cause) : options?.headers;
      laneOf(message).outbox.send({ message, subject, data, headers }, body);
    },
    subscribe,
    async request(message, body, options) {
      assertOpen();
      return asking.request(message, body, options);
    },
    async gather<M extends AnyMessage>(message: M, body: Body<M>, options: GatherOptions): Promise<Reply<M>[]> {
      assertOpen();
      const all: Reply<M>[] = [];
      for await (const reply of asking.answers(message, body, options)) all.push(reply);
      return all;
    },
    async *answers(message, body, options) {
      assertOpen();
      yield* asking.answers(message, body, options);
    },
    async *replies(message, body, options) {
      assertOpen();
      yield* asking.replies(message, body, options);
    },
    trace: (run) => {
      const id = nextId();
      return within({ traceId: id }, nowMs, run);
    },
    async flush(signal) {
      await Promise.all(lanes.map((each) => flushLane(each, signal)));
    },
    drain: ({ timeoutMs = 10_000 } = {}) => (draining ??= close(timeoutMs)),
    async [Symbol.asyncDispose]() {
      if (!draining) return (draining = close(2_000));
      // Somebody gave it more time; it has that much from now on.
      const limit = after(clock, 2_000, () => hurry());
      await draining;
      limit[Symbol.dispose]();
    },
  };
}

// Soft state that nobody asked for stays without a trace: it is most of the traffic, and the same in every trace.
const startsTrace = (message: AnyMessage): boolean => message.id !== undefined || message.onDisconnect.kind === "buffer";

const isStatus = (type: string): type is TransportStatus => type === "connected" || type === "disconnected" || type === "closed";

async function open(given: BusOptions["transport"], lanes: "separate" | "single"): Promise<[Transport, Transport]> {
  if (typeof given !== "function") return [given, given];
  if (lanes === "single") {
    const one = await given();
    return [one, one];
  }
  const [control, bulk] = await Promise.allSettled([given(), given()]);
  if (control.status === "fulfilled" && bulk.status === "fulfilled") return [control.value, bulk.value];
  for (const each of [control, bulk]) if (each.status === "fulfilled") await each.value[Symbol.asyncDispose]();
  throw (control.status === "rejected" ? control : (bulk as PromiseRejectedResult)).reason;
}

export type { Delivery } from "./bus/delivery.ts";
export type { Bus, BusEvent, GatherOptions, RequestOptions, PublishOptions, SubscribeOptions, Subscription } from "./bus/face.ts";
export type { BusCounters } from "./bus/counters.ts";
