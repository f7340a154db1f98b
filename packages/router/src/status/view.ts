import { readdirSync } from "node:fs";
import type { AppTraffic } from "../numbers/per-app.ts";
import { phases } from "../numbers/traffic.ts";
import type { AppReport, HealthReport, RouterReport } from "./report.ts";
import { routesText } from "./routes-document.ts";
import { routeRows, type RouteRows } from "./rows.ts";
import type { StatusSources } from "./sources.ts";

/** What the status pages ask: of one router, or of several that stand for one. */
export interface StatusView {
  health(): Promise<HealthReport>;
  numbers(): Promise<RouterReport>;
  /** Comes in pieces, since a thousand apps take longer to tell than a request should wait. */
  apps(): AsyncIterable<readonly AppReport[]>;
  /** Rows of the page that contain `query`, the busiest first. */
  rows(query: string): Promise<RouteRows>;
  /** The document of `/routes`, in pieces of text. */
  routes(): AsyncIterable<string>;
}

/** So many apps are told at a time; requests go between. */
const appsAtATime = 20;

export function viewOf(sources: StatusSources): StatusView {
  const cpu = createCpuMeter();
  return {
    async health() {
      const { requests, tunnels } = sources.inFlight();
      return { healthy: sources.healthy(), state: sources.state(), requests, tunnels, routes: sources.table.routeCount };
    },
    numbers: async () => reportOf(sources, cpu()),
    async *apps() {
      const all = [...sources.numbers.perApp.all()];
      for (let at = 0; at < all.length; at += appsAtATime) {
        if (at > 0) await new Promise((resolve) => setImmediate(resolve));
        yield all.slice(at, at + appsAtATime).map(appReport);
      }
    },
    rows: async (query) => routeRows(sources, query),
    routes: () => routesText(sources.table, sources.isUnconfirmed),
  };
}

const appReport = ({ app, route, traffic }: AppTraffic): AppReport => ({
  app, route, responses: [...traffic.responses], bytesIn: traffic.bytesIn, bytesOut: traffic.bytesOut, upgrades: traffic.upgrades, failedAttempts: traffic.failedAttempts, routerErrors: traffic.routerErrors,
  phases: Object.fromEntries(phases.filter((phase) => traffic.phases[phase].count > 0).map((phase) => [phase, traffic.phases[phase].read()])),
});

function reportOf({ table, numbers, clock, id, index, startedAtMs, accessLog, ...sources }: StatusSources, cpu: number): RouterReport {
  const nowMs = clock.now();
  const address = sources.address();
  const { requests, tunnels } = sources.inFlight();
  const { refusedRetries, waiting, refusedWaiting, timedOutWaiting } = sources.patience();
  return {
    ...numbers.report(),
    id, index, startedAtMs, nowMs, host: address === undefined ? "" : `${address.host}:${address.port}`, state: sources.state(), healthy: sources.healthy(),
    durations: { router: numbers.durations.router.read(), total: numbers.durations.total.read() },
    logCounts: sources.logCounts(),
    counters: { droppedLogLines: accessLog?.droppedLines ?? 0, refusedRetries, refusedWaiting, timedOutWaiting },
    levels: { requests, tunnels, waiting, cpu, residentBytes: process.memoryUsage.rss(), openFiles: openFiles() },
    maxRssKib: process.resourceUsage().maxRSS,
    table: { routes: table.routeCount, addresses: table.addressCount, sinceUpdateMs: table.lastUpdateMs === undefined ? -1 : nowMs - table.lastUpdateMs },
    appsCounted: numbers.perApp.size, sources: sources.sources(),
  };
}

/** -1 where the system does not tell. */
function openFiles(): number {
  try { return readdirSync("/proc/self/fd").length; } catch { return -1; }
}

/** The part of a core this process used since it was last asked, a second ago or longer; before that, since its start. */
export function createCpuMeter(nowMs: () => number = () => performance.now()): () => number {
  let usage = { user: 0, system: 0 };
  let at = nowMs() - process.uptime() * 1_000;
  let last = 0;
  return () => {
    const now = nowMs();
    if (now - at < 1_000) return last;
    const next = process.cpuUsage();
    last = (next.user + next.system - usage.user - usage.system) / 1_000 / (now - at);
    usage = next;
    at = now;
    return last;
  };
}
