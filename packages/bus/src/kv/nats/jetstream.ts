import type { Msg, MsgHdrs, NatsConnection } from "nats";
import { BusError, type BusErrorCode } from "../../errors.ts";
import { linkOf, orLost } from "../../jetstream/link.ts";
import { orAborted } from "../../jetstream/wait.ts";

export interface RequestOptions {
  headers?: MsgHdrs;
  signal?: AbortSignal | undefined;
}

/** What buckets need of a connection: requests that always end, and to know whether the server is in reach. */
export interface JetStream {
  readonly connection: NatsConnection;
  readonly connected: boolean;
  /** Asks the JetStream API. @throws BusError, mapped from what the server answers */
  api<T>(operation: string, body?: object, options?: RequestOptions): Promise<T>;
  /** Stores a message. @returns its sequence */
  store(subject: string, data: Uint8Array, options?: RequestOptions): Promise<number>;
  onStatus(listen: (connected: boolean) => void): Disposable;
}

interface ApiError {
  readonly code: number;
  readonly err_code?: number;
  readonly description?: string;
}

// Error numbers of nats-server's `errors.json`.
const apiCodes: Readonly<Record<number, BusErrorCode>> = {
  10071: "BUS_WRONG_REVISION",
  10059: "BUS_NOT_FOUND",
  10037: "BUS_NOT_FOUND",
  10014: "BUS_NOT_FOUND",
  10054: "BUS_PAYLOAD_TOO_LARGE",
};
// NATS client error codes.
const clientCodes: Readonly<Record<string, BusErrorCode>> = {
  TIMEOUT: "BUS_TIMEOUT",
  CONNECTION_CLOSED: "BUS_CLOSED",
  CONNECTION_DRAINING: "BUS_CLOSED",
  DISCONNECT: "BUS_DISCONNECTED",
  PERMISSIONS_VIOLATION: "BUS_FORBIDDEN",
  MAX_PAYLOAD_EXCEEDED: "BUS_PAYLOAD_TOO_LARGE",
};
const retryable: ReadonlySet<BusErrorCode> = new Set<BusErrorCode>(["BUS_TIMEOUT", "BUS_DISCONNECTED"]);
const withoutJetStream = "this NATS server keeps no state: start nats-server with -js";

export function apiError({ code, err_code: number = 0, description = "no reason given" }: ApiError): BusError {
  if (number === 10039 || number === 10076) return new BusError("BUS_UNSUPPORTED", withoutJetStream);
  const mapped = apiCodes[number] ?? (code === 503 ? "BUS_DISCONNECTED" : "BUS_UNSUPPORTED");
  return new BusError(mapped, `JetStream: ${description}`, { retryable: retryable.has(mapped) });
}

function clientError(cause: unknown, subject: string): BusError {
  if (cause instanceof BusError) return cause;
  const { code = "", message = String(cause) } = cause as { code?: string; message?: string };
  // Nobody listens: no JetStream for the API, no leader of the stream or no stream for its subjects.
  if (code === "503")
    return subject.startsWith("$JS.API.")
      ? new BusError("BUS_UNSUPPORTED", withoutJetStream, { cause })
      : new BusError("BUS_NOT_FOUND", `JetStream: nothing keeps ${subject}`, { cause });
  const mapped = clientCodes[code] ?? "BUS_DISCONNECTED";
  return new BusError(mapped, `JetStream: ${message}`, { cause, retryable: retryable.has(mapped) });
}

export function createJetStream(connection: NatsConnection, timeoutMs: number): JetStream {
  const link = linkOf(connection);
  const connected = (): boolean => link.up && !connection.isClosed();

  /** Ends with the answer, the deadline, the signal or the connection, whichever is first; a write may have been done all the same. */
  const request = async (subject: string, data: Uint8Array | string, { headers, signal }: RequestOptions = {}): Promise<Msg> => {
    signal?.throwIfAborted();
    if (connection.isClosed()) throw new BusError("BUS_CLOSED", "this connection to the bus is closed");
    // The client would keep it and send it some time later.
    if (!connected()) throw new BusError("BUS_DISCONNECTED", "the bus is away", { retryable: true });
    try {
      return await orAborted(orLost(connection, connection.request(subject, data, { timeout: timeoutMs, ...(headers && { headers }) })), signal);
    } catch (cause) {
      signal?.throwIfAborted();
      throw clientError(cause, subject);
    }
  };
  const answer = async <T>(subject: string, data: Uint8Array | string, options?: RequestOptions): Promise<T> => {
    const reply = (await request(subject, data, options)).json<T & { error?: ApiError }>();
    if (reply.error) throw apiError(reply.error);
    return reply;
  };
  return {
    connection,
    get connected() {
      return connected();
    },
    onStatus: (listen) => ({ [Symbol.dispose]: link.on(listen) }),
    api: (operation, body, options) => answer(`$JS.API.${operation}`, body ? JSON.stringify(body) : "", options),
    store: async (subject, data, options) => (await answer<{ seq: number }>(subject, data, options)).seq,
  };
}
