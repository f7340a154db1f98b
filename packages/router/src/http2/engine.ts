import type { Backend } from "../endpoint.ts";
import type { Engine } from "../proxy/exchange.ts";
import type { ProxySettings } from "../proxy/settings.ts";
import { forwardUpgrade } from "../proxy/upgrade.ts";
import { attemptOver } from "./attempt.ts";
import { Connections } from "./connections.ts";
import { upgradeOver } from "./upgrade.ts";

/** Failures that say nothing about what an endpoint speaks. */
const outside = new Set(["CLIENT_GONE", "ENDPOINT_TIMEOUT", "DIAL_TIMEOUT", "ECONNREFUSED", "HEADERS_TOO_LARGE"]);

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
    upgrade(exchange, endpoint, headers, over) {
      void connectionsOf(endpoint.backend).acquire().then((lease) => {
        if (lease === "http1") return forwardUpgrade(exchange, endpoint, headers.flat()).then(over);
        if ("code" in lease) return over({ ...lease, progress: "unsent" });
        if (exchange.closed) {
          lease.release();
          return over({ code: "CLIENT_GONE", message: "the client left while a connection was made", progress: "unsent" });
        }
        if (lease.session.remoteSettings.enableConnectProtocol === true) return upgradeOver(lease.session, exchange, endpoint, headers.flat()).finally(() => lease.release()).then(over);
        lease.release();
        // Its HTTP/2 has no tunnels (RFC 8441, 3); it may have HTTP/1.1 beside it.
        return forwardUpgrade(exchange, endpoint, headers.flat()).then((failure) => over(failure === undefined || outside.has(failure.code) ? failure : { ...failure, code: "NO_WEBSOCKET" }));
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
