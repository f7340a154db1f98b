import type { Endpoint } from "./endpoint.ts";
import { fnv, mixed } from "./hash.ts";
import { forgive, isUp } from "./health.ts";
import type { LoadBalancing, Pool } from "./pool.ts";

export interface Choice {
  readonly nowMs: number;
  readonly algorithm: LoadBalancing;
  /** Requests and tunnels one address may have at a time. 0 = no limit. */
  readonly maxPerEndpoint: number;
  /** Endpoints this request has tried already. */
  readonly tried: readonly Endpoint[];
  /** A further condition: an instance asked for by header. */
  readonly eligible?: ((endpoint: Endpoint) => boolean) | undefined;
  /** Only endpoints of this zone that work. */
  readonly zone?: string | undefined;
  /** For `hash`: the text that decides. Without it the others take turns. */
  readonly hashKey?: string | undefined;
  readonly hashBalance?: number | undefined;
}

/** Why nothing was chosen. */
export type NoChoice = "none" | "overloaded";

/**
 * Picks an endpoint: never one that was tried or is full, one that is held off only when no other is left
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
  // Whoever prefers a zone asks again without: its marks are none of this question's business.
  if (choice.zone !== undefined) return "none";
  const second = pick(pool, choice, true);
  if (second !== undefined) {
    for (const endpoint of endpoints) if (admits(endpoint, choice)) forgive(endpoint.backend);
    return second;
  }
  return endpoints.some((endpoint) => admits(endpoint, choice)) ? "overloaded" : "none";
}

/** Picks among those that can be had, those held off included or not. */
type Pick = (pool: Pool, choice: Choice, failedToo: boolean) => Endpoint | undefined;

const pickers: { readonly [K in LoadBalancing]: Pick } = {
  "round-robin": roundRobin,
  "least-connections": leastConnections,
  "two-choices": twoChoices,
  hash: (pool, choice, failedToo) => (choice.hashKey === undefined ? roundRobin : byHash)(pool, choice, failedToo),
};

const pick: Pick = (pool, choice, failedToo) => pickers[choice.algorithm](pool, choice, failedToo);

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

const drawsForTwo = 5;

/** The less busy of two drawn at random (Mitzenmacher). Where a few draws do not find two, all are looked at. */
function twoChoices(pool: Pool, choice: Choice, failedToo: boolean): Endpoint | undefined {
  const { endpoints } = pool;
  let one: Endpoint | undefined;
  for (let draw = 0; draw < drawsForTwo; draw += 1) {
    const drawn = endpoints[Math.floor(Math.random() * endpoints.length)];
    if (drawn === undefined || drawn === one || !isUsable(drawn, choice, failedToo)) continue;
    if (one !== undefined) return drawn.backend.inFlight < one.backend.inFlight ? drawn : one;
    one = drawn;
  }
  return leastConnections(pool, choice, failedToo);
}

/**
 * Rendezvous hashing: the endpoint with the highest score for this key. When endpoints come and go only their own keys move,
 * a retry lands on the next one in the key's own order, all routers agree, and there is no table to rebuild.
 */
function byHash(pool: Pool, choice: Choice, failedToo: boolean): Endpoint | undefined {
  const limit = loadLimit(pool, choice);
  const key = mixed(fnv(choice.hashKey as string));
  let best: Endpoint | undefined;
  let bestScore = -1;
  for (const endpoint of pool.endpoints) {
    if (!isUsable(endpoint, choice, failedToo) || endpoint.backend.inFlight >= limit) continue;
    const score = mixed(key ^ pointOf(endpoint)) >>> 0;
    if (score > bestScore) { best = endpoint; bestScore = score; }
  }
  return best;
}

/** How many requests an endpoint may have for it to be within the balance: so many times the mean, this request included. */
function loadLimit(pool: Pool, { hashBalance }: Choice): number {
  if (hashBalance === undefined || hashBalance <= 0) return Infinity;
  let total = 1;
  for (const endpoint of pool.endpoints) total += endpoint.backend.inFlight;
  return Math.max(1, Math.ceil((total / pool.endpoints.length) * hashBalance));
}

const pointOf = (endpoint: Endpoint): number =>
  endpoint.hashPoint === 0 ? endpoint.hashPoint = mixed(fnv(endpoint.instanceId || endpoint.address)) || 1 : endpoint.hashPoint;

const isFull = ({ backend }: Endpoint, { maxPerEndpoint }: Choice): boolean =>
  maxPerEndpoint > 0 && backend.inFlight >= maxPerEndpoint;

const admits = (endpoint: Endpoint, { tried, eligible, zone }: Choice): boolean =>
  !wasTried(endpoint, tried) && (eligible === undefined || eligible(endpoint)) && (zone === undefined || endpoint.availabilityZone === zone);

const isUsable = (endpoint: Endpoint, choice: Choice, failedToo: boolean): boolean =>
  (failedToo || isUp(endpoint.backend, choice.nowMs)) && !isFull(endpoint, choice) && admits(endpoint, choice);

/** By address: an endpoint that was registered anew while the request was under way is still the one that failed. */
function wasTried(endpoint: Endpoint, tried: readonly Endpoint[]): boolean {
  for (const one of tried) if (one.address === endpoint.address) return true;
  return false;
}
