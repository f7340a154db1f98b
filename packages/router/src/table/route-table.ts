import { createEndpoint, effectivePort, isSame, sameTag, succeeds, type Endpoint } from "../endpoint.ts";
import { forgive } from "../health.ts";
import { checkRouteOptions, createPool, dropEndpoint, endpointAt, noOptions, putEndpoint, type Pool } from "../pool.ts";
import { sameOptions } from "../route-options.ts";
import { silentLogger, systemClock, type Clock, type Logger } from "../ports.ts";
import { parseRouteUri } from "../uri.ts";
import { createBackends } from "./backends.ts";
import { listenAmong } from "./listeners.ts";
import { Stamps } from "./stamps.ts";
import { createTrie } from "./trie.ts";
import type { RouteSnapshot, RouteTable, TableChange } from "./types.ts";
import { waitForEndpoints } from "./wait.ts";

export type { RegisterResult, RouteSnapshot, RouteTable, TableChange } from "./types.ts";

export interface RouteTableOptions {
  /** How long a route whose last endpoint was unregistered answers 503 before it answers 404. Default 0: at once. */
  emptyPoolTimeoutMs?: number;
  /** Whether `/App` and `/app` are two routes (RFC 3986) or one (gorouter). Default `sensitive`. */
  pathCase?: "sensitive" | "insensitive";
  log?: Logger;
  clock?: Clock;
}

/** How long a pool stays known after its last endpoint was ejected: until then 503, then 404 (gorouter: the next prune cycle). */
const ejectedPoolMs = 30_000;

