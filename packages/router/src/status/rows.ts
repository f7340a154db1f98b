import type { Latency } from "../numbers/latency.ts";
import { statusGroups, type Traffic } from "../numbers/traffic.ts";
import type { StatusSources } from "./sources.ts";

/** One route as the page shows it. Rates per second, durations in seconds. */
export interface RouteRow {
  readonly route: string;
  readonly apps: readonly string[];
  readonly endpoints: number;
  /** Of these, addresses the balancer avoids at the moment, and endpoints nobody has confirmed since the restart. */
  readonly avoided: number;
  readonly unconfirmed: number;
  readonly inFlight: number;
  readonly now: number;
  readonly minute: number;
  readonly latency: Latency | undefined;
  readonly requests: number;
  readonly responses: Readonly<Record<(typeof statusGroups)[number], number>>;
  readonly inPerSecond: number;
  readonly outPerSecond: number;
}

/** A larger table is shown by what has traffic in it, or is asked for by its whole name. */
const maxWholeTable = 5_000;
export const maxRows = 500;

/** Of several routers each tells more than is shown, so that a row is seldom without what one of them knows of it. */
const maxToldRows = 1_500;

/** Rows, and how many there are in all; they may be fewer than that. */
export interface RouteRows { readonly rows: readonly RouteRow[]; readonly count: number }

/** The rows that contain `query`, the busiest first. */
export function routeRows(sources: StatusSources, query: string): RouteRows {
  const names = namesOf(sources, query);
  const rows = [...names].filter((name) => name.includes(query)).map((name) => rowOf(sources, name)).sort(busierFirst);
  return { rows: rows.slice(0, maxToldRows), count: rows.length };
}

export const busierFirst = (one: RouteRow, other: RouteRow): number =>
  other.now - one.now || other.minute - one.minute || other.requests - one.requests || (one.route < other.route ? -1 : 1);

function namesOf({ table, numbers }: StatusSources, query: string): Set<string> {
  const names = new Set<string>();
  for (const { route } of numbers.perApp.all()) if (route !== "") names.add(route);
  if (table.routeCount <= maxWholeTable) for (const { route } of table.snapshot()) names.add(route);
  else if (query !== "" && snapshotOf(table, query) !== undefined) names.add(query);
  return names;
}

/** What a person has typed need not be a route. */
function snapshotOf(table: StatusSources["table"], name: string): ReturnType<StatusSources["table"]["route"]> {
  try { return table.route(name); } catch { return undefined; }
}

function rowOf({ table, numbers, clock, isUnconfirmed }: StatusSources, route: string): RouteRow {
  const nowMs = clock.now();
  const endpoints = snapshotOf(table, route)?.endpoints ?? [];
  const traffic = [...numbers.perApp.ofRoute(route)];
  const sum = (value: (traffic: Traffic) => number): number => traffic.reduce((total, each) => total + value(each.traffic), 0);
  // Of several apps on a route the busiest speaks for it: quantiles cannot be added.
  const busiest = traffic.reduce<Traffic | undefined>((most, each) => (most === undefined || each.traffic.requests > most.requests ? each.traffic : most), undefined);
  return {
    route,
    apps: [...new Set([...endpoints.map(({ app }) => app), ...traffic.map(({ app }) => app)])].filter((app) => app !== ""),
    endpoints: endpoints.length,
    avoided: endpoints.filter(({ backend }) => backend.failedUntil > nowMs).length,
    unconfirmed: endpoints.filter((endpoint) => isUnconfirmed(route, endpoint)).length,
    inFlight: endpoints.reduce((total, { backend }) => total + backend.inFlight, 0),
    now: sum(({ rates }) => rates.latest(nowMs)),
    minute: sum(({ rates }) => rates.read(nowMs)[0]),
    latency: busiest === undefined ? undefined : busiest.latest.read(),
    requests: sum(({ requests }) => requests),
    responses: Object.fromEntries(statusGroups.map((group, at) => [group, sum(({ responses }) => responses[at] as number)])) as RouteRow["responses"],
    inPerSecond: sum(({ inRates }) => inRates.latest(nowMs)),
    outPerSecond: sum(({ outRates }) => outRates.latest(nowMs)),
  };
}
