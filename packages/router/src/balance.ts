import type { Endpoint } from "./endpoint.ts";
import type { LoadBalancing, Pool } from "./pool.ts";

export interface Choice {
  readonly nowMs: number;
  readonly algorithm: LoadBalancing;
  /** Requests and tunnels one address may have at a time. 0 = no limit. */
  readonly maxPerEndpoint: number;
  /** Endpoints this request has tried already. */
  readonly tried: readonly Endpoint[];
  /** Further conditions: an instance asked for by header, a zone preferred. */
  readonly eligible?: ((endpoint: Endpoint) => boolean) | undefined;
  /** For `hash`: the text that decides. */
  readonly hashKey?: string | undefined;
  readonly hashBalance?: number | undefined;
}

/** Why nothing was chosen. */
export type NoChoice = "none" | "overloaded";

/**
 * Picks an endpoint: never one that was tried or is full, one marked as failed only when no other is left
 * (then the marks of these endpoints are taken off, or a pool that failed as a whole would stay dark for 30 s).
 */
export function choose(pool: Pool, choice: Choice): Endpoint | NoChoice {
  const endpoints = pool.endpoints;
  if (endpoints.length === 1) {
    const only = endpoints[0] as Endpoint;
    if (!admits(only, choice)) return "none";
    return isFull(only, choice) ? "overloaded" : only;
  }
  const first = pick(pool, choice, false);
  if (first !== undefined) return first;
  const second = pick(pool, choice, true);
  if (second !== undefined) {
    for (const endpoint of endpoints) if (admits(endpoint, choice)) endpoint.backend.failedUntil = 0;
    return second;
  }
  return endpoints.some((endpoint) => admits(endpoint, choice)) ? "overloaded" : "none";
}

function pick(pool: Pool, choice: Choice, failedToo: boolean): Endpoint | undefined {
  switch (choice.algorithm) {
    case "least-connections": return leastConnections(pool, choice, failedToo);
    case "hash": return choice.hashKey === undefined ? roundRobin(pool, choice, failedToo) : byHash(pool, choice, failedToo);
    default: return roundRobin(pool, choice, failedToo);
  }
}

function roundRobin(pool: Pool, choice: Choice, failedToo: boolean): Endpoint | undefined {
  const endpoints = pool.endpoints;
  const count = endpoints.length;
  for (let step = 0; step < count; step += 1) {
    const at = (pool.cursor + step) % count;
    const endpoint = endpoints[at] as Endpoint;
    if (!isUsable(endpoint, choice, failedToo)) continue;
    pool.cursor = at + 1;
    return endpoint;
  }
  return undefined;
}

/** The least busy; of several, the one next in turn, so that equals share the load. */
function leastConnections(pool: Pool, choice: Choice, failedToo: boolean): Endpoint | undefined {
  const endpoints = pool.endpoints;
  const count = endpoints.length;
  let best: Endpoint | undefined;
  let bestAt = 0;
  for (let step = 0; step < count; step += 1) {
    const at = (pool.cursor + step) % count;
    const endpoint = endpoints[at] as Endpoint;
    if (best !== undefined && endpoint.backend.inFlight >= best.backend.inFlight) continue;
    if (!isUsable(endpoint, choice, failedToo)) continue;
    best = endpoint;
    bestAt = at;
  }
  if (best !== undefined) pool.cursor = bestAt + 1;
  return best;
}

/**
 * Rendezvous hashing: the endpoint with the highest score for this key. When endpoints come and go only their own keys move,
 * a retry lands on the next one in the key's own order, and there is no table to rebuild.
 */
function byHash(pool: Pool, choice: Choice, failedToo: boolean): Endpoint | undefined {
  const limit = loadLimit(pool, choice);
  let best: Endpoint | undefined;
  let bestScore = -1;
  for (const endpoint of pool.endpoints) {
    if (!isUsable(endpoint, choice, failedToo) || endpoint.backend.inFlight >= limit) continue;
    const score = hash(`${choice.hashKey as string}\n${endpoint.instanceId || endpoint.address}`);
    if (score > bestScore) { best = endpoint; bestScore = score; }
  }
  return best;
}

function loadLimit(pool: Pool, { hashBalance }: Choice): number {
  if (hashBalance === undefined || hashBalance <= 0) return Infinity;
  let total = 1;
  for (const endpoint of pool.endpoints) total += endpoint.backend.inFlight;
  return Math.max(1, Math.ceil((total / pool.endpoints.length) * hashBalance));
}

/** FNV-1a over UTF-16 units, then a mixing step: FNV alone leaves the high bits of short keys alike. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1) value = Math.imul(value ^ text.charCodeAt(at), 0x01000193);
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return (value ^ (value >>> 16)) >>> 0;
}

const isFull = ({ backend }: Endpoint, { maxPerEndpoint }: Choice): boolean =>
  maxPerEndpoint > 0 && backend.inFlight >= maxPerEndpoint;

const admits = (endpoint: Endpoint, { tried, eligible }: Choice): boolean =>
  !wasTried(endpoint, tried) && (eligible === undefined || eligible(endpoint));

const isUsable = (endpoint: Endpoint, choice: Choice, failedToo: boolean): boolean =>
  (failedToo || endpoint.backend.failedUntil <= choice.nowMs) && !isFull(endpoint, choice) && admits(endpoint, choice);

/** By address: an endpoint that was registered anew while the request was under way is still the one that failed. */
function wasTried(endpoint: Endpoint, tried: readonly Endpoint[]): boolean {
  for (const one of tried) if (one.address === endpoint.address) return true;
  return false;
}
