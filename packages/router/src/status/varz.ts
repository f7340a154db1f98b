import { availableParallelism } from "node:os";
import type { RequestNumbers } from "../numbers.ts";
import type { StatusSources } from "./sources.ts";

/**
 * What gorouter tells under `/varz`, field by field, and more of ours behind it. `credentials` is there and empty:
 * whoever may read this page has them, and everybody else must not.
 */
export function varzDocument(sources: StatusSources, cpu: number): object {
  const { table, numbers, clock, startedAtMs, accessLog } = sources;
  const now = clock.now();
  const { tags, top10_app_requests, attempt_failures, ...all } = numbers.snapshot();
  const address = sources.address();
  const { requests, tunnels } = sources.inFlight();
  return {
    type: "Router", index: sources.index, host: address === undefined ? "" : `${address.host}:${address.port}`, credentials: ["", ""], uuid: sources.id,
    start: `${new Date(startedAtMs).toISOString().slice(0, 19).replace("T", " ")} +0000`, uptime: uptimeOf(now - startedAtMs),
    num_cores: availableParallelism(), mem: process.resourceUsage().maxRSS, cpu, log_counts: sources.logCounts(),
    ...asGorouter(all),
    tags: { component: Object.fromEntries(Object.entries(tags.component).map(([name, held]) => [name, asGorouter(held)])) },
    urls: table.routeCount, droplets: table.addressCount, top10_app_requests,
    ms_since_last_registry_update: table.lastUpdateMs === undefined ? -1 : now - table.lastUpdateMs,
    state: sources.state(), active_requests: requests, active_tunnels: tunnels, attempt_failures,
    dropped_access_log_lines: accessLog?.droppedLines ?? 0, sources: sources.sources(),
  };
}

/** The two constants among the quantiles have always been there, and readers look for them. */
const asGorouter = (held: RequestNumbers): object => ({ ...held, latency: { ...held.latency, value: 5e-7, samples: 1 } });

/** `1d:2h:3m:4s`, as other components write it. */
function uptimeOf(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1_000));
  return `${Math.floor(seconds / 86_400)}d:${Math.floor(seconds / 3_600) % 24}h:${Math.floor(seconds / 60) % 60}m:${seconds % 60}s`;
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