export function createRouteTable(options: RouteTableOptions = {}): RouteTable {
  const { emptyPoolTimeoutMs = 0, pathCase = "sensitive", log = silentLogger, clock = systemClock } = options;
  const routes = createTrie();
  const backends = createBackends();
  const stamps = new Stamps();
  const emptied = new Map<Pool, Disposable>();
  const listeners = new Set<(change: TableChange) => void>();
  /** Milliseconds since the epoch at which everybody of a source was taken as fresh. */
  const refreshedMs = new Map<string, number>();
  let allRefreshedMs = 0;
  let emptyPools = 0;
  let lastUpdateMs: number | undefined;

  const tell = (change: TableChange): void => {
    for (const listener of listeners) {
      try { listener(change); } catch (cause) { log.error("router.table.listener", { error: String(cause) }); }
    }
  };

  const taken = (uri: string): { host: string; path: string } => {
    const { host, path } = parseRouteUri(uri);
    return { host, path: pathCase === "insensitive" ? path.toLowerCase() : path };
  };

  const poolOf = (uri: string): Pool | undefined => {
    const { host, path } = taken(uri);
    return routes.get(host, path);
  };

  const snapshotOf = (pool: Pool): RouteSnapshot => ({ route: pool.key, options: pool.options, endpoints: [...pool.endpoints] });

  function poolFor(uri: string): Pool {
    const { host, path } = taken(uri);
    const held = routes.get(host, path);
    if (held !== undefined) return held;
    const pool = createPool(path === "" ? host : host + path, host, path === "" ? "" : parseRouteUri(uri).path);
    routes.put(pool, path);
    emptyPools += 1;
    return pool;
  }

  function forget(pool: Pool): void {
    emptied.get(pool)?.[Symbol.dispose]();
    emptied.delete(pool);
    const path = pool.key.slice(pool.host.length);
    if (pool.endpoints.length > 0 || routes.get(pool.host, path) !== pool) return;
    emptyPools -= 1;
    routes.remove(pool, path);
  }

  function remove(pool: Pool, endpoint: Endpoint, why: TableChange["why"]): boolean {
    if (!dropEndpoint(pool, endpoint)) return false;
    endpoint.leave();
    lastUpdateMs = clock.now();
    backends.release(endpoint.backend, pool);
    if (pool.endpoints.length === 0) {
      emptyPools += 1;
      pool.options = noOptions;
      const keepMs = Math.max(emptyPoolTimeoutMs, why === "failed" ? ejectedPoolMs : 0);
      if (keepMs <= 0) forget(pool);
      else emptied.set(pool, clock.after(keepMs, () => forget(pool)));
    }
    tell({ type: "removed", route: pool.key, endpoint, why });
    return true;
  }

  /** A port belongs to one container: when another app turns up on it, what was registered there before is gone, heard of or not. */
  function evictOthers(endpoint: Endpoint): void {
    const { app, backend } = endpoint;
    if (app === "") return;
    const before = backend.app;
    backend.app = app;
    // Of the same app all others here are already, however many: an app may have thousands of routes. And who names no app may stay.
    if (before === app || before === "") return;
    for (const pool of [...backend.routes] as Pool[]) {
      const held = endpointAt(pool, backend.host, backend.port);
      if (held !== undefined && held.app !== "" && held.app !== app) remove(pool, held, "address-reused");
    }
  }

  function* sweep({ source }: { source?: string } = {}): Generator<number, void> {
    for (const pools of routes.pieces()) {
      const now = clock.now();
      let count = 0;
      for (const pool of pools) {
        for (let at = pool.endpoints.length - 1; at >= 0; at -= 1) {
          const endpoint = pool.endpoints[at];
          if (endpoint?.staleAfterMs === undefined || endpoint.backend.tls || (source !== undefined && endpoint.source !== source)) continue;
          if (now - lastSign(endpoint) > endpoint.staleAfterMs && remove(pool, endpoint, "stale")) count += 1;
        }
      }
      yield count;
    }
  }

  const lastSign = ({ lastSeenMs, source }: Endpoint): number => Math.max(lastSeenMs, allRefreshedMs, refreshedMs.get(source) ?? 0);

  return {
    register(uri, init, routeOptions) {
      const port = effectivePort(init);
      checkRouteOptions(routeOptions);
      const pool = poolFor(uri);
      const held = endpointAt(pool, init.host, port);
      const now = lastUpdateMs = clock.now();
      if (held !== undefined && !succeeds(held.modificationTag, init.modificationTag) && !sameTag(held.modificationTag, init.modificationTag)) return "ignored";
      // Equal ones are not taken in again: a heartbeat must not leave anything behind.
      if (routeOptions !== undefined && !sameOptions(pool.options, routeOptions)) {
        pool.options = routeOptions;
        // Whoever said otherwise before must be read again.
        for (const { place } of pool.endpoints) stamps.mark(place, 0);
      }
      if (held !== undefined && isSame(held, init)) {
        held.lastSeenMs = now;
        return "refreshed";
      }
      const backend = backends.of(init, port);
      const endpoint = createEndpoint(init, backend, now, stamps);
      if (held?.backend !== backend) backend.join(pool);
      if (pool.endpoints.length === 0) {
        emptyPools -= 1;
        emptied.get(pool)?.[Symbol.dispose]();
        emptied.delete(pool);
      }
      putEndpoint(pool, endpoint);
      // Whoever registers anew has been started anew: old failures are not its own.
      if (held === undefined || held.instanceId !== endpoint.instanceId) forgive(backend);
      if (held !== undefined) {
        held.leave();
        if (held.backend !== backend) backends.release(held.backend, pool);
      }
      evictOthers(endpoint);
      tell({ type: held === undefined ? "added" : "updated", route: pool.key, endpoint, why: "registered" });
      return held === undefined ? "added" : "updated";
    },

    unregister(uri, init) {
      const pool = poolOf(uri);
      const held = pool === undefined ? undefined : endpointAt(pool, init.host, effectivePort(init));
      if (pool === undefined || held === undefined) return false;
      if (!succeeds(held.modificationTag, init.modificationTag) && !sameTag(held.modificationTag, init.modificationTag)) return false;
      return remove(pool, held, "unregistered");
    },

    mark(uri, init, token) {
      const pool = poolOf(uri);
      const place = pool && endpointAt(pool, init.host, effectivePort(init))?.place;
      if (place !== undefined) stamps.mark(place, token);
      return place;
    },

    renew(place, token) {
      const now = clock.now();
      if (!stamps.renew(place, token, now)) return false;
      lastUpdateMs = now;
      return true;
    },

    lookup: (host, path) => routes.lookup(host, pathCase === "insensitive" ? path.toLowerCase() : path, emptyPools > 0),

    route(uri) {
      const pool = poolOf(uri);
      return pool === undefined ? undefined : snapshotOf(pool);
    },

    snapshot: () => Array.from(routes.all(), snapshotOf).sort((one, other) => (one.route < other.route ? -1 : 1)),

    async waitFor(uri, waiting = {}) {
      const { host, path } = taken(uri);
      const route = host + path;
      const count = (): number => routes.get(host, path)?.endpoints.length ?? 0;
      await waitForEndpoints(route, { clock, count, onChange: (look) => listenAmong(listeners, (change) => { if (change.route === route) look(); }) }, waiting);
      const pool = routes.get(host, path);
      return pool === undefined ? { route, options: noOptions, endpoints: [] } : snapshotOf(pool);
    },

    prune(filter) {
      let count = 0;
      for (const removed of sweep(filter)) count += removed;
      return count;
    },

    sweep,

    refreshAll({ source } = {}) {
      if (source === undefined) allRefreshedMs = clock.now();
      else refreshedMs.set(source, clock.now());
    },

    eject: (pool, endpoint) => void remove(pool, endpoint, "failed"),
    onChange: (listener) => listenAmong(listeners, listener),
    onIdleBackend: backends.onIdle,
    get routeCount() { return routes.size - emptyPools; },
    get addressCount() { return backends.size; },
    get lastUpdateMs() { return lastUpdateMs; },
  };
}
