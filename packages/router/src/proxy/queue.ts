import type { NoChoice } from "../balance.ts";
import type { Endpoint } from "../endpoint.ts";
import type { Pool } from "../pool.ts";
import type { RouteTable } from "../table/route-table.ts";
import type { Exchange, ProxyContext, Queue } from "./exchange.ts";
import { nextEndpoint } from "./choose.ts";
import { takePlace } from "./places.ts";

interface Waiter {
  readonly exchange: Exchange;
  readonly tried: readonly Endpoint[];
  readonly leave: (with_: Endpoint | NoChoice) => void;
}

/** A queue that counts who came in vain, since the start. */
export interface CountedQueue extends Queue {
  /** The line was full. */
  readonly refused: number;
  /** No place became free in time. */
  readonly timedOut: number;
}

/** A line for each route; nobody passes anybody who could take the same place. */
export function createQueue({ clock, settings }: Pick<ProxyContext, "clock" | "settings">, table: RouteTable): CountedQueue {
  /** In the order of their arrival. */
  const lines = new Map<Pool, Set<Waiter>>();
  let waiting = 0;
  let refused = 0;
  let timedOut = 0;

  /** Seats the first one of a line that finds an endpoint now; false when none does. */
  function seatOne(pool: Pool): boolean {
    for (const waiter of lines.get(pool) ?? []) {
      const chosen = nextEndpoint(waiter.exchange, waiter.tried);
      if (chosen === "overloaded") continue;
      if (typeof chosen === "object") takePlace(waiter.exchange, chosen);
      waiter.leave(chosen);
      if (typeof chosen === "object") return true;
    }
    return false;
  }

  // New endpoints are new places; and where the last one went, waiting is in vain.
  const watching = table.onChange(({ endpoint, type }) => {
    if (waiting === 0) return;
    for (const pool of type === "removed" ? [...lines.keys()] : endpoint.backend.routes as readonly Pool[]) {
      if (lines.has(pool)) while (seatOne(pool));
    }
  });

  return {
    wait(exchange, tried) {
      const pool = exchange.route as Pool;
      const { maxQueuedPerEndpoint = settings.maxQueuedPerEndpoint, queueTimeoutMs = settings.queueTimeoutMs } = pool.options;
      const line = lines.get(pool) ?? new Set<Waiter>();
      if (line.size >= maxQueuedPerEndpoint * pool.endpoints.length) {
        refused += 1;
        return Promise.resolve("overloaded");
      }
      lines.set(pool, line);
      waiting += 1;
      return new Promise((resolve) => {
        const waiter: Waiter = {
          exchange, tried,
          leave(with_) {
            if (!line.delete(waiter)) return;
            waiting -= 1;
            if (line.size === 0) lines.delete(pool);
            timer[Symbol.dispose]();
            exchange.whenClosed(undefined);
            resolve(with_);
          },
        };
        line.add(waiter);
        const timer = clock.after(queueTimeoutMs, () => {
          timedOut += 1;
          waiter.leave("overloaded");
        });
        exchange.whenClosed(() => waiter.leave("none"));
      });
    },
    freed(backend) {
      if (waiting === 0) return;
      for (const pool of backend.routes as readonly Pool[]) if (seatOne(pool)) return;
    },
    get waiting() { return waiting; },
    get refused() { return refused; },
    get timedOut() { return timedOut; },
    [Symbol.dispose]: () => watching[Symbol.dispose](),
  };
}
