import { randomUUID } from "node:crypto";
import { sql } from "kysely";
import { transaction, uniqueViolation, type Database } from "../../database.ts";
import { demandActive, placeOfSpace, type Access } from "../api/access.ts";
import { recordAudit, type Actor } from "../api/audit.ts";
import type { Context, Trx } from "../api/context.ts";
import { domainsOf, visibleDomains } from "./domains.ts";
import { notAuthorized, unprocessable } from "../api/errors.ts";
import { mergedMetadata, type MetadataPatch } from "../api/present.ts";
import { addressProblems, destinationProblems, mergedOptions, routeTaken, type DestinationRequest } from "./route-rules.ts";
import { json, type ControllerTables, type RowOf } from "../data/schema.ts";

type Route = RowOf<"routes">;
type Destination = RowOf<"route_destinations">;

/** Whoever changes a route: a request, or a manifest that is applied for somebody. */
export interface Caller {
  readonly access: Access;
  readonly actor: Actor;
}

export interface NewRoute {
  spaceGuid: string;
  domainGuid: string;
  host?: string | null | undefined;
  path?: string | null | undefined;
  port?: number | null | undefined;
  options?: Record<string, unknown> | undefined;
  metadata?: MetadataPatch | undefined;
}

/** Makes a route under all rules: permissions, form, reserved names, uniqueness, quotas. @throws CfError */
export async function createRoute({ db, flags, domain: systemDomain }: Context, { access, actor }: Caller, wish: NewRoute): Promise<Route> {
  const place = await placeOfSpace(db, wish.spaceGuid);
  if (!place || !access.can("space.read", place)) throw unprocessable("Invalid space. Ensure that the space exists and you have access to it.");
  if (!access.can("route.write", place)) throw notAuthorized();
  demandActive(access, place);
  if (!access.isAdmin) await flags.require("route_creation", access);
  const domain = await db.selectFrom("domains").selectAll().where("guid", "=", wish.domainGuid).where(visibleDomains(access) ?? sql<boolean>`true`).executeTakeFirst();
  if (!domain) throw unprocessable("Invalid domain. Ensure that the domain exists and you have access to it.");
  const usable = await db.selectFrom("domains").select("guid").where("guid", "=", domain.guid).where(domainsOf(place.organizationGuid)).executeTakeFirst();
  if (!usable) throw unprocessable(`Invalid domain. Domain '${domain.name}' is not available in the organization of the space.`);

  const address = { host: wish.host ?? "", path: wish.path ?? "", port: wish.port ?? null };
  const problems = addressProblems(address, domain, systemDomain);
  if (problems.length > 0) throw unprocessable(problems.join(", "));
  const options = mergedOptions({}, wish.options, await flags.enabled("hash_based_routing"));
  return await transaction(db, async (trx) => {
    await refuseOverQuota(trx, place);
    const full = `${address.host}.${domain.name}`.toLowerCase();
    const same = await trx.selectFrom("domains").select("name").where(sql<boolean>`lower(name) = ${full}`).executeTakeFirst();
    if (same) throw unprocessable(`Route conflicts with domain '${same.name}'.`);
    const made = await trx.insertInto("routes").values({
      guid: randomUUID(), ...address, domain_guid: domain.guid, space_guid: place.spaceGuid, options: json(options), ...mergedMetadata(wish.metadata),
    }).returningAll().executeTakeFirstOrThrow();
    await recordAudit(trx, {
      type: "audit.route.create", actor, target: { guid: made.guid, type: "route", name: address.host },
      data: { request: { ...address, domain_guid: domain.guid } }, spaceGuid: place.spaceGuid, organizationGuid: place.organizationGuid,
    });
    return made;
  }).catch((error: unknown) => {
    throw uniqueViolation(error) === "routes_address" ? unprocessable(routeTaken(address, domain.name)) : error;
  });
}

