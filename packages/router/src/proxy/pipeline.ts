import type { Exchange } from "./exchange.ts";

/**
 * One step of a request's way. It does its part, and calls `next` for the rest or answers itself:
 * what stands after `await next()` happens when the answer is complete. A request goes once: a second `next` does nothing.
 */
export type Step = (exchange: Exchange, next: () => Promise<void>) => void | Promise<void>;

const done = Promise.resolve();

/** Runs the steps in order; each gets the rest as its `next`. A step that throws and one that rejects look alike to those before it. */
export function runSteps(steps: readonly Step[], exchange: Exchange): Promise<void> {
  let at = 0;
  const next = (): Promise<void> => {
    const step = steps[at];
    if (step === undefined) return done;
    at += 1;
    try {
      return step(exchange, next) ?? done;
    } catch (cause) {
      return Promise.reject(cause as Error);
    }
  };
  return next();
}
