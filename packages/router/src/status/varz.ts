import { availableParallelism } from "node:os";
import { quantilesOf } from "../numbers/latency.ts";
import type { CountedReport, RouterReport } from "./report.ts";

/**
 * What gorouter tells under `/varz`, field by field, and more of ours behind it. `credentials` is there and empty:
 * whoever may read this page has them, and everybody else must not.
 */
export function varzDocument({ total, components, busiest, failures, counters, levels, table, ...report }: RouterReport): object {
  return {
    type: "Router", index: report.index, host: report.host, credentials: ["", ""], uuid: report.id,
    start: `${new Date(report.startedAtMs).toISOString().slice(0, 19).replace("T", " ")} +0000`, uptime: uptimeOf(report.nowMs - report.startedAtMs),
    num_cores: availableParallelism(), mem: report.maxRssKib, cpu: levels.cpu, log_counts: report.logCounts,
    ...asGorouter(total),
    tags: { component: Object.fromEntries(Object.entries(components).map(([name, held]) => [name, asGorouter(held)])) },
    urls: table.routes, droplets: table.addresses, top10_app_requests: busiest.slice(0, 10).map(({ app, rpm }) => ({ application_id: app, rpm: Math.round(rpm), rps: rpm / 60 })),
    ms_since_last_registry_update: table.sinceUpdateMs,
    state: report.state, active_requests: levels.requests, active_tunnels: levels.tunnels, attempt_failures: failures,
    refused_retries: counters.refusedRetries, waiting_requests: levels.waiting, refused_waiting_requests: counters.refusedWaiting, timed_out_waiting_requests: counters.timedOutWaiting,
    dropped_access_log_lines: counters.droppedLogLines, sources: report.sources,
    ...(report.workers === undefined ? {} : { workers: report.workers }),
  };
}

/** The two constants among the quantiles have always been there, and readers look for them. */
const asGorouter = ({ counters, rate, latency }: CountedReport): object =>
  ({ ...counters, rate, requests_per_sec: rate[0], latency: { ...quantilesOf(latency), value: 5e-7, samples: 1 } });

/** `1d:2h:3m:4s`, as other components write it. */
function uptimeOf(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1_000));
  return `${Math.floor(seconds / 86_400)}d:${Math.floor(seconds / 3_600) % 24}h:${Math.floor(seconds / 60) % 60}m:${seconds % 60}s`;
}
