import type { Socket } from "node:net";
import { ClientConnection } from "./client-connection.ts";
import { intakeBytes } from "./intake.ts";
import { restsFromNow, writesFromNow, type ClientConnectionOptions, type Waiting } from "./client-options.ts";

/** The client's side of the proxy on plain sockets. */
export interface NativeFront {
  /** Takes a connection over on which HTTP/1.1 can begin. */
  serve(socket: Socket): void;
  /** Closes connections that wait for a request; those in use close behind their answer. */
  drain(): void;
  /** Closes every connection. */
  cut(): void;
  readonly connections: number;
}

/** Connections on which a request leaves HTTP are handed over whole, since nothing of what is saved here is to be had there. */
export function createNativeFront(options: Omit<ClientConnectionOptions, "gone" | "scratch">): NativeFront {
  const connections = new Set<Waiting>();
  const shared: ClientConnectionOptions = { ...options, scratch: Buffer.allocUnsafeSlow(intakeBytes), gone: (connection) => void connections.delete(connection) };
  // One look at all of them instead of a timer for each of their requests.
  const sweep = setInterval(() => {
    const now = performance.now();
    for (const connection of connections) {
      if (connection.deadlineMs === restsFromNow) connection.deadlineMs = now + options.clientIdleMs;
      else if (connection.deadlineMs === writesFromNow) connection.watchWriting(now);
      else if (connection.deadlineMs < now) connection.expire(now);
      else if (connection.idle) connection.forget();
    }
  }, Math.max(20, Math.min(1_000, options.headersTimeoutMs / 4, options.clientIdleMs / 4, options.context.settings.clientStallMs / 4)));
  sweep.unref();
  return {
    serve(socket) { connections.add(new ClientConnection(socket, shared)); },
    drain() { for (const connection of connections) if (connection.idle) connection.socket.destroySoon(); },
    cut() {
      clearInterval(sweep);
      for (const { socket } of connections) socket.destroy();
    },
    get connections() { return connections.size; },
  };
}
