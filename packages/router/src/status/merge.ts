import { Histogram, type HistogramCounts } from "../numbers/histogram.ts";
import { phases, type Phase } from "../numbers/traffic.ts";
import type { AppReport, CountedReport, RouterReport } from "./report.ts";

/** What an app's traffic adds up to. */
export interface AppSum {
  readonly app: string;
  readonly route: string;
  readonly responses: number[];
  bytesIn: number;
  bytesOut: number;
  upgrades: number;
  failedAttempts: number;
  routerErrors: number;
  readonly phases: Readonly<Record<Phase, Histogram>>;
}

/** Adds what is told of an app to what is known under these two names. */
export function addApp(into: Map<string, AppSum>, report: AppReport, app: string, route: string): void {
  const key = `${app} ${route}`;
  let held = into.get(key);
  if (held === undefined) {
    held = {
      app, route, responses: report.responses.map(() => 0), bytesIn: 0, bytesOut: 0, upgrades: 0, failedAttempts: 0, routerErrors: 0,
      phases: { queue: new Histogram(), connect: new Histogram(), first_byte: new Histogram(), total: new Histogram() },
    };
    into.set(key, held);
  }
  report.responses.forEach((count, at) => { (held.responses[at] as number) += count; });
  for (const name of ["bytesIn", "bytesOut", "upgrades", "failedAttempts", "routerErrors"] as const) held[name] += report[name];
  for (const phase of phases) {
    const counts = report.phases[phase];
    if (counts !== undefined) held.phases[phase].merge(counts);
  }
}

/** The sum as a report again. */
export const appReportOf = ({ phases: held, ...rest }: AppSum): AppReport =>
  ({ ...rest, phases: Object.fromEntries(phases.filter((phase) => held[phase].count > 0).map((phase) => [phase, held[phase].read()])) });

type Numbers = Readonly<Record<string, number>>;

function added<T extends Numbers>(one: T, other: T): T {
  const sum: Record<string, number> = { ...one };
  for (const [name, value] of Object.entries(other)) sum[name] = (sum[name] ?? 0) + value;
  return sum as T;
}

function most(one: Numbers, other: Numbers): Numbers {
  const found: Record<string, number> = { ...one };
  for (const [name, value] of Object.entries(other)) found[name] = Math.max(found[name] ?? value, value);
  return found;
}

function addedHistograms(one: HistogramCounts, other: HistogramCounts): HistogramCounts {
  return { counts: one.counts.map((count, at) => count + (other.counts[at] ?? 0)), sum: one.sum + other.sum, count: one.count + other.count };
}

const addedCounts = (one: CountedReport, other: CountedReport): CountedReport => ({
  counters: added(one.counters as unknown as Numbers, other.counters as unknown as Numbers) as unknown as CountedReport["counters"],
  rate: [one.rate[0] + other.rate[0], one.rate[1] + other.rate[1], one.rate[2] + other.rate[2]],
  latency: [...one.latency, ...other.latency],
});

function joined<T>(one: Readonly<Record<string, T>>, other: Readonly<Record<string, T>>, join: (one: T, other: T, name: string) => T): Record<string, T> {
  const all: Record<string, T> = { ...one };
  for (const [name, value] of Object.entries(other)) all[name] = all[name] === undefined ? value : join(all[name], value, name);
  return all;
}

/** Of what sources count: each worker has these for itself. The rest every worker counts alike, since each hears every message and holds the whole table. */
const ownGroups = new Set(["edge", "tcp"]);
const ownNumbers = new Set(["pending_messages", "dropped_messages"]);
const alikeNumbers = new Set(["tcp_open_ports", "tcp_refused_ports"]);
const momentary = new Set(["pending_messages", "tcp_open_connections", ...alikeNumbers]);

function joinedSources(one: Numbers, other: Numbers, group: string): Numbers {
  const sum = added(one, other);
  return joined(most(one, other), sum, (alike, total, name) => ((ownGroups.has(group) || ownNumbers.has(name)) && !alikeNumbers.has(name) ? total : alike));
}

/** Two routers as one: what each did for itself is added, what they have alike counts once. Names and state are the first one's. */
export function mergeReports(one: RouterReport, other: RouterReport): RouterReport {
  const apps = new Map(one.busiest.map(({ app, rpm }) => [app, rpm]));
  for (const { app, rpm } of other.busiest) apps.set(app, (apps.get(app) ?? 0) + rpm);
  const since = [one.table.sinceUpdateMs, other.table.sinceUpdateMs].filter((ms) => ms >= 0);
  return {
    ...one,
    host: one.host || other.host, startedAtMs: Math.min(one.startedAtMs, other.startedAtMs), nowMs: Math.max(one.nowMs, other.nowMs),
    total: addedCounts(one.total, other.total), components: joined(one.components, other.components, addedCounts),
    busiest: [...apps].map(([app, rpm]) => ({ app, rpm })).sort((first, second) => second.rpm - first.rpm),
    failures: added(one.failures, other.failures), logCounts: added(one.logCounts, other.logCounts),
    durations: { router: addedHistograms(one.durations.router, other.durations.router), total: addedHistograms(one.durations.total, other.durations.total) },
    counters: added(one.counters, other.counters), levels: added(one.levels, other.levels), maxRssKib: one.maxRssKib + other.maxRssKib,
    table: { routes: Math.max(one.table.routes, other.table.routes), addresses: Math.max(one.table.addresses, other.table.addresses), sinceUpdateMs: since.length === 0 ? -1 : Math.min(...since) },
    appsCounted: Math.max(one.appsCounted, other.appsCounted), sources: joined(one.sources, other.sources, joinedSources),
  };
}

/** What stays of a router that is gone: all it has counted, nothing of what it was at the time. */
export function remainsOf(report: RouterReport): RouterReport {
  const counted = ({ counters }: CountedReport): CountedReport => ({ counters, rate: [0, 0, 0], latency: [] });
  return {
    ...report, healthy: false, total: counted(report.total), components: Object.fromEntries(Object.entries(report.components).map(([name, held]) => [name, counted(held)])), busiest: [],
    levels: { requests: 0, tunnels: 0, waiting: 0, cpu: 0, residentBytes: 0, openFiles: 0 }, maxRssKib: 0, table: { routes: 0, addresses: 0, sinceUpdateMs: -1 }, appsCounted: 0,
    sources: Object.fromEntries(Object.entries(report.sources).map(([group, held]) =>
      [group, Object.fromEntries(Object.entries(held).filter(([name]) => !momentary.has(name) && (ownGroups.has(group) || ownNumbers.has(name))))])),
  };
}
