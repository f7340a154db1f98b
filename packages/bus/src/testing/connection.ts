import { createEmitter } from "../emitter.ts";
import { BusError } from "../errors.ts";
import { headerBytes, normalizeHeaders } from "../headers.ts";
import { assertPattern, assertSubject } from "../subject.ts";
import type { Transport, TransportEvent, TransportStatus, TransportSubscription } from "../transport.ts";
import type { Rights } from "../memory/rights.ts";
import type { Clock } from "../ports.ts";
import type { Interest, Network, Peer } from "./network.ts";
import type { Letter } from "./packet.ts";
import type { TraceRecorder } from "./trace.ts";

export interface ConnectionParts {
  readonly name: string;
  readonly echo: boolean;
  readonly inboxPrefix: string;
  readonly maxPayloadBytes: number;
  /** What its user may do; undefined: everything. */
  readonly rights: Rights | undefined;
  readonly clock: Clock;
  readonly network: Network;
  readonly trace: TraceRecorder;
  readonly shown: (subject: string) => string;
  readonly nextMessage: () => number;
  readonly ended: () => void;
}

/** One connection of a node, with the ends that the simulation holds. */
export interface Connection {
  readonly transport: Transport;
  readonly peer: Peer;
  breakOff(): void;
  restore(): void;
  close(): void;
  /** A promise that fails as soon as the connection does, or the signal. @throws BusError `BUS_DISCONNECTED`, `BUS_CLOSED` */
  wait<T>(begin: (done: (value: T) => void, fail: (error: unknown) => void) => void, signal?: AbortSignal): Promise<T>;
}

const encoder = new TextEncoder();
/** How long a connection that was cut for not reading stays away. */
const comebackMs = 2_000;

