import { sql } from "kysely";
import { transaction, type Database } from "../../database.ts";
import { placeOfSpace } from "../api/access.ts";
import { recordAudit } from "../api/audit.ts";
import type { RouteModule } from "../api/context.ts";
import { domainsOf } from "./domains.ts";
import { notAuthorized, notFound, unprocessable } from "../api/errors.ts";
import { noContent, type Call } from "../api/http.ts";
import { listValues } from "../api/query.ts";
import { links, toManyData, toOneData } from "../api/present.ts";
import { presentDestination } from "./route-present.ts";
import { processesOf, putDestinations, removeDestinations, replaceDestinations } from "./route-store.ts";
import { findRoute } from "./routes.ts";
import type { ControllerTables, RowOf } from "../data/schema.ts";
import { nullable, oneOf, shape, toMany, toOne, Type } from "../api/validate.ts";

const destination = shape({
  app: shape({ guid: Type.String({ minLength: 1 }), process: Type.Optional(shape({ type: Type.String({ minLength: 1, maxLength: 255 }) })) }),
  port: Type.Optional(nullable(Type.Integer())),
  protocol: Type.Optional(nullable(oneOf("http1", "http2", "tcp"))),
  weight: Type.Optional(nullable(Type.Integer({ minimum: 1, maximum: 100 }))),
});
const addBody = shape({ destinations: Type.Array(destination, { minItems: 1, maxItems: 100 }) });
const replaceBody = shape({ destinations: Type.Array(destination, { maxItems: 100 }) });

