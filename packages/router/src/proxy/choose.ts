import { choose, type Choice, type NoChoice } from "../balance.ts";
import type { Endpoint } from "../endpoint.ts";
import { endpointOfInstance, type Pool } from "../pool.ts";
import type { Exchange } from "./exchange.ts";

/** The endpoint for the next attempt: for the first one the instance of the affinity cookie, then the zone's, then the balancer's. */
export function nextEndpoint(exchange: Exchange, tried: readonly Endpoint[]): Endpoint | NoChoice {
  const route = exchange.route as Pool;
  const { settings, clock } = exchange.context;
  const { eligible } = exchange;
  const first = tried.length === 0;
  if (first && exchange.stickyInstance !== "") {
    const held = endpointOfInstance(route, exchange.stickyInstance);
    const full = settings.maxConnectionsPerEndpoint > 0 && held !== undefined && held.backend.inFlight >= settings.maxConnectionsPerEndpoint;
    if (held !== undefined && !full && (eligible === undefined || eligible(held))) return held;
  }
  const choice: Choice = {
    nowMs: clock.now(),
    algorithm: route.options.loadBalancing ?? settings.loadBalancing,
    maxPerEndpoint: settings.maxConnectionsPerEndpoint,
    tried,
    eligible,
    hashKey: route.options.hashHeader === undefined ? undefined : exchange.header(route.options.hashHeader.toLowerCase()),
    hashBalance: route.options.hashBalance,
  };
  if (first && settings.preferZone) {
    const near = (endpoint: Endpoint): boolean => endpoint.availabilityZone === settings.zone && endpoint.backend.failedUntil <= choice.nowMs && (eligible === undefined || eligible(endpoint));
    const local = choose(route, { ...choice, eligible: near });
    if (typeof local === "object") return local;
  }
  return choose(route, choice);
}
