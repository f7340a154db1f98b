import { sql } from "kysely";
import { recordAudit } from "../api/audit.ts";
import type { AppParts, PlacedApp } from "../apps/app-parts.ts";
import { defaultDomain, domainsOf } from "../routes/domains.ts";
import { CfError, unprocessable } from "../api/errors.ts";
import { defaultHostProblem, parseRoute, randomRouteTail } from "../manifest/route.ts";
import type { AppManifest, ManifestRoute } from "../manifest/message.ts";
import { mergedOptions } from "../routes/route-rules.ts";
import { createRoute, putDestinations, removeDestinations, type Caller } from "../routes/route-store.ts";
import { json, type RowOf } from "../data/schema.ts";

/** Maps what a manifest says about routes. Routes are added, never taken away, unless it says `no-route`. */
export async function applyRoutes(parts: AppParts, caller: Caller, found: PlacedApp, manifest: AppManifest): Promise<void> {
  const { db } = parts;
  const { app } = found;
  const mapped = await db.selectFrom("route_destinations").selectAll().where("app_guid", "=", app.guid).execute();
  if (manifest.noRoute) return unmapAll(parts, caller, mapped);
  if (manifest.routes) return mapAll(parts, caller, found, manifest.routes);
  if (mapped.length > 0) return;
  if (manifest.randomRoute) await mapAll(parts, caller, found, [await ownRoute(parts, found, `${app.name}-${randomRouteTail()}`)]);
  if (manifest.defaultRoute) {
    const problem = defaultHostProblem(app.name);
    if (problem !== undefined) throw unprocessable(problem);
    await mapAll(parts, caller, found, [await ownRoute(parts, found, app.name)]);
  }
}

async function ownRoute({ db }: AppParts, { place }: PlacedApp, host: string): Promise<ManifestRoute> {
  const domain = await defaultDomain(db, place.organizationGuid);
  if (!domain) throw unprocessable("No default domains available");
  const route = parseRoute(`${host}.${domain.name}`);
  // The domain is known: the host may hold dots without being read as part of it.
  if (!route) throw unprocessable(`The route '${host}.${domain.name}' is not a properly formed URL`);
  return { ...route, candidates: [{ host, domain: domain.name }] };
}

async function unmapAll(parts: AppParts, { actor }: Caller, destinations: readonly RowOf<"route_destinations">[]): Promise<void> {
  const guids = [...new Set(destinations.map(({ route_guid }) => route_guid))];
  const routes = guids.length === 0 ? [] : await parts.db.selectFrom("routes").selectAll().where("guid", "in", guids).execute();
  for (const route of routes) await removeDestinations(parts, actor, route, destinations.filter(({ route_guid }) => route_guid === route.guid));
}

async function mapAll(parts: AppParts, caller: Caller, found: PlacedApp, wanted: readonly ManifestRoute[]): Promise<void> {
  const named = async <T>(route: ManifestRoute, work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      throw error instanceof CfError && !error.message.includes(route.text) ? new CfError(error.code, `For route '${route.text}': ${error.message}`) : error;
    }
  };
  const rows: { wish: ManifestRoute; row: RowOf<"routes"> }[] = [];
  for (const wish of wanted) rows.push({ wish, row: await named(wish, () => findOrCreate(parts, caller, found, wish)) });
  // Nothing is mapped before all of them are there.
  for (const { wish, row } of rows) await named(wish, () => mapOne(parts, caller, found, { wish, row }));
}

async function findOrCreate(parts: AppParts, caller: Caller, { app, place }: PlacedApp, wish: ManifestRoute): Promise<RowOf<"routes">> {
  const { db } = parts;
  const names = wish.candidates.map(({ domain }) => domain.toLowerCase());
  const domains = await db.selectFrom("domains").selectAll().where(sql<boolean>`lower(domains.name) = ANY(${names})`).where(domainsOf(place.organizationGuid)).execute();
  for (const candidate of wish.candidates) {
    const domain = domains.find(({ name }) => name.toLowerCase() === candidate.domain.toLowerCase());
    if (!domain) continue;
    const row = await db.selectFrom("routes").selectAll().where("domain_guid", "=", domain.guid).where(sql<boolean>`lower(routes.host) = ${candidate.host.toLowerCase()}`)
      .where("path", "=", wish.path).where(sql<boolean>`coalesce(routes.port, 0) = ${wish.port ?? 0}`).executeTakeFirst();
    if (!row) return createRoute(parts, caller, { spaceGuid: app.space_guid, domainGuid: domain.guid, host: candidate.host, path: wish.path, port: wish.port, options: wish.options });
    await demandUsable(parts, app.space_guid, row);
    return wish.options ? changeOptions(parts, caller, row, { options: wish.options, organizationGuid: place.organizationGuid }) : row;
  }
  throw unprocessable(`No domains exist for route ${wish.text}`);
}

async function demandUsable({ db }: AppParts, spaceGuid: string, row: RowOf<"routes">): Promise<void> {
  if (row.space_guid === spaceGuid) return;
  const shared = await db.selectFrom("route_shares").select("space_guid").where("route_guid", "=", row.guid).where("space_guid", "=", spaceGuid).executeTakeFirst();
  if (!shared) throw unprocessable("Routes cannot be mapped to destinations in different spaces");
}

async function changeOptions({ db, flags, clock }: AppParts, { actor }: Caller, row: RowOf<"routes">, { options, organizationGuid }: { options: Record<string, unknown>; organizationGuid: string }): Promise<RowOf<"routes">> {
  const merged = mergedOptions(row.options, options, await flags.enabled("hash_based_routing"));
  const changed = await db.updateTable("routes").set({ options: json(merged), updated_at: new Date(clock.now()) }).where("guid", "=", row.guid).returningAll().executeTakeFirstOrThrow();
  await recordAudit(db, {
    type: "audit.route.update", actor, target: { guid: row.guid, type: "route", name: row.host }, data: { request: { options: merged } },
    spaceGuid: row.space_guid, organizationGuid,
  });
  return changed;
}

async function mapOne(parts: AppParts, caller: Caller, { app }: PlacedApp, { wish, row }: { wish: ManifestRoute; row: RowOf<"routes"> }): Promise<void> {
  const { db, clock } = parts;
  const existing = await db.selectFrom("route_destinations").selectAll().where("route_guid", "=", row.guid).where("app_guid", "=", app.guid).where("process_type", "=", "web").executeTakeFirst();
  if (!existing) return putDestinations(parts, caller, row, [{ app: { guid: app.guid }, ...(wish.protocol && { protocol: wish.protocol }) }]);
  if (!wish.protocol || wish.protocol === existing.protocol) return;
  await db.updateTable("route_destinations").set({ protocol: wish.protocol, updated_at: new Date(clock.now()) }).where("guid", "=", existing.guid).execute();
}