/** Where routes lead: their destinations, the spaces they are shared with, the space they belong to. */
export const destinationRoutes: RouteModule = (api, context) => {
  const { db, flags, hooks } = context;

  const show = async (routeGuid: string, { urls, query }: Call): Promise<object> => {
    const rows = await db.selectFrom("route_destinations").selectAll().where("route_guid", "=", routeGuid).orderBy("id").execute();
    const wanted = { guid: query["guids"], app_guid: query["app_guids"] };
    const shown = rows.filter((row) => (["guid", "app_guid"] as const).every((key) => wanted[key] === undefined || listValues(wanted[key]).includes(row[key])));
    return { destinations: shown.map(presentDestination), links: links(urls.api, { self: `/v3/routes/${routeGuid}/destinations`, route: `/v3/routes/${routeGuid}` }) };
  };

  api.get("/v3/routes/:guid/destinations", { query: ["guids", "app_guids"] }, async (call) => {
    const { route } = await findRoute(db, call, call.guid);
    return show(route.guid, call);
  });

  api.post("/v3/routes/:guid/destinations", { body: addBody }, async (call) => {
    const { route } = await findRoute(db, call, call.guid, "route.write");
    await putDestinations(context, call, route, call.body.destinations);
    return show(route.guid, call);
  });

  api.patch("/v3/routes/:guid/destinations", { body: replaceBody }, async (call) => {
    const { route } = await findRoute(db, call, call.guid, "route.write");
    await replaceDestinations(context, call, route, call.body.destinations);
    return show(route.guid, call);
  });

  const findDestination = async (call: Call, text: string): Promise<{ route: RowOf<"routes">; row: RowOf<"route_destinations"> }> => {
    const { route } = await findRoute(db, call, call.guid, "route.write");
    const row = await db.selectFrom("route_destinations").selectAll().where("guid", "=", call.param("destination")).where("route_guid", "=", route.guid).executeTakeFirst();
    if (!row) throw unprocessable(text);
    return { route, row };
  };

  api.patch("/v3/routes/:guid/destinations/:destination", { body: shape({ protocol: nullable(oneOf("http1", "http2", "tcp")) }) }, async (call) => {
    const { route, row } = await findDestination(call, "Unable to update destination. Ensure the route has a destination with this guid.");
    if (call.body.protocol === "tcp") throw unprocessable("Destination protocol must be 'http1' or 'http2' if the parent route protocol is 'http'");
    const changed = await db.updateTable("route_destinations").set({ protocol: call.body.protocol ?? "http1", updated_at: new Date() }).where("guid", "=", row.guid).returningAll().executeTakeFirstOrThrow();
    hooks.onRoutesChanged(await processesOf(db, [row]));
    return { ...presentDestination(changed), links: links(call.urls.api, { destinations: `/v3/routes/${route.guid}/destinations`, route: `/v3/routes/${route.guid}` }) };
  });

  api.delete("/v3/routes/:guid/destinations/:destination", async (call) => {
    const { route, row } = await findDestination(call, "Unable to unmap route from destination. Ensure the route has a destination with this guid.");
    if (row.weight !== null) throw unprocessable("Unable to remove weighted destination: replace all destinations instead.");
    await removeDestinations(context, call.actor, route, [row]);
    return noContent();
  });

  const shares = async (routeGuid: string, { access, urls }: Call): Promise<object> => {
    const rows = await db.selectFrom("route_shares").select("space_guid").where("route_guid", "=", routeGuid).execute();
    const places = await Promise.all(rows.map(({ space_guid }) => placeOfSpace(db, space_guid)));
    const readable = places.flatMap((place) => (place && access.can("space.read", place) ? [place.spaceGuid] : []));
    return { ...toManyData(readable), links: links(urls.api, { self: `/v3/routes/${routeGuid}/relationships/shared_spaces` }) };
  };

  api.get("/v3/routes/:guid/relationships/shared_spaces", async (call) => shares((await findRoute(db, call, call.guid)).route.guid, call));

  api.post("/v3/routes/:guid/relationships/shared_spaces", { body: toMany }, async (call) => {
    await flags.require("route_sharing", call.access);
    const { route, place } = await findRoute(db, call, call.guid, "route.move");
    for (const { guid } of call.body.data) {
      const other = await placeOfSpace(db, guid);
      if (!other || !call.access.can("space.read", other)) throw unprocessable(`Unable to share route '${route.host}' with spaces ['${guid}']. Ensure the spaces exist and that you have access to them.`);
      if (guid === place.spaceGuid) throw unprocessable(`Unable to share route '${route.host}' with space '${guid}'. Routes cannot be shared into the space where they were created.`);
      if (!call.access.can("route.move", other)) throw unprocessable(`Unable to share route '${route.host}' with spaces ['${guid}']. Write permission is required in order to share a route with a space.`);
      await refuseDomain(db, route, other.organizationGuid);
    }
    await transaction(db, async (trx) => {
      for (const { guid } of call.body.data) await trx.insertInto("route_shares").values({ route_guid: route.guid, space_guid: guid }).onConflict((conflict) => conflict.doNothing()).execute();
      await recordAudit(trx, {
        type: "audit.route.share", actor: call.actor, target: { guid: route.guid, type: "route", name: route.host },
        data: { target_space_guids: call.body.data.map(({ guid }) => guid) }, spaceGuid: place.spaceGuid, organizationGuid: place.organizationGuid,
      });
    });
    return shares(route.guid, call);
  });

  api.delete("/v3/routes/:guid/relationships/shared_spaces/:space", async (call) => {
    const { route, place } = await findRoute(db, call, call.guid, "route.move");
    const space = call.param("space");
    const gone = await db.deleteFrom("route_shares").where("route_guid", "=", route.guid).where("space_guid", "=", space).returning("space_guid").execute();
    if (gone.length === 0) throw unprocessable(`Unable to unshare route '${route.host}' from space with guid '${space}'. Ensure the space exists and the route is shared to this space.`);
    const lost = await db.selectFrom("route_destinations").innerJoin("apps", "apps.guid", "route_destinations.app_guid").selectAll("route_destinations")
      .where("route_destinations.route_guid", "=", route.guid).where("apps.space_guid", "=", space).execute();
    await removeDestinations(context, call.actor, route, lost);
    await recordAudit(db, {
      type: "audit.route.unshare", actor: call.actor, target: { guid: route.guid, type: "route", name: route.host }, data: { target_space_guid: space },
      spaceGuid: place.spaceGuid, organizationGuid: place.organizationGuid,
    });
    return noContent();
  });

  api.patch("/v3/routes/:guid/relationships/space", { body: toOne }, async (call) => {
    await flags.require("route_sharing", call.access);
    const { route, place } = await findRoute(db, call, call.guid, "route.move");
    const target = await placeOfSpace(db, call.body.data.guid);
    if (!target || !call.access.can("space.read", target)) throw unprocessable(`Unable to transfer owner of route '${route.host}' to space '${call.body.data.guid}'. Ensure the space exists and that you have access to it.`);
    if (!call.access.can("route.move", target)) throw notAuthorized();
    await refuseDomain(db, route, target.organizationGuid);
    if (target.spaceGuid !== place.spaceGuid)
      await transaction(db, async (trx) => {
        await trx.updateTable("routes").set({ space_guid: target.spaceGuid, updated_at: new Date() }).where("guid", "=", route.guid).execute();
        await trx.deleteFrom("route_shares").where("route_guid", "=", route.guid).where("space_guid", "=", target.spaceGuid).execute();
        // Apps of the old space keep the route: it is shared with them from now on.
        await trx.insertInto("route_shares").values({ route_guid: route.guid, space_guid: place.spaceGuid }).onConflict((conflict) => conflict.doNothing()).execute();
        await recordAudit(trx, {
          type: "audit.route.transfer-owner", actor: call.actor, target: { guid: route.guid, type: "route", name: route.host }, data: { target_space_guid: target.spaceGuid },
          spaceGuid: place.spaceGuid, organizationGuid: place.organizationGuid,
        });
      });
    return { ...toOneData(target.spaceGuid), links: links(call.urls.api, { self: `/v3/routes/${route.guid}/relationships/space` }) };
  });
};

async function refuseDomain(db: Database<ControllerTables>, route: RowOf<"routes">, organizationGuid: string): Promise<void> {
  const usable = await db.selectFrom("domains").select("guid").where(sql<boolean>`domains.guid = ${route.domain_guid}`).where(domainsOf(organizationGuid)).executeTakeFirst();
  if (!usable) throw notFound("Domain");
}
