import type { Endpoint } from "./endpoint.ts";

/** How a pool chooses among its endpoints. On the bus the second is spelled `least-connection`. */
export const loadBalancings = ["round-robin", "least-connections", "hash"] as const;
export type LoadBalancing = (typeof loadBalancings)[number];

/** What may be said about a route besides its endpoints; the last registration that says something wins. */
export interface RouteOptions {
  /** Default: the router's. */
  loadBalancing?: LoadBalancing;
  /** For `hash`: the request header whose value chooses the endpoint. */
  hashHeader?: string;
  /** For `hash`: how far above the mean load an endpoint may be, e.g. 1.25. Default 0: no bound. */
  hashBalance?: number;
  /** https URL of a route service. A route that has one is refused with 502 until the router can honour it. */
  routeServiceUrl?: string;
}

/** The endpoints of one route. */
export interface Pool {
  /** `host/path`, as listed. */
  readonly key: string;
  readonly host: string;
  /** The route's path as first registered, `/` for a whole host: the path of the affinity cookie. */
  readonly contextPath: string;
  /** In the order of their arrival; replaced in place, so that a cursor stays meaningful. */
  readonly endpoints: Endpoint[];
  /** By address, once there are so many that searching costs more than a map. */
  index: Map<string, Endpoint> | undefined;
  options: RouteOptions;
  /** Where round robin goes on. */
  cursor: number;
}

/** A million routes share one. */
export const noOptions: RouteOptions = Object.freeze({});

const indexFrom = 16;

export function createPool(key: string, host: string, path: string): Pool {
  return {
    key, host,
    contextPath: path === "" ? "/" : path,
    endpoints: [],
    index: undefined,
    options: noOptions,
    // A random start keeps many routers from sending their first requests to one instance.
    cursor: Math.floor(Math.random() * 0x10000),
  };
}

export function endpointAt(pool: Pool, address: string): Endpoint | undefined {
  if (pool.index !== undefined) return pool.index.get(address);
  for (const endpoint of pool.endpoints) if (endpoint.address === address) return endpoint;
  return undefined;
}

export function putEndpoint(pool: Pool, endpoint: Endpoint): void {
  const held = endpointAt(pool, endpoint.address);
  if (held === undefined) pool.endpoints.push(endpoint);
  else pool.endpoints[pool.endpoints.indexOf(held)] = endpoint;
  if (pool.index !== undefined) pool.index.set(endpoint.address, endpoint);
  else if (pool.endpoints.length >= indexFrom) pool.index = new Map(pool.endpoints.map((one) => [one.address, one]));
}

export function dropEndpoint(pool: Pool, endpoint: Endpoint): boolean {
  const at = pool.endpoints.indexOf(endpoint);
  if (at < 0) return false;
  pool.endpoints.splice(at, 1);
  pool.index?.delete(endpoint.address);
  return true;
}

/**
 * The endpoint of an instance. Searched for, not indexed: an instance may listen on two ports,
 * and an index by instance id would lose one of them with the other.
 */
export function endpointOfInstance(pool: Pool, instanceId: string): Endpoint | undefined {
  for (const endpoint of pool.endpoints) if (endpoint.instanceId === instanceId) return endpoint;
  return undefined;
}
