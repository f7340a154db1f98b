import { Client, Pool, type Dispatcher } from "undici";
import type { Backend } from "../endpoint.ts";
import type { Engine } from "./exchange.ts";
import { forwardAlone } from "./expect.ts";
import type { ProxySettings } from "./settings.ts";
import { UndiciAttempt } from "./undici-attempt.ts";
import { connectorFor, serverNameOf } from "./undici-connect.ts";

/** One undici pool per address: connections are never shared between endpoints, whose identities differ. */
export function createUndiciEngine(settings: ProxySettings): Engine {
  const pools = new Set<Pool | Client>();

  function poolOf(backend: Backend): Pool {
    if (backend.connections instanceof Pool) return backend.connections;
    const pool = new Pool(originOf(backend), {
      ...optionsFor(backend),
      connections: null,
      // Pools forget no connection object by themselves; this bounds what one burst leaves behind.
      clientTtl: 300_000,
    });
    pools.add(pool);
    backend.connections = pool;
    return pool;
  }

  const optionsFor = (backend: Backend) => ({
    // One request at a time on a connection; 0 is undici's word for: and then close it.
    pipelining: settings.backendIdleMs === 0 ? 0 : 1,
    keepAliveTimeout: Math.max(1, settings.backendIdleMs),
    keepAliveMaxTimeout: Math.max(1, settings.backendIdleMs),
    maxHeaderSize: settings.maxResponseHeaderBytes,
    // One timer of our own covers the whole attempt.
    headersTimeout: 0,
    bodyTimeout: 0,
    connect: connectorFor(backend, settings),
  });

  /** On a connection of its own, which is closed behind it: whatever the pool holds may be as dead as the one that it gave. */
  function dispatchAlone(backend: Backend, request: Dispatcher.DispatchOptions, attempt: UndiciAttempt): void {
    const alone = new Client(originOf(backend), { ...optionsFor(backend), pipelining: 0 });
    pools.add(alone);
    alone.dispatch(request, attempt);
    void discard(alone);
  }

  const discard = async (pool: Pool | Client): Promise<void> => {
    await pool.close().catch(() => undefined);
    pools.delete(pool);
  };

  return {
    forward(exchange, endpoint, outbound, over) {
      const headers = outbound.flat();
      // undici sends no trailers.
      if (!isTaken(exchange.target) || (exchange.hasBody && exchange.received("trailer") !== undefined)) return void forwardAlone(exchange, endpoint, headers).then(over);
      const attempt: UndiciAttempt = new UndiciAttempt(exchange, endpoint, { headers, over, again: () => dispatchAlone(endpoint.backend, request, attempt) });
      const request: Dispatcher.DispatchOptions & { servername?: string } = { path: exchange.target, method: exchange.method as Dispatcher.HttpMethod, headers, body: attempt.body };
      if (endpoint.backend.tls) request.servername = serverNameOf(endpoint.backend);
      poolOf(endpoint.backend).dispatch(request, attempt);
    },
    release(backend) {
      if (backend.connections instanceof Pool) void discard(backend.connections);
      backend.connections = undefined;
    },
    async close() {
      await Promise.all([...pools].map((pool) => pool.destroy().catch(() => undefined)));
      pools.clear();
    },
  };
}

/** Targets that undici sends: not `*`, and no scheme in capitals. */
const isTaken = (target: string): boolean => target.charCodeAt(0) === 0x2f || target.startsWith("http://") || target.startsWith("https://");

const originOf = ({ tls, address }: Backend): string => `${tls ? "https" : "http"}://${address}`;
