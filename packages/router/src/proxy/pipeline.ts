import type { Exchange } from "./exchange.ts";

/**
 * One step of a request's way. It does its part, and calls `next` for the rest or answers itself:
 * what stands after `await next()` happens when the answer is complete.
 */
export type Step = (exchange: Exchange, next: () => Promise<void>) => void | Promise<void>;

/** Runs the steps in order; each gets the rest as its `next`. */
export function runSteps(steps: readonly Step[], exchange: Exchange): Promise<void> {
  const runFrom = async (at: number): Promise<void> => {
    const step = steps[at];
    if (step !== undefined) await step(exchange, () => runFrom(at + 1));
  };
  return runFrom(0);
}
