import type { Exchange } from "./exchange.ts";

/**
 * One step of a request's way. It does its part, and calls `next` for the rest or answers itself:
 * what stands after `await next()` happens when the answer is complete.
 */
export type Step = (exchange: Exchange, next: () => Promise<void>) => void | Promise<void>;

const done = Promise.resolve();

/** Runs the steps in order; each gets the rest as its `next`. A step that throws and one that rejects look alike to those before it. */
export function runSteps(steps: readonly Step[], exchange: Exchange): Promise<void> {
  const runFrom = (at: number): Promise<void> => {
    const step = steps[at];
    if (step === undefined) return done;
    try {
      return step(exchange, () => runFrom(at + 1)) ?? done;
    } catch (cause) {
      return Promise.reject(cause as Error);
    }
  };
  return runFrom(0);
}
