import type { ConnectionOptions, NatsConnection } from "nats";
import { BusError } from "./errors.ts";
import { createEmitter } from "./emitter.ts";
import { type Clock, type Logger, silentLogger, systemClock } from "./ports.ts";
import { assertPattern, assertSubject } from "./subject.ts";
import type { Packet, Transport, TransportStatus } from "./transport.ts";

export interface NatsTransportOptions {
  /** `nats://host:port`, one or several of one cluster. */
  servers: string | readonly string[];
  user?: string;
  password?: string;
  token?: string;
  /** Shown by the server's monitoring. */
  name?: string;
  /** PEM texts or files, as the `nats` client takes them. */
  tls?: ConnectionOptions["tls"];
  /** How long the first connection may take, all attempts together. Default 20 000 ms. */
  connectTimeoutMs?: number;
  /** Wait between attempts to find the bus again. Default 500 ms, plus jitter. */
  reconnectWaitMs?: number;
  signal?: AbortSignal;
  log?: Logger;
  clock?: Clock;
}

/**
 * Opens a connection to a NATS server or cluster. Once it stands it reconnects for ever: the bus being away ends nobody.
 * @throws BusError `BUS_CONNECT_FAILED` when no server answers within `connectTimeoutMs`
 */
export function natsTransport(options: NatsTransportOptions): () => Promise<Transport> {
  return async () => wrap(await firstConnection(options), options);
}

async function firstConnection(options: NatsTransportOptions): Promise<NatsConnection> {
  const { servers, user, password, token, name, tls, connectTimeoutMs = 20_000, reconnectWaitMs = 500, signal, clock = systemClock } = options;
  const settings: ConnectionOptions = {
    servers: typeof servers === "string" ? servers.split(",").map((each) => each.trim()) : [...servers],
    maxReconnectAttempts: -1,
    reconnectTimeWait: reconnectWaitMs,
    reconnectJitter: Math.ceil(reconnectWaitMs / 2),
    pingInterval: 20_000,
    maxPingOut: 2,
    timeout: Math.min(connectTimeoutMs, 5_000),
    ...(user !== undefined && { user }),
    ...(password !== undefined && { pass: password }),
    ...(token !== undefined && { token }),
    ...(name !== undefined && { name }),
    ...(tls && { tls }),
  };
  // Loaded here: a bus within one process starts without it.
  const { connect } = await import("nats");
  const until = clock.now() + connectTimeoutMs;
  for (;;) {
    signal?.throwIfAborted();
    try {
      return await connect(settings);
    } catch (cause) {
      if (clock.now() >= until)
        throw new BusError("BUS_CONNECT_FAILED", `no NATS server answers at ${shown(settings.servers)}: start one (nats-server) or correct the address`, {
          cause, retryable: true,
        });
    }
    await new Promise<void>((done) => clock.after(200, done));
  }
}

const shown = (servers: ConnectionOptions["servers"]): string => [servers ?? []].flat().map((each) => each.replace(/\/\/[^@/]*@/, "//***@")).join(", ");

function wrap(connection: NatsConnection, { log = silentLogger }: NatsTransportOptions): Transport {
  const changes = createEmitter<TransportStatus>();
  let status: TransportStatus = "connected";
  let closing: Promise<void> | undefined;
  const become = (next: TransportStatus): void => {
    if (status === next || status === "closed") return;
    status = next;
    log.info("bus.status", { status });
    changes.emit(status);
  };
  void (async () => {
    for await (const { type } of connection.status())
      if (String(type) === "disconnect") become("disconnected");
      else if (String(type) === "reconnect") become("connected");
  })().catch(() => undefined);
  void connection.closed().then((cause) => {
    if (cause && !closing) log.error("bus.closed", { reason: cause.message });
    become("closed");
  });
  const maxPayloadBytes = connection.info?.max_payload ?? 1_048_576;
  const assertOpen = (): void => {
    if (status === "closed" || closing) throw new BusError("BUS_CLOSED", "this connection to the bus is closed");
  };

  return {
    get status() {
      return status;
    },
    maxPayloadBytes,
    publish(subject, data, reply) {
      assertOpen();
      assertSubject(subject);
      if (data.length > maxPayloadBytes)
        throw new BusError("BUS_PAYLOAD_TOO_LARGE", `${subject}: ${data.length} bytes are more than the bus carries (${maxPayloadBytes})`);
      // The client would keep it in memory and lose it or not, depending on the moment; dropping is at least the same every time.
      if (status !== "connected") return false;
      connection.publish(subject, data, reply === undefined ? {} : { reply });
      return true;
    },
    subscribe(pattern, receive, queue) {
      assertOpen();
      assertPattern(pattern);
      const subscription = connection.subscribe(pattern, {
        ...(queue !== undefined && { queue }),
        callback(error, message) {
          if (error && error.code !== "503") return log.warn("bus.subscription", { pattern, reason: error.message });
          const packet: Packet = {
            subject: message.subject,
            data: message.data,
            ...(message.reply !== undefined && message.reply !== "" && { reply: message.reply }),
            ...((error?.code === "503" || message.headers?.code === 503) && { noResponders: true as const }),
          };
          // A throw in here would end the client's read loop.
          try {
            receive(packet);
          } catch (cause) {
            log.error("bus.receive", { pattern, reason: String(cause) });
          }
        },
      });
      return { unsubscribe: () => subscription.unsubscribe() };
    },
    async flush(signal) {
      signal?.throwIfAborted();
      await connection.flush();
    },
    onStatus: (listen) => changes.on(listen),
    [Symbol.asyncDispose]() {
      return (closing ??= close());
    },
  };

  async function close(): Promise<void> {
    if (connection.isClosed()) return;
    // Draining waits for the server; a server that is away must not hold us.
    const limit = new Promise<void>((done) => setTimeout(done, 2_000).unref());
    if (status === "connected") await Promise.race([connection.drain().catch(() => undefined), limit]);
    await Promise.race([connection.close().catch(() => undefined), limit]);
    become("closed");
  }
}
