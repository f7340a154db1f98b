import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { BusError } from "./errors.ts";

export type Handler = (request: Request) => Response | Promise<Response>;

/** A small HTTP side that listens. Disposing it ends every connection. */
export interface HttpListener extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
}

export interface ListenOptions {
  /** Default 127.0.0.1. */
  host?: string;
  /** 0 (default) takes a free one. */
  port?: number;
  /** Largest request body; more is answered with 413. Default 65 536. */
  maxBodyBytes?: number;
  /** How long the head, the body, the answer and a silent connection may each take. Default 10 000 ms, as in gorouter. */
  timeoutMs?: number;
  /** Connections at a time; more are closed at once. Default 256. */
  maxConnections?: number;
}

/**
 * Puts a `Request -> Response` function on a port, for status pages and the like: everything is bounded, nothing is streamed.
 * A handler that throws is answered with 500, one that does not end in time with 503.
 * @throws BusError `BUS_PORT_TAKEN`
 */
export async function listen(handle: Handler, options: ListenOptions = {}): Promise<HttpListener> {
  const { host = "127.0.0.1", port = 0, maxBodyBytes = 65_536, timeoutMs = 10_000, maxConnections = 256 } = options;
  const server = createServer(
    { requestTimeout: timeoutMs, headersTimeout: timeoutMs, connectionsCheckingInterval: Math.max(100, Math.min(timeoutMs, 5_000)), keepAliveTimeout: 5_000, maxHeaderSize: 16_384 },
    (incoming, outgoing) => void answer(handle, { incoming, outgoing, maxBodyBytes, timeoutMs }),
  );
  server.timeout = timeoutMs * 2;
  server.maxHeadersCount = 100;
  server.maxConnections = maxConnections;
  await new Promise<void>((done, fail) => {
    server.once("error", (cause: NodeJS.ErrnoException) =>
      fail(new BusError("BUS_PORT_TAKEN", `cannot listen on ${host}:${port} (${cause.code ?? cause.message}): choose another port`, { cause })));
    server.listen(port, host, done);
  });
  const { port: bound } = server.address() as AddressInfo;
  return {
    host,
    port: bound,
    async [Symbol.asyncDispose]() {
      const closed = new Promise((done) => server.close(done));
      server.closeAllConnections();
      await closed;
    },
  };
}

interface Exchange { incoming: IncomingMessage; outgoing: ServerResponse; maxBodyBytes: number; timeoutMs: number }

async function answer(handle: Handler, { incoming, outgoing, maxBodyBytes, timeoutMs }: Exchange): Promise<void> {
  const gone = new AbortController();
  outgoing.once("close", () => gone.abort());
  const limit = setTimeout(() => {
    say(outgoing, 503, "the answer takes too long\n");
    gone.abort();
  }, timeoutMs);
  try {
    const request = await toRequest(incoming, maxBodyBytes, gone.signal);
    if (!(request instanceof Request)) return say(outgoing, request, request === 413 ? "the body is too large\n" : "this is no request\n");
    const response = await handle(request);
    const body = Buffer.from(await response.arrayBuffer());
    if (outgoing.headersSent) return;
    outgoing.writeHead(response.status, { ...Object.fromEntries(response.headers), "content-length": body.length });
    outgoing.end(incoming.method === "HEAD" ? undefined : body);
  } catch {
    say(outgoing, 500, "internal error\n");
  } finally {
    clearTimeout(limit);
  }
}

function say(outgoing: ServerResponse, status: number, text: string): void {
  if (outgoing.headersSent || outgoing.destroyed) return;
  outgoing.writeHead(status, { "content-type": "text/plain; charset=utf-8", "content-length": Buffer.byteLength(text), connection: "close" });
  outgoing.end(text);
}

/** The request as a handler sees it, or the status that says why there is none. */
async function toRequest(incoming: IncomingMessage, maxBodyBytes: number, signal: AbortSignal): Promise<Request | 400 | 413> {
  const { method = "GET", url = "/" } = incoming;
  const hasBody = method !== "GET" && method !== "HEAD";
  const body = hasBody ? await read(incoming, maxBodyBytes) : undefined;
  if (hasBody && body === undefined) return 413;
  try {
    const headers = new Headers();
    for (let i = 0; i < incoming.rawHeaders.length; i += 2) headers.append(incoming.rawHeaders[i] as string, incoming.rawHeaders[i + 1] as string);
    const target = url.startsWith("/") ? `http://${incoming.headers.host ?? "localhost"}${url}` : url;
    return new Request(target, { method, headers, signal, ...(body && { body }) });
  } catch {
    return 400;
  }
}

async function read(incoming: IncomingMessage, maxBytes: number): Promise<Buffer | undefined> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of incoming as AsyncIterable<Buffer>) {
    size += part.length;
    if (size > maxBytes) return undefined;
    parts.push(part);
  }
  return Buffer.concat(parts);
}
