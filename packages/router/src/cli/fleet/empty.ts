import { createNumbers } from "../../numbers.ts";
import { Histogram } from "../../numbers/histogram.ts";
import type { RouterReport } from "../../status/report.ts";

/** What there is to say before anybody has said anything. */
export const emptyReport = (): RouterReport => ({
  ...createNumbers().report(),
  id: "", index: 0, host: "", state: "starting", healthy: false, startedAtMs: Date.now(), nowMs: Date.now(),
  durations: { router: new Histogram().read(), total: new Histogram().read() }, logCounts: {},
  counters: { droppedLogLines: 0, refusedRetries: 0, refusedWaiting: 0, timedOutWaiting: 0 }, levels: { requests: 0, tunnels: 0, waiting: 0, cpu: 0, residentBytes: 0, openFiles: 0 }, maxRssKib: 0,
  table: { routes: 0, addresses: 0, sinceUpdateMs: -1 }, appsCounted: 0, sources: {},
});
