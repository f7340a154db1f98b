import type { Database } from "../../database.ts";
import { links, metadataOf, standard, time, toOneData } from "../api/present.ts";
import { routeUrl } from "./route-rules.ts";
import type { ControllerTables, RowOf } from "../data/schema.ts";

type Route = RowOf<"routes">;
type Destination = RowOf<"route_destinations">;

/** Where a process listens that has not said otherwise. */
export const defaultAppPort = 8_080;

export function presentDestination(row: Destination): object {
  return {
    guid: row.guid, created_at: time(row.created_at), updated_at: time(row.updated_at),
    app: { guid: row.app_guid, process: { type: row.process_type } }, weight: row.weight, port: row.port ?? defaultAppPort, protocol: row.protocol,
  };
}

/** Routes with their destinations and the names of their domains, read in two queries whatever the number. */
export async function presentRoutes(db: Database<ControllerTables>, rows: readonly Route[], base: string): Promise<object[]> {
  if (rows.length === 0) return [];
  const domains = new Map((await db.selectFrom("domains").select(["guid", "name"]).where("guid", "in", [...new Set(rows.map(({ domain_guid }) => domain_guid))]).execute()).map(({ guid, name }) => [guid, name]));
  const destinations = new Map<string, Destination[]>();
  for (const row of await db.selectFrom("route_destinations").selectAll().where("route_guid", "in", rows.map(({ guid }) => guid)).orderBy("id").execute())
    destinations.set(row.route_guid, [...(destinations.get(row.route_guid) ?? []), row]);
  return rows.map((row) => {
    const self = `/v3/routes/${row.guid}`;
    return {
      ...standard(row),
      protocol: row.port === null ? "http" : "tcp",
      host: row.host,
      path: row.path,
      port: row.port,
      url: routeUrl(row, domains.get(row.domain_guid) ?? ""),
      destinations: (destinations.get(row.guid) ?? []).map(presentDestination),
      options: row.options,
      ...metadataOf(row),
      relationships: { space: toOneData(row.space_guid), domain: toOneData(row.domain_guid) },
      links: links(base, { self, space: `/v3/spaces/${row.space_guid}`, domain: `/v3/domains/${row.domain_guid}`, destinations: `${self}/destinations` }),
    };
  });
}
