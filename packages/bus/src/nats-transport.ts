import type { NatsConnection } from "nats";
import type { BusError } from "./errors.ts";
import { createEmitter } from "./emitter.ts";
import { connectClient, connectElsewhere } from "./nats/connect.ts";
import { waitingBytes } from "./nats/client.ts";
import { closed as closedError, disconnected } from "./nats/errors.ts";
import { defaults, type NatsTlsOptions, type NatsTransportOptions } from "./nats/options.ts";
import { createMover } from "./nats/move.ts";
import { createWriter } from "./nats/publish.ts";
import { watchStatus } from "./nats/status.ts";
import { createSubscriptions } from "./nats/subscriptions.ts";
import { silentLogger } from "./ports.ts";
import type { Transport, TransportEvent, TransportStatus } from "./transport.ts";

export type { NatsTlsOptions, NatsTransportOptions };

/** What closing may take when the server does not answer. */
const closeWithinMs = 2_000;

/**
 * Opens a connection to a NATS server or cluster. Once it stands it reconnects for ever: the bus being away ends nobody.
 * @throws BusError `BUS_CONNECT_FAILED` when no server answers within `connectTimeoutMs`, `BUS_UNAUTHORIZED` when one refuses the credentials,
 * `BUS_INVALID_SUBJECT` for an `inboxPrefix` with wildcards
 */
export function natsTransport(options: NatsTransportOptions): () => Promise<Transport> {
  return async () => wrap(await connectClient(options), options);
}

function wrap(connection: NatsConnection, options: NatsTransportOptions): Transport {
  const { log = silentLogger, inboxPrefix = defaults.inboxPrefix, maxWaitingBytes = defaults.maxWaitingBytes } = options;
  const events = createEmitter<TransportEvent>();
  const tell = (event: TransportEvent): void => events.emit(event);
  let status: TransportStatus = "connected";
  let closing: Promise<void> | undefined;
  let maxPayloadBytes = connection.info?.max_payload ?? 1_048_576;
  const flushes = new Set<(error: BusError) => void>();
  const failFlushes = (error: BusError): void => flushes.forEach((fail) => fail(error));
  const subscriptions = createSubscriptions(connection, (subject, error) => {
    log.error("bus.receiver_failed", { subject, reason: String(error) });
    tell({ type: "receiver_failed", subject, error });
  });
  let outlet = connection;
  const writer = createWriter(() => outlet, () => maxPayloadBytes);
  const mover = createMover({
    connection,
    subscriptions,
    open: () => connectElsewhere(connection, options),
    sendBy: (next) => (outlet = next),
    tell,
  });
  const assertOpen = (): void => {
    if (status === "closed" || closing) throw closedError();
  };

  const react = (event: TransportEvent): void => {
    if (event.type === "disconnected") {
      status = "disconnected";
      failFlushes(disconnected());
    } else if (event.type === "connected") status = "connected";
    if (event.type === "error") log.warn("bus.error", { code: event.error.code, reason: event.error.message });
    else if (event.type !== "reconnecting") log.info("bus.status", { status: event.type });
    tell(event);
  };
  // What becomes of the first connection while another one stands in for it is told only when it does not come back.
  let untold: TransportEvent[] = [];
  watchStatus(connection, (event) => {
    if (event.type === "connected") {
      maxPayloadBytes = connection.info?.max_payload ?? maxPayloadBytes;
      subscriptions.renewLimits();
      mover.returned();
    }
    const course = event.type === "disconnected" || event.type === "reconnecting" || event.type === "connected";
    if (!course || !mover.standsIn) react(event);
    else if (event.type === "connected") untold = [];
    else untold.push(event);
    if (event.type === "lame_duck") void leave();
  });
  const leave = async (): Promise<void> => {
    if (await mover.start()) log.info("bus.moved", { server: connection.getServer() });
    untold.splice(0).forEach(react);
  };
  const closed = connection.closed().then((cause): Error | undefined => {
    const reason = closing ? undefined : (cause ?? undefined);
    status = "closed";
    failFlushes(closedError());
    if (reason) log.error("bus.closed", { reason: reason.message });
    else log.info("bus.status", { status });
    tell({ type: "closed", ...(reason && { cause: reason }) });
    return reason;
  });

  return {
    get status() {
      return status;
    },
    get maxPayloadBytes() {
      return maxPayloadBytes;
    },
    inboxPrefix,
    closed,
    publish(subject, data, options = {}) {
      if (status === "closed") throw closedError();
      const packet = writer.check(subject, data, options);
      // The client would keep it in memory and lose it or not, depending on the moment; dropping is at least the same every time.
      if (status !== "connected" || waitingBytes(outlet) > maxWaitingBytes) return false;
      writer.write(packet);
      return true;
    },
    subscribe(pattern, receive, options = {}) {
      assertOpen();
      return subscriptions.open(pattern, receive, options);
    },
    async flush(signal) {
      signal?.throwIfAborted();
      if (status === "closed") throw closedError();
      if (status === "disconnected") throw disconnected();
      await new Promise<void>((done, fail) => {
        const abort = (): void => fail(signal?.reason as Error);
        flushes.add(fail);
        signal?.addEventListener("abort", abort, { once: true });
        outlet.flush().then(done, () => fail(disconnected())).finally(() => {
          flushes.delete(fail);
          signal?.removeEventListener("abort", abort);
        });
      });
    },
    on: (listen) => events.on(listen),
    async openBucket(name, options) {
      assertOpen();
      return (await import("./kv/nats.ts")).openNatsBucket(connection, name, options);
    },
    async openObjects(name, options) {
      assertOpen();
      return (await import("./objects/nats.ts")).openNatsObjects(connection, name, options);
    },
    async openQueue(name, options) {
      assertOpen();
      return (await import("./queue/nats.ts")).openNatsQueue(connection, name, options);
    },
    [Symbol.asyncDispose]() {
      return (closing ??= close());
    },
  };

  async function close(): Promise<void> {
    if (connection.isClosed()) return void (await closed);
    // Draining waits for the server; one that is away must not hold us.
    let timer: NodeJS.Timeout | undefined;
    const limit = new Promise<void>((done) => (timer = setTimeout(done, closeWithinMs)));
    const drained = async (): Promise<void> => {
      await subscriptions.drain();
      await outlet.flush();
    };
    const gone = new Promise<void>((done) => flushes.add(() => done()));
    if (status === "connected") await Promise.race([drained().catch(() => undefined), gone, limit]);
    await Promise.race([mover.cancel(), limit]);
    await Promise.race([connection.close().catch(() => undefined), limit]);
    clearTimeout(timer);
  }
}
