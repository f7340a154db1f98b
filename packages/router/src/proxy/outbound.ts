import type { Endpoint } from "../endpoint.ts";
import type { Exchange } from "./exchange.ts";
import { buildRequestHeaders } from "./headers.ts";
import { FlatHeaders, linesOf, type Outbound } from "./lines.ts";
import { namesOf } from "./names.ts";
import { PassageHeaders, spokenFor, type Passage } from "./passage.ts";

/**
 * The passage of a request whose header lines its client has sent before on the same connection, and that no step has touched;
 * undefined for any other. It is worked out with the second request and kept with the lines.
 */
export function passageOf(exchange: Exchange): Passage | undefined {
  const { block } = exchange;
  if (block === undefined || !block.repeated || exchange.viaRouteService || exchange.currentHeaders !== exchange.receivedHeaders) return undefined;
  const held = block.derived as Passage | undefined;
  if (held !== undefined && held.host === exchange.host && held.connection === exchange.connection && held.context === exchange.context) return held;
  const { headers, forwarding } = buildRequestHeaders(exchange);
  const lines = linesOf(headers);
  if (lines === undefined) return undefined;
  const made: Passage = { host: exchange.host, connection: exchange.connection, context: exchange.context, headers, lines, forwarding, ...spokenFor(exchange.receivedHeaders), logged: undefined, form: undefined };
  block.derived = made;
  return made;
}

/** The headers for an attempt at an app's endpoint. */
export function outboundTo(exchange: Exchange, endpoint: Endpoint): Outbound {
  const { passage } = exchange;
  const names = namesOf(endpoint);
  return passage === undefined || names.text === "" ? new FlatHeaders(exchange.outboundHeaders, names.flat) : new PassageHeaders(exchange, passage, names);
}
