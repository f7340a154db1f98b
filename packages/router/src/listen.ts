import type { Server } from "node:net";
import { RouterError } from "./errors.ts";

/** Where something listens. */
export interface Address { readonly host: string; readonly port: number }

/**
 * Opens a port, and says in plain words why when it cannot.
 * @throws {RouterError} ROUTER_PORT_TAKEN, ROUTER_PORT_FORBIDDEN, ROUTER_LISTEN_FAILED
 */
export async function listenOn(server: Server, { host, port }: Address, { shared = false }: { shared?: boolean } = {}): Promise<Address> {
  await new Promise<void>((resolve, reject) => {
    const fail = (cause: NodeJS.ErrnoException): void => reject(explained(cause, host, port));
    server.once("error", fail);
    // Among the workers of a cluster only what is shared may be shared.
    server.listen({ host, port, exclusive: !shared }, () => {
      server.off("error", fail);
      resolve();
    });
  });
  const address = server.address();
  return { host, port: typeof address === "object" && address !== null ? address.port : port };
}

function explained(cause: NodeJS.ErrnoException, host: string, port: number): RouterError {
  switch (cause.code) {
    case "EADDRINUSE":
      return new RouterError("ROUTER_PORT_TAKEN", `port ${port} on ${host} is taken: stop what listens there, choose another port, or 0 for any free one`, { cause, retryable: true });
    case "EACCES":
      return new RouterError("ROUTER_PORT_FORBIDDEN", `port ${port} on ${host} needs more rights: choose one from 1024 on, or grant CAP_NET_BIND_SERVICE`, { cause });
    default:
      return new RouterError("ROUTER_LISTEN_FAILED", `cannot listen on ${host}:${port}: ${cause.message}`, { cause });
  }
}
