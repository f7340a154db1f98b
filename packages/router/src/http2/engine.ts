import type { Backend } from "../endpoint.ts";
import type { Engine } from "../proxy/exchange.ts";
import type { ProxySettings } from "../proxy/settings.ts";
import { attemptOver } from "./attempt.ts";
import { Connections } from "./connections.ts";

/**
 * Adds HTTP/2 to an engine: for endpoints registered with `protocol: "http2"`, as long as they speak it; everything else, and
 * whoever turns out to speak HTTP/1.1 after all, is left to that engine.
 */
export function withHttp2(http1: Engine, settings: ProxySettings): Engine {
  const all = new Map<Backend, Connections>();

  function connectionsOf(backend: Backend): Connections {
    let connections = all.get(backend);
    if (connections === undefined) {
      connections = new Connections(backend, settings);
      all.set(backend, connections);
    }
    return connections;
  }

  return {
    forward(exchange, endpoint, headers, over) {
      if (endpoint.protocol !== "http2") return http1.forward(exchange, endpoint, headers, over);
      const begun = performance.now();
      void connectionsOf(endpoint.backend).acquire().then((lease) => {
        if (lease === "http1") return http1.forward(exchange, endpoint, headers, over);
        if ("code" in lease) return over({ ...lease, progress: "unsent" });
        if (exchange.closed) {
          lease.release();
          return over({ code: "CLIENT_GONE", message: "the client left while a connection was made", progress: "unsent" });
        }
        exchange.connectMs = performance.now() - begun;
        void attemptOver(lease.session, exchange, endpoint, headers.flat()).finally(() => lease.release()).then(over);
      });
    },
    release(backend) {
      all.get(backend)?.close();
      all.delete(backend);
      http1.release(backend);
    },
    async close() {
      for (const connections of all.values()) connections.destroy();
      all.clear();
      await http1.close();
    },
  };
}
