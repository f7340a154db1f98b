import { addressOf, createBackend, createEndpoint, effectivePort, isSame, isTls, succeeds, type Backend, type Endpoint, type EndpointInit, type ModificationTag } from "../endpoint.ts";
import { RouterError } from "../errors.ts";
import { createPool, dropEndpoint, endpointAt, loadBalancings, noOptions, putEndpoint, type Pool, type RouteOptions } from "../pool.ts";
import { silentLogger, systemClock, type Clock, type Logger } from "../ports.ts";
import { nextWildcard, parseRouteUri } from "../uri.ts";
import { createNode, deepestPool, nodeAt, removePool, type Node } from "./trie.ts";

/** What a registration did: `refreshed` is the heartbeat, `ignored` an older modification tag. */
export type RegisterResult = "added" | "updated" | "refreshed" | "ignored";

/** One change of the table, told to whoever listens. Heartbeats are no change. */
export interface TableChange {
  readonly type: "added" | "updated" | "removed";
  /** `host/path`. */
  readonly route: string;
  readonly endpoint: Endpoint;
  readonly why: "registered" | "unregistered" | "stale" | "failed" | "address-reused";
}

/** One route as a plain value. */
export interface RouteSnapshot {
  readonly route: string;
  readonly options: RouteOptions;
  readonly endpoints: readonly Endpoint[];
}

export interface RouteTableOptions {
  /** How long a route whose last endpoint was unregistered answers 503 before it answers 404. Default 0: at once. */
  emptyPoolTimeoutMs?: number;
  /** Whether `/App` and `/app` are two routes (RFC 3986) or one (gorouter). Default `sensitive`. */
  pathCase?: "sensitive" | "insensitive";
  log?: Logger;
  clock?: Clock;
}

/** Routes and their endpoints. Synchronous, in memory; asks nobody and tells only its listeners. */
export interface RouteTable {
  /**
   * Adds an endpoint to a route, or refreshes it.
   * @throws {RouterError} ROUTER_BAD_URI, ROUTER_BAD_ENDPOINT, ROUTER_BAD_OPTION
   */
  register(uri: string, endpoint: EndpointInit, options?: RouteOptions): RegisterResult;
  /** Takes an endpoint out of a route; false when it was not there, or is newer than the tag. */
  unregister(uri: string, endpoint: Pick<EndpointInit, "host" | "port" | "tlsPort" | "modificationTag">): boolean;
  /**
   * The pool for a request: longest path of the exact host first, then ever wider wildcards.
   * A pool with endpoints beats an empty one everywhere. `host` as `hostOf` gives it, `path` as `pathOf` gives it.
   */
  lookup(host: string, path: string): Pool | undefined;
  /** Every route, in no particular order. */
  snapshot(): RouteSnapshot[];
  /** Takes out what was not refreshed for its `staleAfterMs`; TLS endpoints stay, their certificate says who they are. Gives the number. */
  prune(filter?: { source?: string }): number;
  /** Treats every endpoint (of a source) as just registered: after an outage of the source its silence says nothing. */
  refreshAll(filter?: { source?: string }): void;
  /** Takes an endpoint out because connecting to it proved that it is not there; the route answers 503 for a while if it was the last. */
  eject(pool: Pool, endpoint: Endpoint): void;
  /** Called on each change, synchronously. A listener that throws harms nobody. */
  onChange(listener: (change: TableChange) => void): Disposable;
  /** Called when an address is used by no route any more, so that its connections can be closed. */
  onIdleBackend(listener: (backend: Backend) => void): Disposable;
  /** Routes with at least one endpoint. */
  readonly routeCount: number;
  /** Distinct addresses. */
  readonly addressCount: number;
  /** Milliseconds since the epoch of the last registration or removal; undefined before the first. */
  readonly lastUpdateMs: number | undefined;
}

/** How long a pool stays known after its last endpoint was ejected: until then 503, then 404 (gorouter: the next prune cycle). */
const ejectedPoolMs = 30_000;

