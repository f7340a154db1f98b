import type { NoChoice } from "../balance.ts";
import type { Endpoint } from "../endpoint.ts";
import { nextEndpoint } from "./choose.ts";
import type { Exchange } from "./exchange.ts";
import { takePlace } from "./places.ts";

/** Chooses the endpoint for the next attempt and takes a place there; where every one is full and waiting is allowed, waits for one. */
export function seat(exchange: Exchange, tried: readonly Endpoint[]): Endpoint | NoChoice | Promise<Endpoint | NoChoice> {
  const chosen = nextEndpoint(exchange, tried);
  if (typeof chosen === "object") {
    takePlace(exchange, chosen);
    return chosen;
  }
  const { queue, settings } = exchange.context;
  const mayWait = (exchange.route?.options.maxQueuedPerEndpoint ?? settings.maxQueuedPerEndpoint) > 0;
  return chosen === "overloaded" && mayWait && queue !== undefined ? queue.wait(exchange, tried) : chosen;
}
