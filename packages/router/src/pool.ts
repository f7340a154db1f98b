import { addressOf, grown, isAt, type Endpoint } from "./endpoint.ts";
import { noOptions, type RouteOptions } from "./route-options.ts";

export { checkRouteOptions, loadBalancings, noOptions, type LoadBalancing, type RouteOptions } from "./route-options.ts";

/** The endpoints of one route. */
export interface Pool {
  /** `host/path`, as listed. */
  readonly key: string;
  readonly host: string;
  /** The route's path as first registered, `/` for a whole host: the path of the affinity cookie. */
  readonly contextPath: string;
  /** In the order of their arrival; replaced in place, so that a cursor stays meaningful. */
  endpoints: Endpoint[];
  /** By address, once there are so many that searching costs more than a map. */
  index: Map<string, Endpoint> | undefined;
  options: RouteOptions;
  /** Where round robin goes on. */
  cursor: number;
}

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

export function endpointAt(pool: Pool, host: string, port: number): Endpoint | undefined {
  if (pool.index !== undefined) return pool.index.get(addressOf(host, port));
  for (const endpoint of pool.endpoints) if (isAt(endpoint.backend, host, port)) return endpoint;
  return undefined;
}

export function putEndpoint(pool: Pool, endpoint: Endpoint): void {
  const held = endpointAt(pool, endpoint.backend.host, endpoint.backend.port);
  if (held === undefined) pool.endpoints = grown(pool.endpoints, endpoint);
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
