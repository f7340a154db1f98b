import { connect as connectHttp2, type ClientHttp2Session } from "node:http2";
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import type { Backend } from "../endpoint.ts";
import { backendTls } from "../proxy/backend-tls.ts";
import type { ProxySettings } from "../proxy/settings.ts";

/** A connection, that the endpoint speaks HTTP/1.1 only, or why there is neither. */
export type Dialled = ClientHttp2Session | "http1" | { readonly code: string; readonly message: string };

/** What an endpoint may send before its app is asked to read on. */
const windowBytes = 1_048_576;

/**
 * Connects to an endpoint that has announced HTTP/2: by ALPN over TLS, by prior knowledge without. Resolves when its settings are
 * here, so that what is wrong with a certificate of ours, which TLS 1.3 tells late, or with its HTTP/2 is known before a request
 * depends on it.
 */
export function dial(backend: Backend, settings: ProxySettings): Promise<Dialled> {
  return new Promise((resolve) => {
    const { host, port } = backend;
    const socket: Socket = backend.tls
      ? connectTls({ host, port, ALPNProtocols: ["h2", "http/1.1"], ...backendTls(backend, settings) })
      : connectTcp({ host, port });
    socket.setNoDelay(true).setKeepAlive(true, 1_000);
    let session: ClientHttp2Session | undefined;
    const timer = setTimeout(() => finish({ code: "DIAL_TIMEOUT", message: "no HTTP/2 connection in time" }), settings.dialTimeoutMs);
    function finish(outcome: Dialled): void {
      clearTimeout(timer);
      if (outcome !== session) {
        session?.destroy();
        socket.destroy();
      }
      resolve(outcome);
    }
    socket.on("error", (error: NodeJS.ErrnoException) => finish(session === undefined || backend.tls ? { code: error.code ?? "", message: error.message } : "http1"));
    // Before a word of HTTP/2: whoever hangs up on its first bytes does not speak it.
    socket.once("close", () => finish(session === undefined || backend.tls ? { code: "EOF", message: "closed while connecting" } : "http1"));
    socket.once(backend.tls ? "secureConnect" : "connect", () => {
      if (backend.tls && (socket as TLSSocket).alpnProtocol !== "h2") {
        finish("http1");
        return;
      }
      session = connectHttp2(`${backend.tls ? "https" : "http"}://${backend.address}`, {
        createConnection: () => socket,
        settings: { enablePush: false, initialWindowSize: windowBytes, maxHeaderListSize: settings.maxResponseHeaderBytes },
        maxHeaderListPairs: 4_096,
        maxSendHeaderBlockLength: Math.min(settings.maxRequestHeaderBytes * 2, 0x7fffffff),
        maxSessionMemory: Math.max(10, Math.ceil((settings.maxResponseHeaderBytes * 8) / 1_048_576)),
      });
      // Over TLS it has agreed to HTTP/2, so this is a failure; without, it has only been said to speak it.
      session.on("error", (error: NodeJS.ErrnoException) => finish(backend.tls ? { code: error.code ?? "", message: error.message } : "http1"));
      session.once("remoteSettings", () => {
        session?.setLocalWindowSize(windowBytes * 4);
        finish(session as ClientHttp2Session);
      });
    });
  });
}
