import type { BlockList, Socket } from "node:net";
import { RouterError } from "../errors.ts";
import type { Address } from "../listen.ts";
import type { Clock, Logger } from "../ports.ts";
import type { CertificateSource } from "./certificate.ts";
import { createDoor } from "./door.ts";
import { acceptProxyProtocol, proxyProtocols, type Acceptor, type ProxyProtocol } from "./proxy-protocol.ts";
import { acceptPreface } from "./preface.ts";
import { createTlsTerminator } from "./tls-door.ts";
import { checkTlsOptions, type TlsOptions } from "./tls-options.ts";

export interface EdgeOptions {
  readonly host: string;
  /** Port for plain HTTP; false = none. */
  readonly port: number | false;
  readonly tls: TlsOptions | undefined;
  readonly proxyProtocol: ProxyProtocol;
  readonly proxyHeaderTimeoutMs: number;
  /** To each port at a time; 0 = no limit. */
  readonly maxConnections: number;
  readonly trustedProxies: BlockList | undefined;
  readonly log: Logger;
  readonly clock: Clock;
  /** For a client to begin with its first request, where its first bytes decide between HTTP/1.1 and HTTP/2. */
  readonly headersTimeoutMs: number;
  /** Takes over a connection on which HTTP/1.1 can begin. */
  readonly serve: (socket: Socket) => void;
  /** Told that a port has failed after it was opened. */
  readonly failed?: (error: Error) => void;
  /** Takes over a connection that speaks HTTP/2. Undefined: none is let speak it. */
  readonly serveHttp2: ((socket: Socket) => void) | undefined;
}

/** Connections that came to nothing before their first request, since the start. */
export interface EdgeNumbers {
  /** PROXY headers that were wrong, late, missing, or from somebody not trusted. */
  readonly refused_proxy_headers: number;
  /** TLS handshakes that failed, client certificates that were not good enough included. */
  readonly refused_handshakes: number;
  /** Connections closed at once, because there were too many. */
  readonly dropped_connections: number;
}

/** Where clients come in: a port for HTTP, a port for HTTPS, or both. */
export interface Edge {
  readonly listening: boolean;
  /** @throws {RouterError} ROUTER_PORT_TAKEN, ROUTER_PORT_FORBIDDEN, ROUTER_LISTEN_FAILED, ROUTER_BAD_CERTIFICATE */
  listen(): Promise<{ readonly address: Address | undefined; readonly tlsAddress: Address | undefined }>;
  /** Accepts nobody any more. */
  close(): void;
  /** Closes the connections on which HTTP has not begun. */
  cut(): void;
  /** See `TlsTerminator.reload`. */
  reloadTls(certificates?: readonly CertificateSource[]): Promise<void>;
  numbers(): EdgeNumbers;
}

/** @throws {RouterError} ROUTER_BAD_OPTION */
export function createEdge({ maxConnections, host, port, tls, proxyProtocol, proxyHeaderTimeoutMs, trustedProxies, log, clock, headersTimeoutMs, serve, serveHttp2, failed: onFailed }: EdgeOptions): Edge {
  if (port === false && tls === undefined) throw new RouterError("ROUTER_BAD_OPTION", "port: false without tls leaves no way in");
  if (!proxyProtocols.includes(proxyProtocol)) throw new RouterError("ROUTER_BAD_OPTION", `proxyProtocol ${JSON.stringify(proxyProtocol)}: expected one of ${proxyProtocols.join(", ")}`);
  if (!(proxyHeaderTimeoutMs >= 1)) throw new RouterError("ROUTER_BAD_OPTION", `proxyHeaderTimeoutMs: ${proxyHeaderTimeoutMs} is no number from 1 on`);
  if (tls !== undefined) checkTlsOptions(tls);
  const numbers = { refused_proxy_headers: 0, refused_handshakes: 0 };
  const failed = (error: Error): void => {
    log.error("router.front.failed", { error: error.message });
    onFailed?.(error);
  };
  const acceptor = (mode: ProxyProtocol): Acceptor =>
    acceptProxyProtocol({ mode, senders: trustedProxies, timeoutMs: proxyHeaderTimeoutMs, clock, log, refused: () => { numbers.refused_proxy_headers += 1; } });
  const knowing = new WeakSet<Socket>();
  const look = acceptPreface({ timeoutMs: headersTimeoutMs, clock, knows: (socket) => knowing.add(socket) });
  const first = acceptor(proxyProtocol);
  const plain = port === false ? undefined
    : serveHttp2 === undefined ? createDoor({ accept: first, maxConnections, serve, failed })
    : createDoor({ accept: (socket, next) => first(socket, (named) => look(named, next)), maxConnections, serve: (socket) => (knowing.has(socket) ? serveHttp2 : serve)(socket), failed });
  const terminator = tls === undefined ? undefined : createTlsTerminator({
    tls, log, clock, protocols: serveHttp2 === undefined ? ["http/1.1"] : ["h2", "http/1.1"],
    serve: (socket) => (socket.alpnProtocol === "h2" && serveHttp2 !== undefined ? serveHttp2 : serve)(socket), refused: () => { numbers.refused_handshakes += 1; },
  });
  const secure = terminator === undefined ? undefined : createDoor({ accept: acceptor(tls?.proxyProtocol ?? proxyProtocol), maxConnections, serve: (socket) => terminator.accept(socket), failed });

  return {
    get listening() { return plain?.listening === true || secure?.listening === true; },
    async listen() {
      await terminator?.start();
      const tlsAddress = await secure?.listen({ host, port: tls?.port ?? 8_443 });
      return { tlsAddress, address: port === false ? undefined : await plain?.listen({ host, port }) };
    },
    close() {
      plain?.close();
      secure?.close();
      terminator?.close();
    },
    cut() {
      plain?.cut();
      secure?.cut();
      terminator?.cut();
    },
    async reloadTls(certificates) {
      if (terminator === undefined) throw new RouterError("ROUTER_BAD_OPTION", "this router has no port for TLS");
      await terminator.reload(certificates);
    },
    numbers: () => ({ ...numbers, dropped_connections: (plain?.dropped ?? 0) + (secure?.dropped ?? 0) }),
  };
}
