import { choose, type Choice, type NoChoice } from "../balance.ts";
import type { Endpoint } from "../endpoint.ts";
import { endpointOfInstance, type Pool } from "../pool.ts";
import type { Exchange } from "./exchange.ts";
import { cookieOf } from "./cookies.ts";

/** What is said of a route, or else of the router. */
export const maxPerEndpoint = ({ route, context }: Exchange): number =>
  route?.options.maxConnectionsPerEndpoint ?? context.settings.maxConnectionsPerEndpoint;

/**
 * The endpoint for the next attempt: for the first one the instance of the affinity cookie, then the zone's, then the balancer's.
 * A request that is tied to its instance hard has no other, for any attempt.
 */
export function nextEndpoint(exchange: Exchange, tried: readonly Endpoint[]): Endpoint | NoChoice {
  const route = exchange.route as Pool;
  const { settings, clock } = exchange.context;
  const { options, endpoints } = route;
  const { eligible, stickyInstance } = exchange;
  const most = maxPerEndpoint(exchange);
  const first = tried.length === 0;
  if (stickyInstance !== "" && (first || exchange.stickyHard)) {
    const held = endpointOfInstance(route, stickyInstance);
    const full = most > 0 && held !== undefined && held.backend.inFlight >= most;
    if (held !== undefined && !full && (eligible === undefined || eligible(held))) return held;
    if (exchange.stickyHard) return full ? "overloaded" : "none";
  } else if (first && endpoints.length === 1 && eligible === undefined && most === 0) return endpoints[0] as Endpoint;

  const algorithm = options.loadBalancing ?? settings.loadBalancing;
  const hashKey = algorithm === "hash" ? hashKeyOf(exchange, route) : undefined;
  const choice: Choice = { nowMs: clock.now(), algorithm, maxPerEndpoint: most, tried, eligible, hashKey, hashBalance: options.hashBalance };
  if (first && hashKey === undefined && (options.preferZone ?? settings.preferZone)) {
    const local = choose(route, { ...choice, zone: settings.zone });
    if (typeof local === "object") return local;
  }
  return choose(route, choice);
}

/** The text that decides about the endpoint: of the header, else of the cookie. An empty one decides nothing. */
function hashKeyOf(exchange: Exchange, { options: { hashHeader, hashCookie } }: Pool): string | undefined {
  const header = hashHeader === undefined ? undefined : exchange.header(hashHeader.toLowerCase());
  return header || (hashCookie === undefined ? undefined : cookieOf(exchange.header("cookie"), hashCookie)) || undefined;
}
