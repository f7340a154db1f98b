import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { Endpoint } from "../endpoint.ts";
import { backendTls } from "../proxy/backend-tls.ts";
import type { ProxySettings } from "../proxy/settings.ts";
import type { FailedAttempt } from "../proxy/failure.ts";

/** Opens a connection to an endpoint, by TLS where it asks for it. `signal` gives up. */
export function dial({ backend }: Endpoint, settings: ProxySettings, signal: AbortSignal): Promise<Socket | FailedAttempt> {
  return new Promise((resolve) => {
    const common = { host: backend.host, port: backend.port, allowHalfOpen: true, noDelay: true };
    const { dialTimeoutMs } = settings;
    const socket: Socket = backend.tls ? connectTls({ ...common, ...backendTls(backend, settings) }) : connect(common);
    const failed = (code: string, message: string): void => {
      settle();
      socket.on("error", () => undefined);
      socket.destroy();
      resolve({ code, message, progress: "unsent" });
    };
    const onError = (error: NodeJS.ErrnoException): void => failed(error.code ?? "", error.message);
    const onAbort = (): void => failed("CLIENT_GONE", "the client left");
    const onEnd = (): void => failed("EOF", "closed during the handshake");
    const timer = setTimeout(() => failed("DIAL_TIMEOUT", `not connected after ${dialTimeoutMs} ms`), dialTimeoutMs);
    const settle = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      socket.off("error", onError);
      socket.off("end", onEnd);
    };
    socket.on("error", onError);
    if (backend.tls) socket.on("end", onEnd);
    signal.addEventListener("abort", onAbort, { once: true });
    socket.once(backend.tls ? "secureConnect" : "connect", () => {
      settle();
      resolve(socket);
    });
    if (signal.aborted) onAbort();
  });
}
