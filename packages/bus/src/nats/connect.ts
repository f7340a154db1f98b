import { setTimeout as wait } from "node:timers/promises";
import type { ConnectionOptions, NatsConnection } from "nats";
import { BusError } from "../errors.ts";
import { systemClock } from "../ports.ts";
import { assertSubject } from "../subject.ts";
import { readAddresses } from "./addresses.ts";
import { abandonDial, paceReading } from "./client.ts";
import { credentialsFor } from "./credentials.ts";
import { codeOf, disconnected, isCertificateFault, isRefusal, unauthorized } from "./errors.ts";
import { firstThatSpeaks } from "./probe.ts";
import { defaults, type NatsTransportOptions } from "./options.ts";
import { tlsFor } from "./tls.ts";

/** The client's connection; from here on it finds the bus again by itself, for ever. */
export async function connectClient(options: NatsTransportOptions): Promise<NatsConnection> {
  const { servers, inboxPrefix = defaults.inboxPrefix, connectTimeoutMs = defaults.connectTimeoutMs, dialTimeoutMs = defaults.dialTimeoutMs } = options;
  const { reconnectWaitMs = defaults.reconnectWaitMs, staleAfterMs = defaults.staleAfterMs, waitForFirstServer = false, turnBytes = defaults.turnBytes, turnRestMs: restMs = defaults.turnRestMs, signal, clock = systemClock } = options;
  assertInboxPrefix(inboxPrefix);
  const address = readAddresses(servers);
  // Loaded here: a bus within one process starts without it.
  const nats = await import("nats");
  let connection: NatsConnection | undefined;
  const settings: ConnectionOptions = {
    noRandomize: true,
    // The system's resolver, within the time of the attempt; the client's own asks name servers only and as long as they please.
    resolve: false,
    maxReconnectAttempts: -1,
    ignoreAuthErrorAbort: true,
    reconnectDelayHandler() {
      if (connection) abandonDial(connection);
      return reconnectWaitMs * (1 + Math.random());
    },
    // Gone after three intervals: two questions without an answer.
    pingInterval: Math.max(1, Math.floor(staleAfterMs / 3)),
    maxPingOut: 2,
    timeout: Math.min(connectTimeoutMs, dialTimeoutMs),
    noAsyncTraces: true,
    inboxPrefix,
    ...(options.name !== undefined && { name: options.name }),
    ...(options.echo === false && { noEcho: true }),
    ...((options.tls || address.tls) && { tls: tlsFor(options.tls ?? {}, address.servers, () => connection?.getServer()) }),
    ...credentialsFor(nats, options, address),
  };
  const until = clock.now() + connectTimeoutMs;
  const silent = options.tls?.handshakeFirst === true;
  for (;;) {
    let cause: unknown;
    const order = shuffled(address.servers);
    const first = await firstThatSpeaks(order, settings.timeout as number, { silent, signal });
    signal?.throwIfAborted();
    if (first !== undefined)
      try {
        connection = await abortable(nats.connect({ ...settings, servers: [first, ...order.filter((each) => each !== first)] }), signal);
        if (turnBytes !== Infinity) paceReading(connection, { turnBytes, restMs, patienceMs: staleAfterMs / 4, clock });
        return connection;
      } catch (error) {
        signal?.throwIfAborted();
        if (isRefusal(error)) throw unauthorized(error);
        cause = error;
      }
    const hopeless = isCertificateFault(cause);
    if (!waitForFirstServer && (hopeless || clock.now() >= until))
      throw new BusError("BUS_CONNECT_FAILED", whyNot(address.servers.join(", "), cause, options.tls ?? (address.tls ? {} : undefined)), { cause, retryable: true });
    await wait(reconnectWaitMs * (0.5 + Math.random() / 2), undefined, signal && { signal }).catch(() => undefined);
  }
}

/** One more connection of the same client, to any server of the cluster but the one it is connected to. */
export async function connectElsewhere(connection: NatsConnection, options: NatsTransportOptions): Promise<NatsConnection> {
  const { servers, tls, ...login } = readAddresses(options.servers);
  const others = [...new Set([...servers, ...(connection.info?.connect_urls ?? [])])].filter((each) => each !== connection.getServer());
  if (others.length === 0) throw disconnected();
  return connectClient({ ...login, ...options, ...(tls && { tls: options.tls ?? {} }), servers: others, connectTimeoutMs: defaults.dialTimeoutMs, waitForFirstServer: false });
}

/** Clients of one cluster begin with different servers. */
const shuffled = (servers: readonly string[]): string[] => servers.map((server) => ({ server, at: Math.random() })).sort((a, b) => a.at - b.at).map(({ server }) => server);

/** What a person can do about it. A cause that is no certificate's is there only when a server has spoken. */
function whyNot(where: string, cause: unknown, tls: NatsTransportOptions["tls"]): string {
  // An alert is the server's word on our certificate.
  const theirs = codeOf(cause).includes("_ALERT_");
  if (isCertificateFault(cause) && !theirs) return `no NATS server answers at ${where}: its certificate is refused (${reason(cause)})`;
  if (codeOf(cause) === "SERVER_OPT_NA") return `the NATS server at ${where} has no TLS: ask without it, or configure it there`;
  if (cause !== undefined && tls) return `the NATS server at ${where} does not go on after TLS: ${tls.cert === undefined ? "it may want a certificate of ours" : "it may not accept our certificate"}; its log tells`;
  return `no NATS server answers at ${where}: start one (nats-server) or correct the address`;
}

const reason = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause));

function assertInboxPrefix(prefix: string): void {
  assertSubject(prefix);
  if (/[*>]/.test(prefix)) throw new BusError("BUS_INVALID_SUBJECT", "inboxPrefix must have no wildcards: a subject of its own is needed");
}

/** An attempt cannot be called back; a connection that comes too late is closed. */
function abortable(attempt: Promise<NatsConnection>, signal: AbortSignal | undefined): Promise<NatsConnection> {
  if (!signal) return attempt;
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      reject(signal.reason as Error);
      void attempt.then((late) => late.close(), () => undefined);
    };
    signal.addEventListener("abort", abort, { once: true });
    attempt.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
