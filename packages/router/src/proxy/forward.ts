import { performance } from "node:perf_hooks";
import type { Endpoint } from "../endpoint.ts";
import { markFailed } from "../health.ts";
import type { Pool } from "../pool.ts";
import type { NoChoice } from "../balance.ts";
import type { CloseListener, DeliveryListener, Exchange } from "./exchange.ts";
import { noteDial } from "./dial-times.ts";
import { forwardExpecting } from "./expect.ts";
import { classify, isIdempotent, mayRetry, type FailedAttempt } from "./failure.ts";
import { faults } from "./fault.ts";
import type { Outbound } from "./lines.ts";
import { outboundTo } from "./outbound.ts";
import type { Step } from "./pipeline.ts";
import { giveBack, takePlace } from "./places.ts";
import { respondFault } from "./respond.ts";
import { seat } from "./seat.ts";
import { hostOf } from "../uri.ts";
import { forwardUpgrade, isWebSocket } from "./upgrade.ts";

/** Sends the request to the chosen endpoint, and to others while the failure table allows it. */
export const forwardWithRetry: Step = (exchange) => {
  const { whenDelivered } = exchange;
  if (whenDelivered === undefined) return forwardTo(exchange, toApp);
  exchange.isHandedOn = true;
  new Forwarding(exchange, toApp, whenDelivered).next();
  return handedOn;
};

/** What steps give back that leave the end of the request to `whenDelivered`. */
export const handedOn = Promise.resolve();

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

/** Makes attempts until one is answered, or the failure table, the budget or the time say that it is enough. Resolves when the exchange is over. */
export function forwardTo(exchange: Exchange, attempts: Attempts): Promise<void> {
  return new Promise((resolve, reject) => new Forwarding(exchange, attempts, { onDelivered: (_, answer) => resolve(answer), onBroken: (_, cause) => reject(cause as Error) }).next());
}

const nobody: readonly Endpoint[] = [];

/** The attempts of one request, one after the other. No promises between them: nearly every request needs one attempt, and each promise costs a share of it. */
class Forwarding implements CloseListener {
  readonly #exchange: Exchange;
  readonly #attempts: Attempts;
  readonly #listener: DeliveryListener;
  #tried: readonly Endpoint[] = nobody;
  #last: FailedAttempt | undefined = undefined;
  /** The route whose budget pays for the repetitions. */
  #repeats: Pool | undefined = undefined;

  constructor(exchange: Exchange, attempts: Attempts, listener: DeliveryListener) {
    this.#exchange = exchange;
    this.#attempts = attempts;
    this.#listener = listener;
  }

