import { initOf, isSame, type Endpoint } from "../endpoint.ts";
import { sameOptions, type RouteOptions } from "../route-options.ts";
import type { RouteSnapshot } from "./types.ts";

/** What lies between two snapshots of a table. Heartbeats are no difference. */
export interface TableDiff {
  readonly added: readonly { readonly route: string; readonly endpoint: Endpoint }[];
  readonly updated: readonly { readonly route: string; readonly before: Endpoint; readonly after: Endpoint }[];
  readonly removed: readonly { readonly route: string; readonly endpoint: Endpoint }[];
  /** Routes of which something else is said now; those that came or went included, when something was said of them. */
  readonly options: readonly { readonly route: string; readonly before: RouteOptions; readonly after: RouteOptions }[];
}

/** What has to happen to the first snapshot to make it the second. Endpoints are told apart by route and address. */
export function diffRoutes(before: readonly RouteSnapshot[], after: readonly RouteSnapshot[]): TableDiff {
  const held = new Map(before.map((route) => [route.route, route]));
  const next = new Map(after.map((route) => [route.route, route]));
  const added: TableDiff["added"][number][] = [];
  const updated: TableDiff["updated"][number][] = [];
  const removed: TableDiff["removed"][number][] = [];
  const options: TableDiff["options"][number][] = [];
  for (const route of new Set([...held.keys(), ...next.keys()])) {
    const one = held.get(route);
    const other = next.get(route);
    const was = byAddress(one);
    const is = byAddress(other);
    for (const [address, endpoint] of was) if (!is.has(address)) removed.push({ route, endpoint });
    for (const [address, endpoint] of is) {
      const old = was.get(address);
      if (old === undefined) added.push({ route, endpoint });
      else if (old !== endpoint && !isSame(endpoint, initOf(old))) updated.push({ route, before: old, after: endpoint });
    }
    const [said, says] = [one?.options ?? {}, other?.options ?? {}];
    if (!sameOptions(said, says)) options.push({ route, before: said, after: says });
  }
  return { added, updated, removed, options };
}

const byAddress = (route: RouteSnapshot | undefined): Map<string, Endpoint> => new Map(route?.endpoints.map((endpoint) => [endpoint.address, endpoint]));
