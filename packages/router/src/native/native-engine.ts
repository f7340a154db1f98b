import type { Backend } from "../endpoint.ts";
import type { Engine } from "../proxy/exchange.ts";
import { PassageHeaders } from "../proxy/passage.ts";
import type { ProxySettings } from "../proxy/settings.ts";
import { Attempt } from "./attempt.ts";
import { ConnectionPool } from "./connection-pool.ts";
import { intakeBytes } from "./intake.ts";
import { RequestForm } from "./repeated-request.ts";
import { outboundHead } from "./request-head.ts";

/**
 * An engine on plain sockets: the router's own reader (`http1/`), one pool per address, one write per request head.
 * It does what the default engine does and costs less; it is the stricter of the two about answers.
 */
export function createNativeEngine(settings: ProxySettings): Engine {
  const pools = new Set<ConnectionPool>();
  const scratch = Buffer.allocUnsafeSlow(intakeBytes);
  // Idle connections are looked at when they are taken; this closes those that nobody takes.
  const sweep = setInterval(() => {
    const now = performance.now();
    for (const pool of pools) if (pool.sweep(now)) pools.delete(pool);
  }, Math.max(50, Math.min(1_000, settings.backendIdleMs / 4)));
  sweep.unref();
  const close = settings.backendIdleMs === 0;

  function poolOf(backend: Backend): ConnectionPool {
    if (backend.connections instanceof ConnectionPool) return backend.connections;
    const pool = new ConnectionPool(backend, settings, scratch);
    pools.add(pool);
    backend.connections = pool;
    return pool;
  }

  return {
    forward(exchange, endpoint, headers, over) {
      const form = headers instanceof PassageHeaders && !close && !endpoint.backend.tls ? RequestForm.of(exchange, headers) : undefined;
      const head = form ?? outboundHead(exchange, headers, close);
      if (head === undefined) return over({ code: "BAD_REQUEST_HEAD", message: "a step has set a header or target that no line can carry", progress: "sent" });
      new Attempt(exchange, endpoint, { pool: poolOf(endpoint.backend), head, over }).begin();
    },
    release(backend) {
      if (!(backend.connections instanceof ConnectionPool)) return;
      backend.connections.retire();
      backend.connections = undefined;
    },
    close() {
      clearInterval(sweep);
      for (const pool of pools) pool.destroy();
      pools.clear();
      return Promise.resolve();
    },
  };
}