/** Rows of both quotas are locked, so that two requests at once cannot both take the last place. */
async function refuseOverQuota(trx: Trx, { organizationGuid, spaceGuid }: { organizationGuid: string; spaceGuid: string }): Promise<void> {
  const organization = await trx.selectFrom("organizations").innerJoin("organization_quotas as q", "q.guid", "organizations.quota_guid")
    .select(["organizations.name", "q.total_routes"]).where("organizations.guid", "=", organizationGuid).forUpdate("organizations").executeTakeFirst();
  if (organization?.total_routes != null) {
    const used = await trx.selectFrom("routes").innerJoin("spaces", "spaces.guid", "routes.space_guid").where("spaces.organization_guid", "=", organizationGuid)
      .select(({ fn }) => fn.countAll<number>().as("n")).executeTakeFirst();
    if ((used?.n ?? 0) >= organization.total_routes) throw unprocessable(`Routes quota exceeded for organization '${organization.name}'.`);
  }
  const space = await trx.selectFrom("spaces").innerJoin("space_quotas as q", "q.guid", "spaces.quota_guid")
    .select(["spaces.name", "q.total_routes"]).where("spaces.guid", "=", spaceGuid).executeTakeFirst();
  if (space?.total_routes != null) {
    const used = await trx.selectFrom("routes").where("space_guid", "=", spaceGuid).select(({ fn }) => fn.countAll<number>().as("n")).executeTakeFirst();
    if ((used?.n ?? 0) >= space.total_routes) throw unprocessable(`Routes quota exceeded for space '${space.name}'.`);
  }
}

const maxPortsPerProcess = 10;

/**
 * Adds destinations; those that exist already stay. The caller's right to change the route was checked before, the right to the
 * apps is checked here. Tells the runtime afterwards. @throws CfError 422
 */
export const putDestinations = (context: Context, caller: Caller, route: Route, list: readonly DestinationRequest[]): Promise<void> =>
  storeDestinations(context, caller, { route, list, replace: false });

/** The same, but the list becomes the only destinations. */
export const replaceDestinations = (context: Context, caller: Caller, route: Route, list: readonly DestinationRequest[]): Promise<void> =>
  storeDestinations(context, caller, { route, list, replace: true });

interface DestinationChange {
  route: Route;
  list: readonly DestinationRequest[];
  replace: boolean;
}

async function storeDestinations({ db, hooks }: Context, { access, actor }: Caller, { route, list, replace }: DestinationChange): Promise<void> {
  const problems = destinationProblems(list, replace);
  if (problems.length > 0) throw unprocessable(problems.join(", "));
  const changed = await transaction(db, async (trx) => {
    const before = await trx.selectFrom("route_destinations").selectAll().where("route_guid", "=", route.guid).orderBy("id").forUpdate().execute();
    await refuseForeignApps(trx, access, route, list);
    const touched: Target[] = [];
    const kept = new Set<string>();
    for (const { app, port = null, protocol = null, weight = null } of list) {
      const type = app.process?.type ?? "web";
      const same = before.find((each) => each.app_guid === app.guid && each.process_type === type && (each.port ?? 8_080) === (port ?? 8_080));
      if (same) {
        kept.add(same.guid);
        if (protocol !== null && protocol !== same.protocol && !replace)
          throw unprocessable(`Cannot add destination with protocol: ${protocol}. Destination already exists for route: ${route.guid}, app: ${app.guid}, process: ${type}, and protocol: ${same.protocol}.`);
        if (replace) await trx.updateTable("route_destinations").set({ weight, protocol: protocolOf(protocol ?? same.protocol), updated_at: new Date() }).where("guid", "=", same.guid).execute();
        if (replace) touched.push(same);
        continue;
      }
      const made = await trx.insertInto("route_destinations").values({
        guid: randomUUID(), route_guid: route.guid, app_guid: app.guid, process_type: type, port, protocol: protocolOf(protocol), weight,
      }).returningAll().executeTakeFirstOrThrow();
      touched.push(made);
      await auditMapping(trx, { actor, route, destination: made, verb: "map-route" });
    }
    if (replace)
      for (const old of before.filter(({ guid }) => !kept.has(guid))) {
        await trx.deleteFrom("route_destinations").where("guid", "=", old.guid).execute();
        touched.push(old);
        await auditMapping(trx, { actor, route, destination: old, verb: "unmap-route" });
      }
    for (const { app_guid, process_type } of touched) {
      const ports = await trx.selectFrom("route_destinations").select("port").distinct().where("app_guid", "=", app_guid).where("process_type", "=", process_type).execute();
      if (ports.length > maxPortsPerProcess) throw unprocessable(`Process must have at most ${maxPortsPerProcess} exposed ports.`);
    }
    if (touched.length > 0) await trx.updateTable("routes").set({ updated_at: new Date() }).where("guid", "=", route.guid).execute();
    return touched;
  });
  hooks.onRoutesChanged(await processesOf(db, changed));
}

