import type { Pool } from "../pool.ts";

/**
 * Keeps the second attempts of a route from becoming the load that keeps its apps down: of what is under way for a route, only a
 * share may be repetitions. A few are always allowed. Costs nothing where nothing fails.
 */
export interface RetryBudget {
  /** Whether one more may begin; then `end` follows. */
  begin(pool: Pool): boolean;
  end(pool: Pool): void;
  /** Repetitions that were not made. */
  readonly refused: number;
}

/** So many repetitions at a time need no permission: what a router of a few requests per second sees must not depend on shares. */
const alwaysAllowed = 50;

/** @param percent of the requests under way for a route, 1 to 100; 100 is no bound. */
export function createRetryBudget(percent: number): RetryBudget {
  const under = new Map<Pool, number>();
  let refused = 0;
  return {
    begin(pool) {
      const held = under.get(pool) ?? 0;
      if (held >= alwaysAllowed && percent < 100) {
        let all = 1;
        for (const { backend } of pool.endpoints) all += backend.inFlight;
        if (held + 1 > all * percent / 100) {
          refused += 1;
          return false;
        }
      }
      under.set(pool, held + 1);
      return true;
    },
    end(pool) {
      const held = under.get(pool) ?? 0;
      if (held > 1) under.set(pool, held - 1);
      else under.delete(pool);
    },
    get refused() { return refused; },
  };
}
