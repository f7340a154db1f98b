import { statusGroups } from "../../numbers/traffic.ts";
import { busierFirst, type RouteRow, type RouteRows } from "../../status/rows.ts";

/** The same route of several workers in one row: traffic is added, what the table says is the same for all; quantiles are those of the worker that served most. */
export function mergeRows(all: readonly RouteRows[]): RouteRows {
  const merged = new Map<string, RouteRow>();
  const mostOf = new Map<string, number>();
  for (const { rows } of all) {
    for (const row of rows) {
      const held = merged.get(row.route);
      const leads = row.requests > (mostOf.get(row.route) ?? 0);
      merged.set(row.route, held === undefined ? row : joined(held, row, leads));
      if (leads) mostOf.set(row.route, row.requests);
    }
  }
  return { rows: [...merged.values()].sort(busierFirst), count: Math.max(merged.size, ...all.map(({ count }) => count)) };
}

const joined = (one: RouteRow, other: RouteRow, otherLeads: boolean): RouteRow => ({
  route: one.route, apps: [...new Set([...one.apps, ...other.apps])],
  endpoints: Math.max(one.endpoints, other.endpoints), avoided: Math.max(one.avoided, other.avoided), unconfirmed: Math.max(one.unconfirmed, other.unconfirmed),
  inFlight: one.inFlight + other.inFlight, now: one.now + other.now, minute: one.minute + other.minute, latency: otherLeads ? other.latency : one.latency ?? other.latency,
  requests: one.requests + other.requests, responses: Object.fromEntries(statusGroups.map((group) => [group, one.responses[group] + other.responses[group]])) as RouteRow["responses"],
  inPerSecond: one.inPerSecond + other.inPerSecond, outPerSecond: one.outPerSecond + other.outPerSecond,
});
