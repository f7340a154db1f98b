import { RouterError } from "../errors.ts";
import type { Clock } from "../ports.ts";

export interface WaitOptions {
  /** How many endpoints the route is to have: exactly so many, or a condition on their number. Default: at least one. */
  endpoints?: number | ((count: number) => boolean);
  /** Default 10 000 ms. */
  timeoutMs?: number;
  signal?: AbortSignal;
}

/** What waiting needs of a table. */
export interface Watched {
  readonly clock: Clock;
  count(): number;
  onChange(listener: () => void): Disposable;
}

/** Resolves once the number of endpoints is the wanted one. Looks after each change, so that none is missed. */
export function waitForEndpoints(route: string, watched: Watched, { endpoints = (count) => count > 0, timeoutMs = 10_000, signal }: WaitOptions): Promise<void> {
  const enough = typeof endpoints === "number" ? (count: number) => count === endpoints : endpoints;
  const wanted = typeof endpoints === "number" ? `${endpoints}` : "the wanted number of";
  return new Promise((resolve, reject) => {
    const held: Disposable[] = [];
    const settle = (act: () => void): void => {
      for (const one of held.splice(0)) one[Symbol.dispose]();
      act();
    };
    const aborted = (): void => settle(() => reject(new RouterError("ROUTER_ABORTED", `nobody waits for ${route} any more`, { cause: signal?.reason })));
    const look = (): boolean => {
      try {
        if (!enough(watched.count())) return false;
      } catch (cause) {
        settle(() => reject(cause));
        return true;
      }
      settle(resolve);
      return true;
    };
    if (signal?.aborted) return aborted();
    if (look()) return;
    held.push(watched.onChange(() => void look()));
    held.push(watched.clock.after(timeoutMs, () => settle(() => reject(new RouterError("ROUTER_WAIT_TIMEOUT",
      `${route} has ${watched.count()} endpoints, not ${wanted} endpoints, after ${timeoutMs} ms`, { retryable: true })))));
    if (signal !== undefined) {
      signal.addEventListener("abort", aborted, { once: true });
      held.push({ [Symbol.dispose]: () => signal.removeEventListener("abort", aborted) });
    }
  });
}