export function createConnection({ name, echo, inboxPrefix, maxPayloadBytes, rights, clock, network, trace, shown, nextMessage, ended }: ConnectionParts): Connection {
  const peer: Peer = {
    name, echo, epoch: 0, upFreeUs: 0, downFreeUs: 0, pendingBytes: 0,
    overrun(subject) {
      if (status !== "connected") return;
      trace.add({ event: "disconnect", from: name, note: `${peer.pendingBytes} bytes wait for it` });
      events.emit({ type: "slow_consumer", subject, pending: peer.pendingBytes, cut: true });
      breakOff();
      clock.after(comebackMs, restore);
    },
  };
  const responses = rights?.responses(clock);
  const own = new Set<Interest>();
  const leaving = new WeakSet<Interest>();
  const waiting = new Set<(error: BusError) => void>();
  const events = createEmitter<TransportEvent>();
  let status: TransportStatus = "connected";
  let closed!: (cause: Error | undefined) => void;
  const whenClosed = new Promise<Error | undefined>((done) => (closed = done));

  const assertOpen = (): void => {
    if (status === "closed") throw new BusError("BUS_CLOSED", "this connection to the bus is closed");
  };
  const giveUp = (error: BusError): void => {
    for (const reject of [...waiting]) reject(error);
  };
  const wait: Connection["wait"] = (begin, signal) => new Promise((resolve, reject) => {
    assertOpen();
    if (status !== "connected") throw new BusError("BUS_DISCONNECTED", "the bus is away", { retryable: true });
    signal?.throwIfAborted();
    const end = (): void => {
      waiting.delete(fail);
      signal?.removeEventListener("abort", onAbort);
    };
    const fail = (error: unknown): void => {
      end();
      reject(error);
    };
    const onAbort = (): void => fail(signal?.reason);
    signal?.addEventListener("abort", onAbort);
    waiting.add(fail);
    begin((value) => {
      end();
      resolve(value);
    }, fail);
  });
  /** To the server and back; everything said before has been routed by then. */
  const roundTrip = (signal?: AbortSignal): Promise<void> =>
    wait<void>((done) => network.up(peer, () => network.down(peer, "", done)), signal);

  const refuse = (operation: "publish" | "subscribe", subject: string): void => network.down(peer, "", () => {
    trace.add({ event: "forbidden", from: name, subject: shown(subject), note: operation });
    events.emit({ type: "error", operation, subject, error: new BusError("BUS_FORBIDDEN", `this user may not ${operation} ${subject}`) });
  });
  const announce = (interest: Interest): void => network.up(peer, () => {
    if (!own.has(interest)) return;
    if (rights && !rights.maySubscribe(interest.pattern, interest.queue)) refuse("subscribe", interest.pattern);
    else network.add(interest);
  });

  const close = (): void => {
    if (status === "closed") return;
    status = "closed";
    trace.add({ event: "close", from: name });
    for (const interest of own) network.remove(interest);
    own.clear();
    giveUp(new BusError("BUS_CLOSED", "the connection to the bus was closed"));
    ended();
    events.emit({ type: "closed" });
    closed(undefined);
  };

  const breakOff = (): void => {
    if (status !== "connected") return;
    status = "disconnected";
    peer.epoch++;
    peer.pendingBytes = 0;
    for (const interest of own) network.remove(interest);
    giveUp(new BusError("BUS_DISCONNECTED", "the connection to the bus broke", { retryable: true }));
    events.emit({ type: "disconnected" });
    if (status === "disconnected") events.emit({ type: "reconnecting" });
  };
  const restore = (): void => {
    if (status !== "disconnected") return;
    status = "connected";
    for (const interest of own) if (!leaving.has(interest)) announce(interest);
    events.emit({ type: "connected" });
  };

  const transport: Transport = {
    get status() {
      return status;
    },
    maxPayloadBytes,
    inboxPrefix,
    closed: whenClosed,
    publish(subject, data, { reply, headers: given } = {}) {
      assertOpen();
      assertSubject(subject);
      if (reply !== undefined) assertSubject(reply);
      if (typeof data !== "string" && !(data instanceof Uint8Array)) throw new BusError("BUS_INVALID_PAYLOAD", "a payload is bytes or text");
      const headers = given && normalizeHeaders(given);
      const bytes = typeof data === "string" ? encoder.encode(data) : data.slice();
      const size = bytes.length + headerBytes(headers);
      if (size > maxPayloadBytes) throw new BusError("BUS_PAYLOAD_TOO_LARGE", `${size} bytes for ${subject} are more than the ${maxPayloadBytes} that the bus takes`);
      const message = nextMessage();
      const entry = { from: name, subject: shown(subject), message };
      if (status !== "connected") {
        trace.add({ event: "lost", ...entry });
        return false;
      }
      trace.add({ event: "publish", ...entry });
      const letter: Letter = { subject, data: bytes, reply, headers, status: undefined };
      network.up(peer, () => (rights && !rights.mayPublish(subject, responses) ? refuse("publish", subject) : network.route(peer, letter, message)), () => trace.add({ event: "lost", ...entry }));
      return true;
    },
    subscribe(pattern, receive, { queue, max } = {}) {
      assertOpen();
      assertPattern(pattern);
      if (queue !== undefined) assertSubject(queue);
      if (max !== undefined && !(Number.isSafeInteger(max) && max > 0)) throw new BusError("BUS_INVALID_SUBJECT", `max must be a whole number above 0, not ${max}`);
      let delivered = 0;
      let ending: Promise<void> | undefined;
      const interest: Interest = {
        pattern, queue, max, hidden: rights?.hidden(pattern), peer, routed: 0, inFlight: 0,
        receive(packet) {
          if (!own.has(interest)) return;
          if (max !== undefined && ++delivered >= max) stop();
          if (packet.reply !== undefined) responses?.asked(packet.reply);
          try {
            receive(packet);
          } catch (error) {
            trace.add({ event: "receiver_failed", to: name, subject: shown(packet.subject), note: String(error) });
            events.emit({ type: "receiver_failed", subject: packet.subject, error });
          }
        },
      };
      const stop = (): void => {
        if (!own.delete(interest)) return;
        if (status === "connected") network.up(peer, () => network.remove(interest));
      };
      const drain = async (): Promise<void> => {
        leaving.add(interest);
        try {
          if (own.has(interest)) network.up(peer, () => network.remove(interest));
          do await roundTrip(); while (interest.inFlight > 0 && own.has(interest));
        } catch {
          // A broken connection has nothing on the way any more.
        }
        own.delete(interest);
      };
      own.add(interest);
      if (status === "connected") announce(interest);
      return { unsubscribe: stop, drain: () => (ending ??= drain()), [Symbol.dispose]: stop } satisfies TransportSubscription;
    },
    flush: (signal) => roundTrip(signal),
    on: (listen) => events.on(listen),
    [Symbol.asyncDispose]() {
      close();
      return Promise.resolve();
    },
  };

  return {
    transport,
    peer,
    breakOff,
    restore,
    close,
    wait,
  };
}
