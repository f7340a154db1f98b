import type { ServerResponse } from "node:http";
import { constants, createServer, type IncomingHttpHeaders, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { connectionOf, describeConnection } from "../edge/connection.ts";
import { arrivalOf } from "../proxy/arrival.ts";
import { Exchange, type ProxyContext } from "../proxy/exchange.ts";
import { plainErrorPage } from "../proxy/fault.ts";
import { translateHead } from "./head.ts";
import { hearOut } from "./hear-out.ts";
import { Http2Request } from "./request.ts";
import { Http2Response } from "./response.ts";
import { StreamSocket } from "./stream-socket.ts";
import { upgradeOf } from "./tunnel.ts";

export interface Http2FrontOptions {
  readonly context: ProxyContext;
  readonly headersTimeoutMs: number;
  readonly clientIdleMs: number;
  readonly maxHeaderBytes: number;
  readonly maxResponseHeaderBytes: number;
  /** Requests under way on one connection. */
  readonly maxStreams: number;
  /** Takes an exchange to its end; never rejects. */
  readonly handle: (exchange: Exchange) => Promise<void>;
}

/** The client's side of the proxy over HTTP/2. */
export interface Http2Front {
  /** Takes a connection over whose first bytes, or whose handshake, said HTTP/2. */
  serve(socket: Socket): void;
  /** Says GOAWAY to everybody: what is under way is finished, and nothing new comes in here. */
  drain(): void;
  /** Resolves when nothing is left to be sent on any connection, or the time is over: behind `drain`, an answer is written long before its client has room for it. */
  sent(withinMs: number): Promise<void>;
  /** Closes every connection. */
  cut(): void;
}

/** Header fields of one request, whatever their size; the size has its own limit. */
const maxFields = 4_096;
/** What a client has to hang up, behind the end of what is sent to it. */
const partingMs = 2_000;
/** What a client may send before anybody has read it: enough for a fast line, bounded for a slow app. */
const windowBytes = 1_048_576;

export function createHttp2Front({ context, headersTimeoutMs, clientIdleMs, maxHeaderBytes, maxResponseHeaderBytes, maxStreams, handle }: Http2FrontOptions): Http2Front {
  const sessions = new Set<ServerHttp2Session>();
  const server = createServer({
    maxHeaderListPairs: maxFields,
    maxSendHeaderBlockLength: Math.min(maxResponseHeaderBytes * 2, 0x7fffffff),
    // Headers are held for all streams of a connection together.
    maxSessionMemory: Math.max(10, Math.ceil((maxHeaderBytes * 8) / 1_048_576)),
    settings: { enableConnectProtocol: true, maxConcurrentStreams: maxStreams, maxHeaderListSize: maxHeaderBytes + 4_096, initialWindowSize: 262_144 },
  });
  server.on("session", (session) => {
    sessions.add(session);
    session.setLocalWindowSize(windowBytes);
    // Who opens a connection and asks nothing, or asks too slowly, is let go.
    const silent = setTimeout(() => session.close(), headersTimeoutMs).unref();
    let open = 0;
    session.on("stream", (stream) => {
      clearTimeout(silent);
      open += 1;
      stream.once("close", () => { open -= 1; });
    });
    session.setTimeout(clientIdleMs);
    session.on("timeout", () => { if (open === 0) session.close(); });
    session.on("error", (error) => context.log.debug?.("router.http2.session-failed", { error: error.message }));
    session.once("close", () => {
      clearTimeout(silent);
      sessions.delete(session);
    });
  });
  server.on("sessionError", () => undefined);
  server.on("stream", ((stream: ServerHttp2Stream, _: IncomingHttpHeaders, flags: number, raw: string[]) => take(stream, flags, raw)) as () => void);

  function take(stream: ServerHttp2Stream, flags: number, raw: readonly string[]): void {
    const { session } = stream;
    stream.on("error", () => undefined);
    if (session === undefined || stream.destroyed) return;
    hearOut(session, stream);
    const head = translateHead(raw, (flags & constants.NGHTTP2_FLAG_END_STREAM) === 0);
    if (typeof head === "string") {
      context.log.debug?.("router.http2.refused", { reason: head });
      refuse(stream);
      return;
    }
    // A connection is described when it is accepted; each of its streams is the same client.
    const info = connectionOf(session.socket);
    const socket = new StreamSocket(stream, () => response);
    describeConnection(socket, info);
    const request = new Http2Request(stream, socket, head);
    const response: Http2Response = new Http2Response(stream, head);
    const upgrade = head.protocol === undefined && head.method !== "CONNECT" ? undefined : upgradeOf(stream);
    const exchange = new Exchange(context, arrivalOf(request, response as unknown as ServerResponse), response as unknown as ServerResponse, upgrade);
    exchange.expectContinue = head.expectContinue;
    void handle(exchange);
    // First the exchange hears that its client has left, then who reads the body: or the app would be blamed for it.
    response.once("close", () => request.leave());
    if (context.draining && !session.closed) session.close();
  }

  /** Connections on which something may still have to be sent. */
  const sending = new Set<Socket>();
  let allSent: (() => void) | undefined;

  return {
    serve(socket) {
      sending.add(socket);
      const done = (): void => {
        sending.delete(socket);
        if (sending.size === 0) allSent?.();
      };
      // Over TLS the end is said before the last bytes have left: who is given it hangs up when he has them.
      socket.once("finish", () => setTimeout(done, partingMs).unref()).once("close", done);
      // Streams end one by one; the end of the connection is the end of all of them.
      socket.allowHalfOpen = false;
      // What a listening server does with the sockets it accepts itself.
      server.emit("connection", socket);
    },
    drain() { for (const session of sessions) session.close(); },
    async sent(withinMs) {
      if (sending.size === 0 || withinMs <= 0) return;
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => { allSent = resolve; timer = setTimeout(resolve, withinMs); });
      clearTimeout(timer);
    },
    cut() { for (const session of sessions) session.destroy(); },
  };
}

/** What no request for HTTP/1.1 can be made of. */
function refuse(stream: ServerHttp2Stream): void {
  const fault = { status: 400, code: "malformed_request", message: "The request means nothing outside of HTTP/2." };
  const { contentType, body } = plainErrorPage(fault);
  stream.respond({ ":status": fault.status, "content-type": contentType, "x-cf-routererror": fault.code, "x-content-type-options": "nosniff" });
  stream.end(body, () => stream.close(constants.NGHTTP2_NO_ERROR));
}
