import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo, ListenOptions } from "node:net";
import type { Duplex } from "node:stream";
import { WebSocketServer, type WebSocket } from "ws";
import { DeaError, textOf } from "../errors.ts";
import type { Logger } from "../ports.ts";
import { refuse, sendJson } from "./answers.ts";
import { execProtocol } from "./exec-protocol.ts";

export interface DoorTls {
  key: string | Uint8Array;
  cert: string | Uint8Array;
  /** Authorities of client certificates. With them a certificate is required. */
  clientCa?: string | Uint8Array;
}

export interface DoorOptions {
  listen: ListenOptions;
  tls?: DoorTls;
  answer(request: IncomingMessage, response: ServerResponse, url: URL): void | Promise<void>;
  /** What a WebSocket shall do; undefined, after an answer to `refused`, where there is none. */
  socket(request: IncomingMessage, url: URL, refused: (status: number, error: string) => void): ((socket: WebSocket) => void) | undefined;
  log: Logger;
}

export interface Door extends AsyncDisposable {
  readonly port: number;
}

/** Longest message of a client, and how often silent ones are asked for a sign of life. */
const maxMessageBytes = 1024 ** 2;
const pingMs = 30_000;

const reasons: Readonly<Record<number, string>> = { 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 503: "Service Unavailable" };

/** Listens, and hands each request and each WebSocket to who knows it. Throws DEA_CONTAINER when the address is taken. */
export async function openDoor({ listen, tls, answer, socket: socketFor, log }: DoorOptions): Promise<Door> {
  const sockets = new WebSocketServer({ noServer: true, maxPayload: maxMessageBytes, perMessageDeflate: false, handleProtocols: (offered) => (offered.has(execProtocol) ? execProtocol : false) });
  const urlOf = (request: IncomingMessage): URL => new URL(request.url ?? "/", "http://dea");

  const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    request.on("error", () => {});
    response.on("error", () => {});
    void (async () => {
      if (!URL.canParse(request.url ?? "", "http://dea")) return refuse(response, "entity");
      await answer(request, response, urlOf(request));
      // An answer does not wait for a body that nobody reads.
      request.resume();
    })().catch((error: unknown) => {
      log.warn("reach.request", { error: textOf(error) });
      if (response.headersSent) response.destroy();
      else sendJson(response, 500, { error: "internal error" });
    });
  };
  const onUpgrade = (request: IncomingMessage, stream: Duplex, head: Buffer): void => {
    stream.on("error", () => stream.destroy());
    const refused = (status: number, error: string): void => {
      const body = `${JSON.stringify({ error })}\n`;
      stream.end(`HTTP/1.1 ${status} ${reasons[status] ?? "Refused"}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`);
    };
    if (!URL.canParse(request.url ?? "", "http://dea")) return refused(404, "Entity not found");
    const serve = socketFor(request, urlOf(request), refused);
    if (!serve) return;
    sockets.handleUpgrade(request, stream, head, (socket) => {
      let alive = true;
      const pulse = setInterval(() => {
        if (!alive) return socket.terminate();
        alive = false;
        socket.ping();
      }, pingMs);
      socket.on("pong", () => (alive = true));
      socket.on("message", () => (alive = true));
      socket.on("close", () => clearInterval(pulse));
      serve(socket);
    });
  };

  const server: Server = tls
    ? createTlsServer({ key: tls.key as Buffer, cert: tls.cert as Buffer, minVersion: "TLSv1.2", ...(tls.clientCa === undefined ? {} : { ca: tls.clientCa as Buffer, requestCert: true, rejectUnauthorized: true }) }, onRequest)
    : createServer(onRequest);
  server.on("upgrade", onUpgrade);
  server.headersTimeout = 20_000;
  server.keepAliveTimeout = 5_000;
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => reject(new DeaError("DEA_CONTAINER", `cannot listen: ${textOf(error)}`, { cause: error })));
    server.listen(listen, resolve);
  });
  let closing: Promise<void> | undefined;
  return {
    port: (server.address() as AddressInfo | null)?.port ?? 0,
    [Symbol.asyncDispose]() {
      return (closing ??= new Promise<void>((resolve) => {
        for (const socket of sockets.clients) socket.terminate();
        server.close(() => resolve());
        server.closeAllConnections();
      }));
    },
  };
}
