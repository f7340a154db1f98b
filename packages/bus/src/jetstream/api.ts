import type { Msg, MsgHdrs, NatsConnection } from "nats";
import { BusError } from "../errors.ts";
import type { Headers } from "../headers.ts";
import { linkOf, orLost, whenUp } from "./link.ts";
import { orAborted } from "./wait.ts";

export interface CallOptions {
  /** Time for the answer. Default 5000 ms. */
  timeoutMs?: number;
  signal?: AbortSignal | undefined;
}

/** What the server says when it took a message into a stream. */
export interface Stored {
  readonly seq: number;
  readonly duplicate: boolean;
}

/** The part of JetStream's API that stores and queues need (ADR-1, ADR-31), each call with a deadline and errors of this package. */
export interface JetStream {
  readonly connection: NatsConnection;
  /** @returns undefined where there is no such stream, consumer or message */
  call<T>(what: string, body?: object, options?: CallOptions): Promise<T | undefined>;
  /** Into the stream that has the subject. @throws ApiError for what the stream refuses */
  store(subject: string, data: Uint8Array | string, headers: Headers, options?: CallOptions): Promise<Stored>;
  /** First message on `subject` from sequence `from` on. */
  read(stream: string, subject: string, from: number, options?: CallOptions): Promise<{ seq: number; data: Uint8Array } | undefined>;
  /** Last message on `subject`, asked of the leader: sees every write that was acknowledged. */
  last(stream: string, subject: string, options?: CallOptions): Promise<{ seq: number; data: Uint8Array } | undefined>;
  headers(from: Headers): MsgHdrs;
  /** A subject of its own to hear answers on. */
  inbox(): string;
}

/** Refused by the server for a reason that has a number (`err_code`) of its own. */
export class ApiError extends BusError {
  readonly reason: number;
  constructor(what: string, { code, err_code, description }: { code: number; err_code?: number; description?: string }) {
    const text = `JetStream refused ${what}: ${description ?? code}`;
    const kind = unsupported.has(err_code ?? 0) ? "BUS_UNSUPPORTED" : tooMuch.has(err_code ?? 0) ? "BUS_PAYLOAD_TOO_LARGE" : code === 404 ? "BUS_NOT_FOUND" : "BUS_DISCONNECTED";
    super(kind, text, { retryable: kind === "BUS_DISCONNECTED" && code >= 500 });
    this.reason = err_code ?? 0;
  }
}

// Numbers of nats-server's errors.json: JetStream not enabled (for the account); message, stream or store over its limit.
const unsupported = new Set([10_076, 10_039]);
const tooMuch = new Set([10_054, 10_077, 10_023, 10_047]);

interface Answer {
  error?: { code: number; err_code?: number; description?: string };
}

