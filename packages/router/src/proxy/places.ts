import type { Endpoint } from "../endpoint.ts";
import type { Exchange } from "./exchange.ts";

/**
 * Takes a place at an address: it counts there from now on until `giveBack`. A request that comes to an address with failures
 * finds out for everybody whether it works again.
 */
export function takePlace(exchange: Exchange, { backend }: Endpoint): void {
  if (exchange.held === backend) return;
  giveBack(exchange);
  exchange.held = backend;
  backend.inFlight += 1;
  if (backend.failures > 0) backend.probing = true;
}

/** Gives the place back, if there is one: to the next who waits, and with the last one of an address that left the table its connections. */
export function giveBack(exchange: Exchange): void {
  const backend = exchange.held;
  if (backend === undefined) return;
  exchange.held = undefined;
  backend.inFlight -= 1;
  backend.probing = false;
  const { queue, engine } = exchange.context;
  queue?.freed(backend);
  // Unregistered between choice and attempt: nobody else would close what this request opened.
  if (!backend.isRouted && backend.inFlight === 0) engine.release(backend);
}
