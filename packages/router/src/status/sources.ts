import type { AccessLog } from "../log/access-log.ts";
import type { Endpoint } from "../endpoint.ts";
import type { Address } from "../listen.ts";
import type { Numbers } from "../numbers.ts";
import type { Clock } from "../ports.ts";
import type { RouteTable } from "../table/route-table.ts";

/** What the status pages are made of. */
export interface StatusSources {
  readonly table: RouteTable;
  readonly numbers: Numbers;
  readonly clock: Clock;
  readonly id: string;
  /** Which of its kind this router is. */
  readonly index: number;
  readonly startedAtMs: number;
  readonly accessLog: AccessLog | undefined;
  /** Whether balancers may send requests here. */
  readonly healthy: () => boolean;
  readonly state: () => string;
  readonly address: () => Address | undefined;
  /** Requests and tunnels under way, and how many of them are tunnels. */
  readonly inFlight: () => { readonly requests: number; readonly tunnels: number };
  /** Repetitions that the budget refused; requests that wait for a place, found the line full, or waited in vain. */
  readonly patience: () => { readonly refusedRetries: number; readonly waiting: number; readonly refusedWaiting: number; readonly timedOutWaiting: number };
  /** What the sources of routes count, by name. */
  readonly sources: () => Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** Lines logged since the start, by level. */
  readonly logCounts: () => Readonly<Record<string, number>>;
  /** Whether a route's endpoint comes from a saved table and nobody has confirmed it yet. */
  readonly isUnconfirmed: (route: string, endpoint: Endpoint) => boolean;
}