export function createRouteTable(options: RouteTableOptions = {}): RouteTable {
  const { emptyPoolTimeoutMs = 0, pathCase = "sensitive", log = silentLogger, clock = systemClock } = options;
  const hosts = new Map<string, Node>();
  const pools = new Map<string, Pool>();
  const backends = new Map<string, Backend>();
  const emptied = new Map<Pool, Disposable>();
  const listeners = new Set<(change: TableChange) => void>();
  const idleListeners = new Set<(backend: Backend) => void>();
  let wildcardHosts = 0;
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

  function poolFor(uri: string): Pool {
    const { host, path } = taken(uri);
    const held = pools.get(host + path);
    if (held !== undefined) return held;
    const pool = createPool(host + path, host, parseRouteUri(uri).path);
    let root = hosts.get(host);
    if (root === undefined) {
      hosts.set(host, root = createNode());
      if (host.startsWith("*.")) wildcardHosts += 1;
    }
    nodeAt(root, path, true).pool = pool;
    pools.set(pool.key, pool);
    emptyPools += 1;
    return pool;
  }

  function forget(pool: Pool): void {
    emptied.get(pool)?.[Symbol.dispose]();
    emptied.delete(pool);
    if (pool.endpoints.length > 0 || !pools.delete(pool.key)) return;
    emptyPools -= 1;
    const root = hosts.get(pool.host);
    if (root !== undefined && removePool(root, pool.key.slice(pool.host.length))) {
      hosts.delete(pool.host);
      if (pool.host.startsWith("*.")) wildcardHosts -= 1;
    }
  }

  /** TLS and its name are part of the key: an address that changes them must not inherit connections made for the other identity. */
  function backendFor(init: EndpointInit, port: number): Backend {
    const key = backendKey(addressOf(init.host, port), isTls(init), init.serverCertDomainSan ?? "");
    let backend = backends.get(key);
    if (backend === undefined) backends.set(key, backend = createBackend(init, port));
    return backend;
  }

  function release(backend: Backend, pool: Pool): void {
    backend.routes.splice(backend.routes.indexOf(pool.key), 1);
    if (backend.routes.length > 0) return;
    backends.delete(backendKey(backend.address, backend.tls, backend.serverName));
    for (const listener of idleListeners) listener(backend);
  }

  function remove(pool: Pool, endpoint: Endpoint, why: TableChange["why"]): boolean {
    if (!dropEndpoint(pool, endpoint)) return false;
    lastUpdateMs = clock.now();
    release(endpoint.backend, pool);
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
    const { address, app, backend } = endpoint;
    if (app === "" || backend.routes.length === 1) return;
    for (const route of [...backend.routes]) {
      const pool = pools.get(route);
      const held = pool === undefined ? undefined : endpointAt(pool, address);
      if (pool !== undefined && held !== undefined && held.app !== "" && held.app !== app) remove(pool, held, "address-reused");
    }
  }

  return {
    register(uri, init, routeOptions) {
      const port = effectivePort(init);
      checkOptions(routeOptions);
      const pool = poolFor(uri);
      const held = endpointAt(pool, addressOf(init.host, port));
      const now = lastUpdateMs = clock.now();
      if (held !== undefined && !succeeds(held.modificationTag, init.modificationTag) && !sameTag(held.modificationTag, init.modificationTag)) return "ignored";
      if (routeOptions !== undefined) pool.options = routeOptions;
      if (held !== undefined && isSame(held, init)) {
        held.lastSeenMs = now;
        return "refreshed";
      }
      const endpoint = createEndpoint(init, backendFor(init, port), now);
      endpoint.backend.routes.push(pool.key);
      if (pool.endpoints.length === 0) {
        emptyPools -= 1;
        emptied.get(pool)?.[Symbol.dispose]();
        emptied.delete(pool);
      }
      putEndpoint(pool, endpoint);
      // Whoever registers anew has been started anew: old failures are not its own.
      if (held === undefined || held.instanceId !== endpoint.instanceId) endpoint.backend.failedUntil = 0;
      if (held !== undefined) release(held.backend, pool);
      evictOthers(endpoint);
      tell({ type: held === undefined ? "added" : "updated", route: pool.key, endpoint, why: "registered" });
      return held === undefined ? "added" : "updated";
    },

    unregister(uri, init) {
      const { host, path } = taken(uri);
      const pool = pools.get(host + path);
      const address = addressOf(init.host, effectivePort(init));
      const held = pool === undefined ? undefined : endpointAt(pool, address);
      if (pool === undefined || held === undefined) return false;
      if (!succeeds(held.modificationTag, init.modificationTag) && !sameTag(held.modificationTag, init.modificationTag)) return false;
      return remove(pool, held, "unregistered");
    },

    lookup(host, given) {
      const path = pathCase === "insensitive" ? given.toLowerCase() : given;
      const root = hosts.get(host);
      let found = root === undefined ? undefined : deepestPool(root, path);
      if (found !== undefined && found.endpoints.length > 0) return found;
      if (wildcardHosts === 0) return found;
      for (let name = nextWildcard(host); name !== undefined; name = nextWildcard(name)) {
        const wider = hosts.get(name);
        const pool = wider === undefined ? undefined : deepestPool(wider, path);
        if (pool === undefined) continue;
        if (pool.endpoints.length > 0) return pool;
        found ??= pool;
      }
      return found;
    },

    snapshot: () => [...pools.values()].map((pool) => ({ route: pool.key, options: pool.options, endpoints: [...pool.endpoints] })),

    prune({ source } = {}) {
      const now = clock.now();
      let count = 0;
      for (const pool of [...pools.values()]) {
        for (const endpoint of [...pool.endpoints]) {
          if (endpoint.staleAfterMs === undefined || endpoint.backend.tls || (source !== undefined && endpoint.source !== source)) continue;
          if (now - endpoint.lastSeenMs > endpoint.staleAfterMs && remove(pool, endpoint, "stale")) count += 1;
        }
      }
      return count;
    },

    refreshAll({ source } = {}) {
      const now = clock.now();
      for (const pool of pools.values()) {
        for (const endpoint of pool.endpoints) if (source === undefined || endpoint.source === source) endpoint.lastSeenMs = now;
      }
    },

    eject: (pool, endpoint) => void remove(pool, endpoint, "failed"),
    onChange: (listener) => listen(listeners, listener),
    onIdleBackend: (listener) => listen(idleListeners, listener),
    get routeCount() { return pools.size - emptyPools; },
    get addressCount() { return backends.size; },
    get lastUpdateMs() { return lastUpdateMs; },
  };
}

const backendKey = (address: string, tls: boolean, serverName: string): string => (tls ? `${address} ${serverName}` : address);

function checkOptions(options: RouteOptions | undefined): void {
  const wanted = options?.loadBalancing;
  if (wanted === undefined || loadBalancings.includes(wanted)) return;
  throw new RouterError("ROUTER_BAD_OPTION", `loadBalancing ${JSON.stringify(wanted)}: expected one of ${loadBalancings.join(", ")}`);
}

const sameTag = (held: ModificationTag | undefined, next: ModificationTag | undefined): boolean =>
  held !== undefined && next !== undefined && held.guid === next.guid && held.index === next.index;

function listen<T>(listeners: Set<T>, listener: T): Disposable {
  listeners.add(listener);
  return { [Symbol.dispose]: () => void listeners.delete(listener) };
}