  next(): void {
    try {
      const given = this.#attempts.next(this.#exchange, this.#tried);
      if (given instanceof Promise) given.then((endpoint) => this.#goTo(endpoint), (cause: unknown) => this.#break(cause));
      else this.#goTo(given);
    } catch (cause) {
      this.#break(cause);
    }
  }

  #goTo(endpoint: Endpoint | NoChoice): void {
    if (typeof endpoint !== "object") return this.#giveUp(endpoint);
    const exchange = this.#exchange;
    exchange.endpoint = endpoint;
    exchange.attempts += 1;
    exchange.attemptMs = performance.now();
    // Mostly it is taken since the choice.
    takePlace(exchange, endpoint);
    try {
      attempt(exchange, endpoint, this.#attempts.headersFor(exchange, endpoint), this.#over);
    } catch (cause) {
      giveBack(exchange);
      this.#break(cause);
    }
  }

  readonly #over = (failed: FailedAttempt | undefined): void => {
    try {
      giveBack(this.#exchange);
      if (failed === undefined) this.#delivered();
      else if (this.#mayGoOn(failed)) this.next();
      else this.#giveUp("none");
    } catch (cause) {
      this.#break(cause);
    }
  };

  /** Waits for the client to take the rest of an answer. It has its time for that; an endpoint is not kept busy by it. */
  #delivered(): void {
    const exchange = this.#exchange;
    const { response, socket, context } = exchange;
    if (this.#repeats !== undefined) context.retryBudget?.end(this.#repeats);
    if (exchange.closed) return this.onClosed();
    // node:http closes a connection on which nothing moves for so long, and takes the limit off again before the next request.
    if (response.writableLength > 0) socket.setTimeout(context.settings.clientStallMs);
    exchange.whenClosed(this);
  }

  onClosed(): void { this.#listener.onDelivered(this.#exchange); }
  #break(cause: unknown): void { this.#listener.onBroken(this.#exchange, cause); }

  #mayGoOn(failed: FailedAttempt): boolean {
    const exchange = this.#exchange;
    const { context } = exchange;
    const { settings, retryBudget } = context;
    const endpoint = exchange.endpoint as Endpoint;
    this.#last = failed;
    exchange.failedAttempts += 1;
    exchange.failedMs += performance.now() - exchange.attemptMs;
    this.#tried = [...this.#tried, endpoint];
    const rule = classify(failed);
    context.attemptFailed?.(rule.cause);
    if (failed.code !== "CLIENT_GONE") {
      context.log.warn("router.attempt.failed", {
        endpoint: endpoint.address, route: exchange.route?.key, requestId: exchange.requestId, attempt: exchange.attempts, code: failed.code, error: failed.message, cause: rule.cause,
      });
    }
    if (rule.mark) markFailed(endpoint.backend, context.clock.now(), settings.failureMarkMs, settings.maxFailureMarkMs);
    if (rule.eject && endpoint.backend.tls) context.table.eject(exchange.route as Pool, endpoint);
    if (exchange.closed || exchange.attempts >= this.#attempts.max(exchange)) return false;
    if (!mayRetry(rule, failed, isRepeatable(exchange)) || bodyIsGone(exchange)) return false;
    if (settings.retryDeadlineMs > 0 && performance.now() - exchange.startedMs > settings.retryDeadlineMs) return false;
    if (retryBudget !== undefined && this.#repeats === undefined) {
      if (!retryBudget.begin(exchange.route as Pool)) return false;
      this.#repeats = exchange.route;
    }
    // The next may never have a connection, and that of this one is not its own.
    noteDial(exchange, undefined);
    return true;
  }

  #giveUp(why: NoChoice): void {
    const exchange = this.#exchange;
    if (this.#repeats !== undefined) exchange.context.retryBudget?.end(this.#repeats);
    this.#listener.onDelivered(exchange, answerFor(exchange, this.#last, why));
  }
}

/** What the client gets to hear when no attempt was answered. */
function answerFor(exchange: Exchange, last: FailedAttempt | undefined, why: NoChoice): Promise<void> {
  if (last === undefined) {
    const host = hostOf(exchange.lookupHost);
    return respondFault(exchange, why === "overloaded" ? faults.overloaded(host) : faults.noEndpoints(host));
  }
  // Answered meanwhile, by whoever watches over the client.
  if (exchange.closed && exchange.fault !== undefined) return Promise.resolve();
  const { status, cause } = classify(last);
  if (last.code === "BODY_TOO_LARGE") return respondFault(exchange, faults.bodyTooLarge());
  // A service without a TLS version of ours is a dead one; an app's endpoint would not be what was registered.
  if (exchange.service !== undefined && /PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL/.test(last.code)) return respondFault(exchange, faults.endpointFailure(502, "tls version refused"));
  return respondFault(exchange, faults.endpointFailure(status, cause));
}

function attempt(exchange: Exchange, endpoint: Endpoint, outbound: Outbound, over: (failure: FailedAttempt | undefined) => void): void {
  if (exchange.expectContinue && endpoint.protocol !== "http2") return void forwardExpecting(exchange, endpoint, outbound.flat()).then(over);
  const { engine } = exchange.context;
  if (exchange.upgrade === undefined) return engine.forward(exchange, endpoint, outbound, over);
  if (endpoint.protocol === "http2" && engine.upgrade !== undefined && isWebSocket(exchange)) return engine.upgrade(exchange, endpoint, outbound, over);
  void forwardUpgrade(exchange, endpoint, outbound.flat()).then(over);
}

/** Whether repeating the request can do no harm: by its method, its key, or because the route says so. */
const isRepeatable = (exchange: Exchange): boolean =>
  isIdempotent(exchange.method, exchange.hasBody, exchange.idempotencyKey)
  || (!exchange.hasBody && (exchange.route?.options.retryMethods ?? exchange.context.settings.retryMethods).includes(exchange.method));

/** Bytes taken from the client by an attempt cannot be given to another. */
const bodyIsGone = (exchange: Exchange): boolean => exchange.bytesIn > 0 || (exchange.hasBody && exchange.request.readableFlowing !== null);