export async function openJetStream(connection: NatsConnection): Promise<JetStream> {
  // Loaded when it is needed: a program on the in-process transport never pays for it.
  const { createInbox, headers: newHeaders } = await import("nats");
  linkOf(connection);
  // The prefix is an option of the connection that its type does not show.
  const prefix = (connection as { options?: { inboxPrefix?: string } }).options?.inboxPrefix;

  const toHeaders = (from: Headers): MsgHdrs => {
    const headers = newHeaders();
    for (const key of Object.keys(from)) for (const value of from[key] as readonly string[]) headers.append(key, value);
    return headers;
  };

  const ask = async (what: string, subject: string, data: Uint8Array | string, { timeoutMs = 5_000, signal, headers }: CallOptions & { headers?: Headers }): Promise<Msg> => {
    signal?.throwIfAborted();
    if (connection.isClosed()) throw closed();
    // While there is no connection the client would keep the request and forget it again.
    const up = await whenUp(connection, timeoutMs, signal);
    signal?.throwIfAborted();
    if (!up) throw connection.isClosed() ? closed() : new BusError("BUS_DISCONNECTED", `${what}: no connection to the server`, { retryable: true });
    try {
      return await orAborted(orLost(connection, connection.request(subject, data, { timeout: timeoutMs, ...(headers && { headers: toHeaders(headers) }) })), signal);
    } catch (error) {
      signal?.throwIfAborted();
      throw failure(what, error, timeoutMs, connection);
    }
  };

  const parse = <T extends Answer>(what: string, message: Msg): T => {
    const answer = message.json<T>();
    if (answer.error) throw new ApiError(what, answer.error);
    return answer;
  };

  const call = async <T>(what: string, body?: object, options: CallOptions = {}): Promise<T | undefined> => {
    const message = await ask(what, `$JS.API.${what}`, body ? JSON.stringify(body) : "", options);
    try {
      return parse<T & Answer>(what, message);
    } catch (error) {
      if (error instanceof ApiError && error.code === "BUS_NOT_FOUND") return undefined;
      throw error;
    }
  };

  const fetch = async (stream: string, query: object, options?: CallOptions): Promise<{ seq: number; data: Uint8Array } | undefined> => {
    const found = await call<{ message: { seq: number; data?: string } }>(`STREAM.MSG.GET.${stream}`, query, options);
    return found && { seq: found.message.seq, data: Buffer.from(found.message.data ?? "", "base64") };
  };

  return {
    connection,
    call,
    async store(subject, data, headers, options = {}) {
      const answer = parse<Answer & { seq: number; duplicate?: boolean }>(`a message on ${subject}`, await ask(`a message on ${subject}`, subject, data, { ...options, headers }));
      return { seq: answer.seq, duplicate: answer.duplicate === true };
    },
    async read(stream, subject, from, options = {}) {
      // The direct way carries bytes as they are; where it is not allowed, or a copy lags behind, the leader knows.
      const direct = await ask(`reading ${stream}`, `$JS.API.DIRECT.GET.${stream}`, JSON.stringify({ seq: from, next_by_subj: subject }), options).catch((error: unknown) => {
        if (error instanceof BusError && error.code === "BUS_DISCONNECTED") return undefined;
        throw error;
      });
      const seq = Number(direct?.headers?.get("Nats-Sequence"));
      if (direct && seq > 0) return { seq, data: direct.data };
      return fetch(stream, { seq: from, next_by_subj: subject }, options);
    },
    last: (stream, subject, options) => fetch(stream, { last_by_subj: subject }, options),
    headers: toHeaders,
    inbox: () => createInbox(prefix),
  };
}

const closed = (): BusError => new BusError("BUS_CLOSED", "this connection to the bus is closed");

function failure(what: string, error: unknown, timeoutMs: number, connection: NatsConnection): Error {
  switch ((error as { code?: string }).code) {
    case "503":
      return connection.info?.jetstream
        ? new BusError("BUS_DISCONNECTED", `nobody answers ${what}: JetStream is starting, or there is no such stream`, { cause: error, retryable: true })
        : new BusError("BUS_UNSUPPORTED", "this nats-server keeps nothing: start it with JetStream (nats-server -js)", { cause: error });
    case "TIMEOUT":
      return new BusError("BUS_TIMEOUT", `${what}: no answer within ${timeoutMs} ms`, { cause: error, retryable: true });
    case "MAX_PAYLOAD_EXCEEDED":
      return new BusError("BUS_PAYLOAD_TOO_LARGE", `${what}: more than the server takes in one message`, { cause: error });
    case "PERMISSIONS_VIOLATION":
      return new BusError("BUS_FORBIDDEN", `${what}: not permitted`, { cause: error });
    case "CONNECTION_CLOSED":
    case "CONNECTION_DRAINING":
      return closed();
    default:
      return new BusError("BUS_DISCONNECTED", `${what}: ${(error as Error).message}`, { cause: error, retryable: true });
  }
}

/** Makes what is not there; leaves as it is what is there with other settings. */
export async function ensureStream(jetstream: JetStream, stream: string, config: object, options?: CallOptions): Promise<void> {
  if (await jetstream.call(`STREAM.INFO.${stream}`, undefined, options)) return;
  try {
    await jetstream.call(`STREAM.CREATE.${stream}`, { name: stream, ...config }, options);
  } catch (error) {
    // 10058: somebody else made it meanwhile, with settings of theirs.
    if (!(error instanceof ApiError && error.reason === 10_058)) throw error;
  }
}

/** @throws BusError `BUS_INVALID_KEY` */
export function assertStoreName(name: string): void {
  if (typeof name !== "string" || !/^[A-Za-z0-9_-]{1,128}$/.test(name))
    throw new BusError("BUS_INVALID_KEY", `${JSON.stringify(String(name).slice(0, 80))} is no name of a store: letters, digits, _ and - are needed, at most 128`);
}

export const nanoseconds = (ms: number): number => Math.round(ms * 1_000_000);
