import type { CountedReport, NumbersReport } from "../numbers.ts";
import type { HistogramCounts } from "../numbers/histogram.ts";
import type { Phase } from "../numbers/traffic.ts";

/** The least that says whether and how a router is there. */
export interface HealthReport {
  readonly healthy: boolean;
  readonly state: string;
  readonly requests: number;
  readonly tunnels: number;
  readonly routes: number;
}

/** What a router, or several that stand for one, have to show: plain data that can be added up (`merge.ts`). */
export interface RouterReport extends NumbersReport {
  readonly id: string;
  readonly index: number;
  /** `host:port` of its traffic, empty before it listens. */
  readonly host: string;
  readonly state: string;
  readonly healthy: boolean;
  readonly startedAtMs: number;
  readonly nowMs: number;
  readonly durations: { readonly router: HistogramCounts; readonly total: HistogramCounts };
  readonly logCounts: Readonly<Record<string, number>>;
  /** Since the start. */
  readonly counters: Readonly<Record<"droppedLogLines" | "refusedRetries" | "refusedWaiting" | "timedOutWaiting", number>>;
  /** At this moment. */
  readonly levels: Readonly<Record<"requests" | "tunnels" | "waiting" | "cpu" | "residentBytes" | "openFiles", number>>;
  readonly maxRssKib: number;
  /** What every one of several has alike. */
  readonly table: { readonly routes: number; readonly addresses: number; readonly sinceUpdateMs: number };
  readonly appsCounted: number;
  /** What sources of routes, the edge and TCP count, by name. */
  readonly sources: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** Those who stand for one, where there are several. */
  readonly workers?: readonly WorkerReport[];
}

/** One of several; `state` is its own word, or `silent` (it did not answer in time), or `dead`. */
export interface WorkerReport { readonly worker: number; readonly pid: number; readonly state: string }

/** Traffic of one app on one route (`AppTraffic`), as plain data; phases nobody has been through are missing. */
export interface AppReport {
  readonly app: string;
  readonly route: string;
  readonly responses: readonly number[];
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly upgrades: number;
  readonly failedAttempts: number;
  readonly routerErrors: number;
  readonly phases: Readonly<Partial<Record<Phase, HistogramCounts>>>;
}

export type { CountedReport };
