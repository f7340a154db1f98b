import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { createAccess, type MayRead } from "./access.ts";
import { toWire, type Stored } from "./envelope.ts";
import { failureRules, LogError } from "./errors.ts";
import { silentLogger, systemClock, type Clock, type Logger } from "./ports.ts";
import { parseQuery } from "./query.ts";
import type { LogStore } from "./store.ts";
import { streamEnvelopes } from "./stream.ts";

export interface LogServerOptions {
  store: LogStore;
  mayRead: MayRead;
  /** Reading waits for this: what was kept before a restart is being put back. */
  ready?: Promise<unknown>;
  /** Default `127.0.0.1`. */
  host?: string;
  /** Default 0: a free one. */
  port?: number;
  /** Streams at the same time, in all. Default 1 000. */
  maxStreams?: number;
  /** How often the right to read a stream is looked at again. Default 30 000 ms. */
  recheckMs?: number;
  logger?: Logger;
  clock?: Clock;
}

export interface LogServer extends AsyncDisposable {
  host: string;
  port: number;
  /** `http://host:port` */
  url: string;
}

/** The log-cache version whose API this is. */
const version = "2.11.4";
/** How many sources one `/meta` answer describes. */
const maxMeta = 1_000;

/** `GET /api/v1/info` (open) · `/api/v1/read/:source_id` · `/api/v1/stream/:source_id` (server-sent events) · `/api/v1/meta` · `/healthz` */
export async function startLogServer(options: LogServerOptions): Promise<LogServer> {
  const { store, mayRead, ready, host = "127.0.0.1", port = 0, maxStreams = 1_000, recheckMs = 30_000, logger = silentLogger, clock = systemClock } = options;
  const access = createAccess(mayRead, { clock });
  const startedMs = clock.now();
  let streams = 0;

  async function read(sourceId: string, query: URLSearchParams, authorization: string | undefined): Promise<object> {
    const { nameFilter, ...asked } = parseQuery(query);
    await access.require(sourceId, authorization);
    await ready;
    const batch = store.read(sourceId, asked).filter((envelope) => named(envelope, nameFilter));
    return { envelopes: { batch: batch.map((envelope) => toWire(sourceId, envelope)) } };
  }

  async function meta(authorization: string | undefined): Promise<object> {
    await ready;
    const known = [...store.meta()].slice(-maxMeta);
    const readable = await Promise.all(
      known.map(([sourceId]) => access.require(sourceId, authorization).then(() => true, (error: LogError) => {
        if (error.code === "LOG_ACCESS_UNKNOWN") throw error;
        return false;
      })),
    );
    const entries = known.filter((_, index) => readable[index]).map(([sourceId, { count, expired, oldest, newest }]) => [
      sourceId,
      { count: String(count), expired: String(expired), oldestTimestamp: String(oldest), newestTimestamp: String(newest) },
    ]);
    return { meta: Object.fromEntries(entries) as object };
  }

  async function stream(sourceId: string, query: URLSearchParams, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const asked = parseQuery(query);
    const seen = request.headers["last-event-id"]?.toString();
    if (seen && /^\d{1,20}$/.test(seen)) asked.start = BigInt(seen) + 1n;
    const { authorization } = request.headers;
    await access.require(sourceId, authorization);
    await ready;
    if (streams >= maxStreams) throw new LogError("LOG_TOO_MANY_STREAMS", "Too many streams are open");
    streams += 1;
    response.once("close", () => (streams -= 1));
    const recheck = () => access.require(sourceId, authorization, { fresh: true });
    streamEnvelopes({ store, sourceId, response, query: asked, recheck, recheckMs, heartbeatMs: 15_000 });
  }

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method !== "GET" && request.method !== "HEAD") return json(response, 405, { error: { code: "LOG_QUERY_INVALID", message: "Only GET" } });
    const url = new URL(request.url ?? "/", "http://logs");
    if (url.pathname === "/healthz") return void response.end("ok");
    const [, door, source] = /^(?:\/api)?\/v1\/(info|meta|read|stream)(?:\/([^/]{1,600}))?\/?$/.exec(url.pathname) ?? [];
    const { authorization } = request.headers;
    if (door === "info") return json(response, 200, { version, vm_uptime: String(Math.floor((clock.now() - startedMs) / 1000)) });
    if (door === "meta") return json(response, 200, await meta(authorization));
    if (source === undefined) throw new LogError("LOG_NOT_FOUND", "No such door");
    const sourceId = decode(source);
    if (door === "read") return json(response, 200, await read(sourceId, url.searchParams, authorization));
    return stream(sourceId, url.searchParams, request, response);
  }

  const server = createServer({ keepAliveTimeout: 5_000, headersTimeout: 15_000, requestTimeout: 30_000, maxHeaderSize: 32_768 }, (request, response) => {
    request.resume();
    handle(request, response).catch((thrown: unknown) => {
      const error = thrown instanceof LogError ? thrown : undefined;
      if (!error || error.code === "LOG_ACCESS_UNKNOWN")
        logger.error("logs.request-failed", { path: request.url?.split("?", 1)[0], cause: String(error?.cause ?? thrown) });
      if (response.headersSent) return void response.destroy();
      if (error) json(response, failureRules[error.code].status, { error: { code: error.code, message: error.message } });
      else json(response, 500, { error: { code: "LOG_FAILED", message: "The log store failed" } });
    });
  });
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(port, host, resolve));
  const bound = (server.address() as AddressInfo).port;
  let closing: Promise<void> | undefined;
  return {
    host,
    port: bound,
    url: `http://${host.includes(":") ? `[${host}]` : host}:${bound}`,
    [Symbol.asyncDispose]: () => (closing ??= close(server)),
  };
}

const named = ({ gauge }: Stored, nameFilter: string | undefined): boolean =>
  nameFilter === undefined || gauge === undefined || Object.keys(gauge).some((name) => name.includes(nameFilter));

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new LogError("LOG_QUERY_INVALID", "The source id is not readable");
  }
}

function json(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { "Content-Type": "application/json", "Cache-Control": "no-store" }).end(JSON.stringify(body));
}

async function close(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  // Streams have no end of their own, and reads are short.
  server.closeAllConnections();
  await closed;
}
