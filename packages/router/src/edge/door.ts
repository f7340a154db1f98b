import { createServer, type Socket } from "node:net";
import { listenOn, type Address } from "../listen.ts";
import type { Acceptor } from "./proxy-protocol.ts";

/** One port for clients. */
export interface Door {
  readonly listening: boolean;
  /** @throws {RouterError} ROUTER_PORT_TAKEN, ROUTER_PORT_FORBIDDEN, ROUTER_LISTEN_FAILED */
  listen(address: Address): Promise<Address>;
  /** Accepts nobody any more; who is in stays. */
  close(): void;
  /** Closes connections that have not come as far as their first request. */
  cut(): void;
  /** Connections closed at once, because there were too many. */
  readonly dropped: number;
}

export interface DoorOptions {
  readonly accept: Acceptor;
  /** Connections at a time; 0 = no limit. */
  readonly maxConnections: number;
  /** Takes an accepted connection over. */
  readonly serve: (socket: Socket) => void;
  /** Something happened to the port itself. */
  readonly failed: (error: Error) => void;
}

/** Opens a port, and takes connections through `accept` to `serve`. */
export function createDoor({ accept, maxConnections, serve, failed }: DoorOptions): Door {
  const entering = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true, highWaterMark: 65_536 }, (socket) => {
    entering.add(socket);
    const leave = (): void => void entering.delete(socket);
    socket.once("close", leave);
    accept(socket, (accepted) => {
      accepted.off("close", leave);
      leave();
      serve(accepted);
    });
  });
  let dropped = 0;
  if (maxConnections > 0) server.maxConnections = maxConnections;
  server.on("drop", () => { dropped += 1; });
  return {
    get dropped() { return dropped; },
    get listening() { return server.listening; },
    async listen(address) {
      const where = await listenOn(server, address, { shared: true });
      server.on("error", failed);
      return where;
    },
    close() { if (server.listening) server.close(); },
    cut() { for (const socket of entering) socket.destroy(); },
  };
}
