import type { Endpoint } from "../endpoint.ts";
import { markFailed } from "../health.ts";
import type { Pool } from "../pool.ts";
import type { NoChoice } from "../balance.ts";
import type { Exchange } from "./exchange.ts";
import { forwardExpecting } from "./expect.ts";
import { classify, isIdempotent, mayRetry, type FailedAttempt } from "./failure.ts";
import { faults } from "./fault.ts";
import type { Outbound } from "./lines.ts";
import { outboundTo } from "./outbound.ts";
import type { Step } from "./pipeline.ts";
import { giveBack, takePlace } from "./places.ts";
import { ended, respondFault } from "./respond.ts";
import { seat } from "./seat.ts";
import { hostOf } from "../uri.ts";
import { forwardUpgrade } from "./upgrade.ts";

/** Sends the request to the chosen endpoint, and to others while the failure table allows it. */
export const forwardWithRetry: Step = (exchange) => forwardTo(exchange, toApp);

/** Where the attempts of requests go; one for all requests of a kind. */
export interface Attempts {
  /** The endpoint for the next attempt, or why there is none. */
  next(exchange: Exchange, tried: readonly Endpoint[]): Endpoint | NoChoice | Promise<Endpoint | NoChoice>;
  max(exchange: Exchange): number;
  /** The headers for it, which the attempt may add to. */
  headersFor(exchange: Exchange, endpoint: Endpoint): Outbound;
}

const toApp: Attempts = {
  next: (exchange, tried) => (tried.length === 0 ? exchange.endpoint as Endpoint : seat(exchange, tried)),
  max: ({ context, route }) => route?.options.maxAttempts ?? context.settings.maxAttempts,
  headersFor: outboundTo,
};

/** Makes attempts until one is answered, or the failure table, the budget or the time say that it is enough. */
export async function forwardTo(exchange: Exchange, attempts: Attempts): Promise<void> {
  const { context } = exchange;
  const { settings, retryBudget } = context;
  const tried: Endpoint[] = [];
  let last: FailedAttempt | undefined;
  let repeats: Pool | undefined;
  let endpoint: Endpoint | NoChoice = "none";
  for (;;) {
    const given = attempts.next(exchange, tried);
    endpoint = given instanceof Promise ? await given : given;
    if (typeof endpoint !== "object") break;
    exchange.endpoint = endpoint;
    exchange.attempts += 1;
    const begun = performance.now();
    const failed = await attempt(exchange, endpoint, attempts.headersFor(exchange, endpoint));
    if (failed === undefined) {
      if (repeats !== undefined) retryBudget?.end(repeats);
      return delivered(exchange);
    }
    last = failed;
    exchange.failedAttempts += 1;
    exchange.failedMs += performance.now() - begun;
    tried.push(endpoint);
    const rule = classify(failed);
    context.attemptFailed?.(rule.cause);
    if (failed.code !== "CLIENT_GONE") {
      context.log.warn("router.attempt.failed", {
        endpoint: endpoint.address, route: exchange.route?.key, requestId: exchange.requestId, attempt: exchange.attempts, code: failed.code, error: failed.message, cause: rule.cause,
      });
    }
    if (rule.mark) markFailed(endpoint.backend, context.clock.now(), settings.failureMarkMs, settings.maxFailureMarkMs);
    if (rule.eject && endpoint.backend.tls) context.table.eject(exchange.route as Pool, endpoint);
    if (exchange.closed || exchange.attempts >= attempts.max(exchange)) break;
    if (!mayRetry(rule, failed, isRepeatable(exchange)) || bodyIsGone(exchange)) break;
    if (settings.retryDeadlineMs > 0 && performance.now() - exchange.startedMs > settings.retryDeadlineMs) break;
    if (retryBudget !== undefined && repeats === undefined) {
      if (!retryBudget.begin(exchange.route as Pool)) break;
      repeats = exchange.route;
    }
  }
  if (repeats !== undefined) retryBudget?.end(repeats);
  if (last === undefined) {
    const host = hostOf(exchange.lookupHost);
    return respondFault(exchange, endpoint === "overloaded" ? faults.overloaded(host) : faults.noEndpoints(host));
  }
  // Answered meanwhile, by whoever watches over the client.
  if (exchange.closed && exchange.fault !== undefined) return;
  const { status, cause } = classify(last);
  if (last.code === "BODY_TOO_LARGE") return respondFault(exchange, faults.bodyTooLarge());
  // A service without a TLS version of ours is a dead one; an app's endpoint would not be what was registered.
  if (exchange.service !== undefined && /PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL/.test(last.code)) return respondFault(exchange, faults.endpointFailure(502, "tls version refused"));
  await respondFault(exchange, faults.endpointFailure(status, cause));
}

/** Waits for the client to take the rest of an answer. It has its time for that; an endpoint is not kept busy by it. */
function delivered(exchange: Exchange): Promise<void> {
  const { response, socket, context } = exchange;
  // node:http closes a connection on which nothing moves for so long, and takes the limit off again before the next request.
  if (!exchange.closed && response.writableLength > 0) socket.setTimeout(context.settings.clientStallMs);
  return ended(exchange);
}

async function attempt(exchange: Exchange, endpoint: Endpoint, outbound: Outbound): Promise<FailedAttempt | undefined> {
  // Mostly it is taken since the choice.
  takePlace(exchange, endpoint);
  try {
    if (exchange.expectContinue && endpoint.protocol !== "http2") return await forwardExpecting(exchange, endpoint, outbound.flat());
    if (exchange.upgrade === undefined) return await exchange.context.engine.forward(exchange, endpoint, outbound);
    const headers = outbound.flat();
    if (exchange.method !== "CONNECT") headers.push("Connection", "Upgrade", "Upgrade", exchange.received("upgrade") ?? "websocket");
    return await forwardUpgrade(exchange, endpoint, headers);
  } finally {
    giveBack(exchange);
  }
}

/** Whether repeating the request can do no harm: by its method, its key, or because the route says so. */
const isRepeatable = (exchange: Exchange): boolean =>
  isIdempotent(exchange.method, exchange.hasBody, exchange.idempotencyKey)
  || (!exchange.hasBody && (exchange.route?.options.retryMethods ?? exchange.context.settings.retryMethods).includes(exchange.method));

/** Bytes taken from the client by an attempt cannot be given to another. */
const bodyIsGone = (exchange: Exchange): boolean => exchange.bytesIn > 0 || (exchange.hasBody && exchange.request.readableFlowing !== null);