interface Target {
  app_guid: string;
  process_type: string;
}

/** Removes some destinations of a route and tells the runtime. */
export async function removeDestinations({ db, hooks }: Context, actor: Actor, route: Route, destinations: readonly Destination[]): Promise<void> {
  await transaction(db, async (trx) => {
    for (const destination of destinations) {
      await trx.deleteFrom("route_destinations").where("guid", "=", destination.guid).execute();
      await auditMapping(trx, { actor, route, destination, verb: "unmap-route" });
    }
  });
  hooks.onRoutesChanged(await processesOf(db, destinations));
}

/** Removes a route with its destinations and tells the runtime. */
export async function deleteRoute({ db, hooks }: Context, actor: Actor, route: Route): Promise<void> {
  const targets = await db.selectFrom("route_destinations").selectAll().where("route_guid", "=", route.guid).execute();
  await transaction(db, async (trx) => {
    const place = await placeOfSpace(trx, route.space_guid);
    await trx.deleteFrom("routes").where("guid", "=", route.guid).execute();
    await recordAudit(trx, {
      type: "audit.route.delete-request", actor, target: { guid: route.guid, type: "route", name: route.host }, data: { request: { recursive: true } },
      spaceGuid: route.space_guid, organizationGuid: place?.organizationGuid,
    });
  });
  hooks.onRoutesChanged(await processesOf(db, targets));
}

/** Guids of the processes that destinations point at. */
export async function processesOf(db: Database<ControllerTables>, targets: readonly Target[]): Promise<string[]> {
  if (targets.length === 0) return [];
  const rows = await db.selectFrom("processes").select(["guid", "app_guid", "type"]).where("app_guid", "in", targets.map(({ app_guid }) => app_guid)).execute();
  return rows.filter((row) => targets.some(({ app_guid, process_type }) => row.app_guid === app_guid && row.type === process_type)).map(({ guid }) => guid);
}

const protocolOf = (protocol: string | null): "http1" | "http2" => (protocol === "http2" ? "http2" : "http1");

async function refuseForeignApps(trx: Trx, access: Access, route: Route, list: readonly DestinationRequest[]): Promise<void> {
  const guids = [...new Set(list.map(({ app }) => app.guid))];
  if (guids.length === 0) return;
  const condition = access.visible("app.read", { space: sql.ref("apps.space_guid") }) ?? sql<boolean>`true`;
  const apps = await trx.selectFrom("apps").select(["guid", "space_guid"]).where("guid", "in", guids).where(condition).execute();
  const missing = guids.filter((guid) => !apps.some((app) => app.guid === guid));
  if (missing.length > 0) throw unprocessable(`App(s) with guid(s) ${missing.map((guid) => `"${guid}"`).join(", ")} do not exist or you do not have access.`);
  const shared = await trx.selectFrom("route_shares").select("space_guid").where("route_guid", "=", route.guid).execute();
  const spaces = new Set([route.space_guid, ...shared.map(({ space_guid }) => space_guid)]);
  if (apps.some(({ space_guid }) => !spaces.has(space_guid))) throw unprocessable("Routes cannot be mapped to destinations in different spaces.");
}

async function auditMapping(trx: Trx, { actor, route, destination, verb }: { actor: Actor; route: Route; destination: Destination; verb: "map-route" | "unmap-route" }): Promise<void> {
  const app = await trx.selectFrom("apps").innerJoin("spaces", "spaces.guid", "apps.space_guid").select(["apps.name", "apps.space_guid", "spaces.organization_guid"])
    .where("apps.guid", "=", destination.app_guid).executeTakeFirst();
  await recordAudit(trx, {
    type: `audit.app.${verb}`, actor, target: { guid: destination.app_guid, type: "app", name: app?.name ?? "" },
    data: { route_guid: route.guid, destination_guid: destination.guid, app_port: destination.port ?? 8_080, process_type: destination.process_type, weight: destination.weight, protocol: destination.protocol },
    spaceGuid: app?.space_guid, organizationGuid: app?.organization_guid,
  });
}
