import type { Backend, Endpoint, EndpointInit } from "../endpoint.ts";
import type { Pool, RouteOptions } from "../pool.ts";
import type { WaitOptions } from "./wait.ts";

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

/** Routes and their endpoints. Synchronous, in memory; asks nobody and tells only its listeners. */
export interface RouteTable {
  /**
   * Adds an endpoint to a route, or refreshes it. `options`, when given, replace what was said of the route before.
   * @throws {RouterError} ROUTER_BAD_URI, ROUTER_BAD_ENDPOINT, ROUTER_BAD_OPTION
   */
  register(uri: string, endpoint: EndpointInit, options?: RouteOptions): RegisterResult;
  /** Takes an endpoint out of a route; false when it was not there, or is newer than the tag. */
  unregister(uri: string, endpoint: Pick<EndpointInit, "host" | "port" | "tlsPort" | "modificationTag">): boolean;
  /**
   * What stands under this route at this address is known by `token` from now on: 32 bits of the caller's choice, not 0. Gives the place to name with it; undefined where nothing stands.
   * @throws {RouterError} ROUTER_BAD_URI, ROUTER_BAD_ENDPOINT
   */
  mark(uri: string, endpoint: Pick<EndpointInit, "host" | "port" | "tlsPort">, token: number): number | undefined;
  /**
   * A heartbeat: what `register` does with arguments that were registered before, in a hundredth of the time. False, and nothing is done, when the endpoint has gone,
   * or something about it or its route is no longer as it was when it was marked, or it is known by another token; only `register` can tell what such a message means then.
   */
  renew(place: number, token: number): boolean;
  /**
   * The pool for a request: longest path of the exact host first, then ever wider wildcards.
   * A pool with endpoints beats an empty one everywhere. `host` as `hostOf` gives it, `path` as `pathOf` gives it.
   */
  lookup(host: string, path: string): Pool | undefined;
  /**
   * What is registered under exactly this route; undefined when nothing is.
   * @throws {RouterError} ROUTER_BAD_URI
   */
  route(uri: string): RouteSnapshot | undefined;
  /** Every route, by name. `diffRoutes` tells two of these apart. */
  snapshot(): RouteSnapshot[];
  /**
   * Resolves when the route has as many endpoints as wanted, at once if it has them now.
   * @throws {RouterError} ROUTER_BAD_URI, ROUTER_WAIT_TIMEOUT, ROUTER_ABORTED
   */
  waitFor(uri: string, options?: WaitOptions): Promise<RouteSnapshot>;
  /** Takes out what was not refreshed for its `staleAfterMs`; TLS endpoints stay, their certificate says who they are. Gives the number. */
  prune(filter?: { source?: string }): number;
  /** The same in some hundred steps, each over a piece of the table, so that nobody waits for a sweep of a million routes. A step gives the number it took out. */
  sweep(filter?: { source?: string }): Generator<number, void>;
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
