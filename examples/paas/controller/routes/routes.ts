import { sql } from "kysely";
import { transaction, type Database } from "../../database.ts";
import { demand, placeOfSpace, type Access, type Permission, type SpacePlace } from "../api/access.ts";
import { recordAudit } from "../api/audit.ts";
import type { Context, RouteModule } from "../api/context.ts";
import { presentDomains } from "./domains.ts";
import { notFound } from "../api/errors.ts";
import { accepted, created, gather, includeNames, type Call, type Include } from "../api/http.ts";
import { mergedMetadata } from "../api/present.ts";
import { anyOf, integerIn, where, type Condition } from "../api/query.ts";
import { presentRoutes } from "./route-present.ts";
import { mergedOptions } from "./route-rules.ts";
import { createRoute, deleteRoute } from "./route-store.ts";
import { json, type ControllerTables, type RowOf } from "../data/schema.ts";
import { includeSpaces } from "../organizations/spaces.ts";
import { metadata, nullable, shape, toOne, Type } from "../api/validate.ts";

type Route = RowOf<"routes">;

const visibleRoutes = (access: Access): Condition | undefined => {
  const own = access.visible("route.read", { space: sql.ref("routes.space_guid") });
  const shared = access.visible("route.read", { space: sql.ref("route_shares.space_guid") });
  return own && shared && sql<boolean>`(${own} OR EXISTS (SELECT 1 FROM route_shares WHERE route_shares.route_guid = routes.guid AND ${shared}))`;
};

/** The route and the place of its space, if the caller may read it (and do `write`). @throws CfError 404, 403 */
export async function findRoute(db: Database<ControllerTables>, { access }: Pick<Call, "access">, guid: string, write?: Permission): Promise<{ route: Route; place: SpacePlace }> {
  const route = await db.selectFrom("routes").selectAll().where("guid", "=", guid).where(visibleRoutes(access) ?? sql<boolean>`true`).executeTakeFirst();
  const place = route && (await placeOfSpace(db, route.space_guid));
  if (!route || !place) throw notFound("Route");
  if (write) {
    // Those of a space the route is shared with may map it, as those of its own space may.
    const shares = await db.selectFrom("route_shares").select("space_guid").where("route_guid", "=", guid).execute();
    const places = await Promise.all(shares.map(({ space_guid }) => placeOfSpace(db, space_guid)));
    const best = [place, ...places].find((each) => each && access.can(write, each)) ?? place;
    if (access.can("route.read", best)) demand(access, { read: "route.read", write, place: best, type: "Route" });
    else demand(access, { read: "route.read", write, place, type: "Route" });
  }
  return { route, place };
}

const options = Type.Optional(nullable(Type.Object({})));
const port = Type.Optional(nullable(Type.Integer({ minimum: 0, maximum: 65_535 })));
const routeBody = shape({
  host: Type.Optional(nullable(Type.String())), path: Type.Optional(nullable(Type.String())), port, options,
  relationships: shape({ space: toOne, domain: toOne }), metadata: Type.Optional(metadata),
});

/** Routes of one app: `GET /v3/apps/:guid/routes` uses it too. */
export const routeList = ({ db }: Context, scope: (call: Call) => Promise<(Condition | undefined)[]>) => {
  const includes: Record<string, Include<Route>> = {
    domain: async (rows, call) => {
      const guids = [...new Set(rows.map(({ domain_guid }) => domain_guid))];
      const domains = guids.length === 0 ? [] : await db.selectFrom("domains").selectAll().where("guid", "in", guids).orderBy("id").execute();
      return { domains: await presentDomains(db, domains, call) };
    },
    space: includeSpaces(db),
    "space.organization": includeSpaces(db, true),
  };
  return {
    table: "routes" as const,
    filters: {
      hosts: anyOf("routes.host"), paths: anyOf("routes.path"), ports: integerIn("routes.port"), domain_guids: anyOf("routes.domain_guid"),
      space_guids: where((guids) => sql`routes.space_guid = ANY(${guids}) OR routes.guid IN (SELECT route_guid FROM route_shares WHERE space_guid = ANY(${guids}))`),
      organization_guids: where((guids) => sql`routes.space_guid IN (SELECT guid FROM spaces WHERE organization_guid = ANY(${guids}))`),
      app_guids: where((guids) => sql`routes.guid IN (SELECT route_guid FROM route_destinations WHERE app_guid = ANY(${guids}))`),
      service_instance_guids: where(() => sql`false`),
    },
    includes,
    scope,
    present: (rows: readonly Route[], { urls }: Call) => presentRoutes(db, rows, urls.api),
  };
};

export const routeRoutes: RouteModule = (api, context) => {
  const { db, flags, jobs } = context;
  const list = routeList(context, ({ access }) => Promise.resolve([visibleRoutes(access)]));
  const one = async (row: Route, { urls }: Call): Promise<object> => (await presentRoutes(db, [row], urls.api))[0] as object;

  api.list("/v3/routes", list);

  api.list("/v3/apps/:guid/routes", routeList(context, async ({ access, guid }) => {
    const app = await db.selectFrom("apps").select(["guid", "space_guid"]).where("guid", "=", guid).executeTakeFirst();
    const place = app && (await placeOfSpace(db, app.space_guid));
    if (!place || !access.can("app.read", place)) throw notFound("App");
    return [sql<boolean>`routes.guid IN (SELECT route_guid FROM route_destinations WHERE app_guid = ${guid})`];
  }));

  api.post("/v3/routes", { body: routeBody }, async (call) => {
    const { host, path, port: asked, options: chosen, relationships, metadata: patch } = call.body;
    const row = await createRoute(context, call, {
      host, path, port: asked, options: chosen ?? undefined, metadata: patch,
      spaceGuid: relationships.space.data.guid, domainGuid: relationships.domain.data.guid,
    });
    return created(await one(row, call));
  });

  api.get("/v3/routes/:guid", { query: ["include"] }, async (call) => {
    const { route } = await findRoute(db, call, call.guid);
    const wanted = includeNames(call.query, Object.keys(list.includes)).map((name) => list.includes[name] as Include<Route>);
    return { ...(await one(route, call)), ...(wanted.length > 0 && { included: await gather(wanted, [route], call) }) };
  });

  api.patch("/v3/routes/:guid", { body: shape({ options, metadata: Type.Optional(metadata) }) }, async (call) => {
    const { route, place } = await findRoute(db, call, call.guid, "route.write");
    const merged = mergedOptions(route.options, call.body.options ?? undefined, await flags.enabled("hash_based_routing"));
    const changed = await transaction(db, async (trx) => {
      const after = await trx.updateTable("routes").set({ options: json(merged), ...mergedMetadata(call.body.metadata, route), updated_at: new Date() })
        .where("guid", "=", route.guid).returningAll().executeTakeFirstOrThrow();
      await recordAudit(trx, {
        type: "audit.route.update", actor: call.actor, target: { guid: route.guid, type: "route", name: route.host }, data: { request: { options: merged } },
        spaceGuid: place.spaceGuid, organizationGuid: place.organizationGuid,
      });
      return after;
    });
    return one(changed, call);
  });

  api.delete("/v3/routes/:guid", async (call) => {
    const { route } = await findRoute(db, call, call.guid, "route.write");
    const job = await jobs.run({ operation: "route.delete", resource: { type: "route", guid: route.guid }, work: () => deleteRoute(context, call.actor, route) });
    return accepted(call, job);
  });
};
