import { createServer, ServerResponse, type IncomingMessage, type Server } from "node:http";
import type { Duplex } from "node:stream";
import type { Socket } from "node:net";
import { arrivalOf } from "./proxy/arrival.ts";
import { Exchange, type ProxyContext, type Upgrade } from "./proxy/exchange.ts";
import { faults, plainErrorPage, reasonOf, type Fault } from "./proxy/fault.ts";

export interface FrontOptions {
  readonly context: ProxyContext;
  readonly headersTimeoutMs: number;
  readonly clientIdleMs: number;
  readonly maxHeaderBytes: number;
  /** Takes an exchange to its end; never rejects. */
  readonly handle: (exchange: Exchange) => Promise<void>;
}

/** node:http as the client's side of the proxy: everything it would decide by itself (100, Upgrade, CONNECT, broken requests) comes to us. */
export function createFront({ context, headersTimeoutMs, clientIdleMs, maxHeaderBytes, handle }: FrontOptions): Server {
  const server = createServer({
    // The parser's own limit stands above the router's, which answers with the route known.
    maxHeaderSize: maxHeaderBytes + 4_096,
    headersTimeout: headersTimeoutMs,
    // Uploads may take as long as they take.
    requestTimeout: 0,
    keepAliveTimeout: clientIdleMs,
    connectionsCheckingInterval: Math.max(100, Math.min(5_000, headersTimeoutMs / 2)),
    // An empty or missing Host is answered by us, in our words.
    requireHostHeader: false,
    noDelay: true,
    keepAlive: true,
    highWaterMark: 65_536,
  });
  server.maxHeadersCount = 0;
  const take = (request: IncomingMessage, response: ServerResponse): void => {
    if (hasForeignCoding(request)) refuseCoding(request);
    else void handle(new Exchange(context, arrivalOf(request, response), response));
  };
  server.on("request", take);
  server.on("checkContinue", (request: IncomingMessage, response: ServerResponse) => {
    if (hasForeignCoding(request)) return refuseCoding(request);
    const exchange = new Exchange(context, arrivalOf(request, response), response);
    exchange.expectContinue = true;
    void handle(exchange);
  });
  server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    if (!isTunnelRequest(request)) replayWithoutUpgrade(server, request, socket, head);
    else void takeUpgrade(server, request, { socket, head }, { context, handle });
  });
  server.on("connect", (request: IncomingMessage, socket: Duplex, head: Buffer) => void takeUpgrade(server, request, { socket, head }, { context, handle }));
  server.on("clientError", refuse);
  return server;
}

/** A body in a coding that nobody here can take off (RFC 9112 section 6.1): with another framing it would be another body. */
function hasForeignCoding({ headers }: IncomingMessage): boolean {
  const coding = headers["transfer-encoding"];
  return coding !== undefined && coding.toLowerCase() !== "chunked";
}

/** The parser refuses most of these itself, a moment after it has handed their head over; this is for the rest. */
function refuseCoding({ socket }: IncomingMessage): void {
  setImmediate(() => { if (socket.writable) refuse(new Error("unknown transfer coding"), socket); });
}

/** An upgrade the router joins; `h2c` is one nobody behind us speaks, and one with a body would mix body and tunnel. */
function isTunnelRequest({ headers }: IncomingMessage): boolean {
  const length = headers["content-length"];
  return headers.upgrade?.toLowerCase() !== "h2c" && headers["transfer-encoding"] === undefined && (length === undefined || length === "0");
}

/**
 * A server may ignore `Upgrade` (RFC 9110, 7.8). node:http has left the connection to us by now, so the request is put back
 * before what followed it, without the header, and the connection is given to the server as if it were new.
 */
function replayWithoutUpgrade(server: Server, request: IncomingMessage, socket: Duplex, head: Buffer): void {
  let text = `${request.method} ${request.url} HTTP/${request.httpVersion}\r\n`;
  for (let at = 0; at < request.rawHeaders.length; at += 2) {
    const name = request.rawHeaders[at] as string;
    if (!/^(connection|upgrade|http2-settings)$/i.test(name)) text += `${name}: ${request.rawHeaders[at + 1]}\r\n`;
  }
  socket.unshift(Buffer.concat([Buffer.from(`${text}\r\n`, "latin1"), head]));
  server.emit("connection", socket);
}

async function takeUpgrade(server: Server, request: IncomingMessage, given: { socket: Duplex; head: Buffer }, { context, handle }: Pick<FrontOptions, "context" | "handle">): Promise<void> {
  const { socket } = given;
  const upgrade = watched(socket, given.head);
  const response = new ServerResponse(request);
  response.assignSocket(socket as Socket);
  // What follows a CONNECT was meant for a tunnel: no request may be read from it.
  if (request.method === "CONNECT") response.shouldKeepAlive = false;
  const exchange = new Exchange(context, arrivalOf(request, response), response, upgrade);
  // ServerResponse emits `finish`, but only its server would make `close` of it.
  response.on("finish", () => exchange.markClosed());
  await handle(exchange);
  if (exchange.upgraded || socket.destroyed) return;
  // Refused: an ordinary answer has been given, and the connection can serve on as one.
  response.detachSocket(socket as Socket);
  const head = upgrade.release();
  if (!response.writableFinished || !response.shouldKeepAlive || context.draining) {
    socket.end();
    return;
  }
  if (head.length > 0) socket.unshift(head);
  server.emit("connection", socket);
}

/** Enough for what a client may say before it has heard the answer to its handshake. */
const maxEarlyBytes = 65_536;

/** Reads along while the endpoint thinks about the handshake: only who reads notices that the client has left. */
function watched(socket: Duplex, head: Buffer): Upgrade {
  let early = head;
  const hear = (chunk: Buffer): void => {
    early = Buffer.concat([early, chunk]);
    if (early.length > maxEarlyBytes) socket.pause();
  };
  const leave = (): void => void socket.destroy();
  socket.on("error", leave);
  socket.on("data", hear);
  socket.on("end", leave);
  return {
    socket,
    release() {
      socket.off("data", hear);
      socket.off("end", leave);
      socket.off("error", leave);
      // As node:http hands it over: neither flowing nor paused, so that the next reader starts it.
      (socket as Duplex & { readableFlowing: boolean | null }).readableFlowing = null;
      return early;
    },
  };
}

/** What the parser could not make a request of. */
const clientFaults: Record<string, { status: number; code: string; message: string }> = {
  HPE_HEADER_OVERFLOW: faults.headersTooLarge(),
  ERR_HTTP_REQUEST_TIMEOUT: { status: 408, code: "request_timeout", message: "The request's headers took too long." },
};

function refuse(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (socket.destroyed || !socket.writable || error.code === "ECONNRESET") {
    socket.destroy();
    return;
  }
  // More came behind a last request that has its answer: the connection closes as it is, and a second answer would be nobody's.
  if (error.code === "HPE_CLOSED_CONNECTION") {
    (socket as Socket).destroySoon();
    return;
  }
  const underWay = (socket as { _httpMessage?: ServerResponse | null })._httpMessage;
  // A broken body of a request that is being answered: nothing can be said any more.
  if (underWay?.headersSent === true) {
    socket.destroy();
    return;
  }
  const fault: Fault = clientFaults[error.code ?? ""] ?? { status: 400, code: "malformed_request", message: "The request is not HTTP/1.1." };
  const { contentType, body } = plainErrorPage(fault);
  socket.end(`HTTP/1.1 ${fault.status} ${reasonOf(fault.status)}\r\nContent-Type: ${contentType}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n`
    + `X-Cf-RouterError: ${fault.code}\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n${body}`);
}
