import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { Backend } from "../endpoint.ts";
import { timeDial, type DialTimes } from "../proxy/dial-times.ts";
import { backendTls } from "../proxy/backend-tls.ts";
import type { ProxySettings } from "../proxy/settings.ts";
import type { Intake } from "./intake.ts";

/** How an attempt to connect ended. */
export interface Dialled {
  onConnected(socket: Socket, times: DialTimes): void;
  onRefused(error: NodeJS.ErrnoException): void;
}

/** What a TLS endpoint gave along, so that the next handshake is a short one. */
export interface TlsMemory { session: Buffer | undefined }

/**
 * Connects to an address, over TLS where it is registered so, and says once how that ended.
 * The name that must be proved is the instance's, else its host's; never the one the client asked for.
 * @returns ends the attempt without a word
 */
export function dial(backend: Backend, settings: ProxySettings, { memory, intake }: { memory: TlsMemory; intake: Intake }, outcome: Dialled): () => void {
  const socket = open(backend, settings, { memory, intake });
  const times = timeDial(socket, backend.tls);
  const timer = setTimeout(() => refuse(Object.assign(new Error(`no connection within ${settings.dialTimeoutMs} ms`), { code: "DIAL_TIMEOUT" })), settings.dialTimeoutMs);
  let over = false;

  function settle(): boolean {
    if (over) return false;
    over = true;
    clearTimeout(timer);
    socket.off("error", refuse);
    return true;
  }

  function refuse(error: NodeJS.ErrnoException): void {
    if (!settle()) return;
    socket.on("error", ignore);
    socket.destroy();
    outcome.onRefused(error);
  }

  socket.on("error", refuse);
  socket.once(backend.tls ? "secureConnect" : "connect", () => {
    if (settle()) outcome.onConnected(socket, times);
  });
  return () => {
    if (!settle()) return;
    socket.on("error", ignore);
    socket.destroy();
  };
}

const ignore = (): void => undefined;

function open(backend: Backend, settings: ProxySettings, { memory, intake }: { memory: TlsMemory; intake: Intake }): Socket {
  const { host, port } = backend;
  const where = { host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: 1_000, onread: intake.onread };
  if (!backend.tls) return connectTcp(where);
  const socket = connectTls({ ...where, ...backendTls(backend, settings), ...(memory.session === undefined ? {} : { session: memory.session }), ALPNProtocols: ["http/1.1"] });
  socket.on("session", (session: Buffer) => { memory.session = session; });
  return socket;
}
