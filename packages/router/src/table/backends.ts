import { addressOf, createBackend, isTls, type Backend, type EndpointInit } from "../endpoint.ts";
import type { Pool } from "../pool.ts";
import { HostMap } from "./host-map.ts";
import { listenAmong } from "./listeners.ts";

/** Every address once, however many routes lead there. */
export interface Backends {
  /** The one of this registration, made if need be. */
  of(init: EndpointInit, port: number): Backend;
  /** A route leads there no more. */
  release(backend: Backend, pool: Pool): void;
  onIdle(listener: (backend: Backend) => void): Disposable;
  readonly size: number;
}

export function createBackends(): Backends {
  const backends = new HostMap<Backend>();
  const listeners = new Set<(backend: Backend) => void>();
  return {
    of(init, port) {
      const address = addressOf(init.host, port);
      const key = keyOf(address, isTls(init), init.serverCertDomainSan ?? "");
      let backend = backends.get(key);
      if (backend === undefined) backends.set(key, backend = createBackend(init, port, address));
      return backend;
    },
    release(backend, pool) {
      backend.leave(pool);
      if (backend.isRouted) return;
      backends.delete(keyOf(backend.address, backend.tls, backend.serverName));
      for (const listener of listeners) listener(backend);
    },
    onIdle: (listener) => listenAmong(listeners, listener),
    get size() { return backends.size; },
  };
}

/** TLS and its name are part of the key: an address that changes them must not inherit connections made for the other identity. */
const keyOf = (address: string, tls: boolean, serverName: string): string => (tls ? `${address} ${serverName}` : address);
