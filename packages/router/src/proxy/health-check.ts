import type { Exchange } from "./exchange.ts";
import type { Step } from "./pipeline.ts";
import { ended } from "./respond.ts";

/** Answers requests of one agent as `/health` of the status port does, whatever they ask for. */
export interface HealthChecks {
  readonly step: Step;
  /** Whether this was one of them: no traffic, which nobody wants to see in logs and numbers. */
  answered(exchange: Exchange): boolean;
}

/**
 * For balancers that can only ask the port they send requests to (gorouter `healthcheck_user_agent`). Comes before everything else, so
 * that neither routes nor apps matter.
 */
export function createHealthChecks(userAgent: string, healthy: () => boolean): HealthChecks {
  const taken = new WeakSet<Exchange>();
  return {
    step: (exchange, next) => {
      if (exchange.received("user-agent") !== userAgent) return next();
      taken.add(exchange);
      const body = healthy() ? "ok\n" : "";
      exchange.status = body === "" ? 503 : 200;
      exchange.response.writeHead(exchange.status, [
        "Content-Type", "text/plain; charset=utf-8", "Content-Length", String(body.length), "Cache-Control", "private, max-age=0", "Expires", "0",
        ...(exchange.context.draining ? ["Connection", "close"] : []),
      ]);
      exchange.response.end(body);
      return ended(exchange);
    },
    answered: (exchange) => taken.has(exchange),
  };
}
