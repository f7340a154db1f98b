import type { NoChoice } from "../balance.ts";
import type { Endpoint } from "../endpoint.ts";
import { noOptions, type Pool } from "../pool.ts";
import { hostOf } from "../uri.ts";
import type { Exchange } from "./exchange.ts";
import { faults, type Fault } from "./fault.ts";
import { forwardWithRetry } from "./forward.ts";
import { buildRequestHeaders, noteForwarding } from "./headers.ts";
import { instanceTarget } from "./instance.ts";
import { destinationOf, headerBytesOf, knownLinesOf } from "./known-lines.ts";
import { passageOf } from "./outbound.ts";
import { momentHeaders } from "./passage.ts";
import type { Step } from "./pipeline.ts";
import { newRequestId } from "./request-id.ts";
import { respondFault } from "./respond.ts";
import { rewriteForRoute } from "./route-answers.ts";
import { useRouteService } from "./route-service.ts";
import { seat } from "./seat.ts";
import { readAffinity } from "./sticky.ts";
import { requestIdOf } from "./tracing.ts";

/** Gives the request its id, that of its trace if it has one. What the client sent under that name is not believed. */
export const assignRequestId: Step = (exchange, next) => {
  exchange.requestId = requestIdOf(exchange.traceId) ?? newRequestId();
  return next();
};

/** Refuses a request over a connection whose certificate does not stand for its host (RFC 9110, 15.5.20): the client comes back over one of its own. */
export const checkServerName: Step = (exchange, next) => {
  const { serves } = exchange.connection;
  if (serves === undefined) return next();
  const host = hostOf(exchange.host);
  return host === "" || serves(host) ? next() : respondFault(exchange, faults.misdirected(host));
};

/** Finds the route by `lookupHost` and the path of `target`. */
export const findRoute: Step = (exchange, next) => {
  const { table } = exchange.context;
  const { host, hostFits, path, pathFits } = destinationOf(exchange);
  if (host === "") return respondFault(exchange, faults.emptyHost());
  if (!hostFits) return respondFault(exchange, faults.badHost());
  if (!pathFits) return respondFault(exchange, faults.badTarget());
  const connects = exchange.method === "CONNECT";
  const route = table.lookup(host, path);
  if (connects && route?.options.connect !== true) return respondFault(exchange, faults.connectRefused());
  if (route === undefined) {
    // Probes that use our own address as a name: a fault of the request, not a missing app.
    if (host === exchange.peerAddress) return respondFault(exchange, faults.addressAsHost(host));
    return respondFault(exchange, unknownRoute(exchange, host));
  }
  exchange.route = route;
  if (route.options !== noOptions) rewriteForRoute(exchange, route.options);
  return next();
};

/** A request for an instance is answered as such even where the whole route is unknown. */
function unknownRoute(exchange: Exchange, host: string): Fault {
  const target = instanceTarget(exchange);
  if (target === undefined) return faults.unknownRoute(host);
  return "status" in target ? target : faults.unknownInstance(target.what, host);
}

/** Refuses requests with more headers than allowed; after the route is known, so that the log can name the app. */
export const limitHeaders: Step = (exchange, next) => {
  const { maxRequestHeaderBytes, maxRequestHeaders } = exchange.context.settings;
  const known = knownLinesOf(exchange);
  if (maxRequestHeaders > 0 && (known?.count ?? exchange.currentHeaders.length / 2) > maxRequestHeaders) return respondFault(exchange, faults.headersTooLarge());
  // The request line and the headers.
  const bytes = exchange.method.length + exchange.target.length + 12 + (known?.headerBytes ?? headerBytesOf(exchange.currentHeaders));
  if (bytes > maxRequestHeaderBytes) return respondFault(exchange, faults.headersTooLarge());
  return next();
};

/** Chooses the first endpoint: the instance asked for by header, the one the cookie names, or the balancer's. */
export const pickEndpoint: Step = (exchange, next) => {
  const route = exchange.route as Pool;
  // Where `useRouteService` is missing among the steps, nobody gets past the service.
  if (route.options.routeServiceUrl && !exchange.viaRouteService) return respondFault(exchange, faults.routeService());
  const leavesChoice = knownLinesOf(exchange)?.leavesChoice === true;
  if (!leavesChoice) {
    const fault = tieToInstance(exchange, route);
    if (fault !== undefined) return respondFault(exchange, fault);
  }
  const tooLarge = limitBody(exchange, route);
  if (tooLarge !== undefined) return respondFault(exchange, tooLarge);
  if (!leavesChoice) readAffinity(exchange);
  const chosen = seat(exchange, none);
  return chosen instanceof Promise ? chosen.then((late) => goTo(exchange, late, next)) : goTo(exchange, chosen, next);
};

const none: readonly Endpoint[] = [];

/** An instance asked for by header is a condition on the endpoint. */
function tieToInstance(exchange: Exchange, route: Pool): Fault | undefined {
  const target = instanceTarget(exchange);
  if (target === undefined) return undefined;
  if ("status" in target) return target;
  if (!route.endpoints.some(target.matches)) return faults.unknownInstance(target.what, hostOf(exchange.lookupHost));
  const before = exchange.eligible;
  exchange.eligible = before === undefined ? target.matches : (endpoint) => before(endpoint) && target.matches(endpoint);
  return undefined;
}

function goTo(exchange: Exchange, chosen: Endpoint | NoChoice, next: () => Promise<void>): Promise<void> {
  if (typeof chosen === "object") {
    exchange.endpoint = chosen;
    return next();
  }
  // Left while it waited.
  if (exchange.closed) return Promise.resolve();
  const host = hostOf(exchange.lookupHost);
  if (exchange.stickyHard) return respondFault(exchange, faults.endpointFailure(502, "no endpoints available"));
  return respondFault(exchange, chosen === "overloaded" ? faults.overloaded(host) : faults.noEndpoints(host));
}

/** What says beforehand that it is too large is refused now, the rest when it has become so. */
function limitBody(exchange: Exchange, { options }: Pool): Fault | undefined {
  exchange.maxBodyBytes = options.maxRequestBodyBytes ?? exchange.context.settings.maxRequestBodyBytes;
  if (exchange.maxBodyBytes === 0) return undefined;
  const length = exchange.received("content-length");
  return length !== undefined && Number(length) > exchange.maxBodyBytes ? faults.bodyTooLarge() : undefined;
}

/** Makes the headers for the app, but for those that name the instance. */
export const rewriteHeaders: Step = (exchange, next) => {
  exchange.passage = passageOf(exchange);
  if (exchange.passage === undefined) {
    const { headers, forwarding } = buildRequestHeaders(exchange);
    headers.push(...momentHeaders(exchange, forwarding));
    exchange.outboundHeaders = headers;
    noteForwarding(exchange, forwarding);
  } else noteForwarding(exchange, exchange.passage.forwarding);
  return next();
};

/** The whole way of a request, in order. Steps of yours stand before, between or instead of these. */
export const defaultSteps: readonly Step[] = [assignRequestId, checkServerName, findRoute, limitHeaders, useRouteService, pickEndpoint, rewriteHeaders, forwardWithRetry];
