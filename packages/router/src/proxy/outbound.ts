import type { Endpoint } from "../endpoint.ts";
import { cutRequest, type CutRequest } from "./cut-request.ts";
import type { Exchange } from "./exchange.ts";
import { buildRequestHeaders } from "./headers.ts";
import { FlatHeaders, linesOf, type Outbound } from "./lines.ts";
import { namesOf } from "./names.ts";
import { PassageHeaders, spokenFor, type Passage } from "./passage.ts";

/**
 * The passage of a request that the router's own reader has read and no step has touched; undefined where its headers have to be taken apart. That
 * is done for lines that the client repeats on the same connection: then it is done once, with the second request, and kept with the lines.
 */
export function passageOf(exchange: Exchange): Passage | undefined {
  const { block, host, connection, context } = exchange;
  if (block === undefined || exchange.viaRouteService || !exchange.isUntouched) return undefined;
  const held = block.derived as Passage | undefined;
  if (held !== undefined && held.host === host && held.connection === connection && held.context === context) {
    held.isRepeated = block.repeated;
    return held;
  }
  const parts = cutRequest(exchange, block) ?? (block.repeated ? takenApart(exchange) : undefined);
  if (parts === undefined) return undefined;
  const { lines, forwarding, referer, userAgent } = parts;
  const made: Passage = { host, connection, context, lines, forwarding, referer, userAgent, isRepeated: block.repeated, logged: undefined, form: undefined };
  block.derived = made;
  return made;
}

function takenApart(exchange: Exchange): CutRequest | undefined {
  const { headers, forwarding } = buildRequestHeaders(exchange);
  const lines = linesOf(headers);
  return lines === undefined ? undefined : { lines, forwarding, ...spokenFor(exchange.receivedHeaders) };
}

/** The headers for an attempt at an app's endpoint. */
export function outboundTo(exchange: Exchange, endpoint: Endpoint): Outbound {
  const { passage } = exchange;
  const names = namesOf(endpoint);
  return passage === undefined || names.text === "" ? new FlatHeaders(exchange.outboundHeaders, names.flat) : new PassageHeaders(exchange, passage, names);
}
