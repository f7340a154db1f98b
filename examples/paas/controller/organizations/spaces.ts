import { randomUUID } from "node:crypto";
import { sql } from "kysely";
import { transaction, uniqueViolation, type Database } from "../../database.ts";
import { demand, demandActive, placeOfOrganization, placeOfSpace, type Permission, type Place, type SpacePlace } from "../api/access.ts";
import { recordAudit, redacted } from "../api/audit.ts";
import type { RouteModule } from "../api/context.ts";
import { notAuthorized, notFound, unprocessable, taken } from "../api/errors.ts";
import { accepted, created, gather, includeNames, type Call, type Include } from "../api/http.ts";
import { presentOrganization } from "./orgs.ts";
import { links, mergedMetadata, metadataOf, standard, toOneData } from "../api/present.ts";
import { anyOf, nameIn } from "../api/query.ts";
import type { ControllerTables, RowOf } from "../data/schema.ts";
import { assignSegment } from "./segment-rules.ts";
import { deleteSpace } from "./spaces-delete.ts";
import { usageOf } from "../data/usage.ts";
import { metadata, name, shape, toOne, toOneOrNull, Type } from "../api/validate.ts";

type Space = RowOf<"spaces">;

export function presentSpace(row: Space, base: string): object {
  const self = `/v3/spaces/${row.guid}`;
  return {
    ...standard(row),
    name: row.name,
    suspended: row.suspended,
    relationships: { organization: toOneData(row.organization_guid), quota: toOneData(row.quota_guid) },
    ...metadataOf(row),
    links: links(base, {
      self, organization: `/v3/organizations/${row.organization_guid}`, features: `${self}/features`, apply_manifest: `POST ${self}/actions/apply_manifest`,
      quota: row.quota_guid === null ? undefined : `/v3/space_quotas/${row.quota_guid}`,
    }),
  };
}

/** The space and its place, if the caller may read it (and do `write` there). @throws CfError 404, 403, 422 */
export async function findSpace(db: Database<ControllerTables>, call: Pick<Call, "access">, guid: string, write?: Permission): Promise<{ space: Space; place: SpacePlace }> {
  const space = await db.selectFrom("spaces").selectAll().where("guid", "=", guid).executeTakeFirst();
  const place = space && (await placeOfSpace(db, guid));
  if (!place) throw notFound("Space");
  demand(call.access, { read: "space.read", ...(write && { write }), place, type: "Space" });
  return { space, place };
}

/** Organizations of rows that name theirs, for `include=organization`. */
export const includeOrganizations = (db: Database<ControllerTables>): Include<{ organization_guid: string | null }> => async (rows, { urls }) => {
  const guids = [...new Set(rows.map(({ organization_guid }) => organization_guid).filter((guid) => guid !== null))];
  const found = guids.length === 0 ? [] : await db.selectFrom("organizations").selectAll().where("guid", "in", guids).orderBy("id").execute();
  return { organizations: found.map((row) => presentOrganization(row, urls.api)) };
};

/** Spaces of rows that name theirs, for `include=space`; with their organizations for `space.organization`. */
export const includeSpaces = (db: Database<ControllerTables>, withOrganizations = false): Include<{ space_guid: string | null }> => async (rows, call) => {
  const guids = [...new Set(rows.map(({ space_guid }) => space_guid).filter((guid) => guid !== null))];
  const found = guids.length === 0 ? [] : await db.selectFrom("spaces").selectAll().where("guid", "in", guids).orderBy("id").execute();
  return {
    spaces: found.map((row) => presentSpace(row, call.urls.api)),
    ...(withOrganizations && (await includeOrganizations(db)(found, call))),
  };
};

const spaceBody = shape({ name, relationships: shape({ organization: toOne }), metadata: Type.Optional(metadata) });
const spacePatch = shape({ name: Type.Optional(name), suspended: Type.Optional(Type.Boolean()), metadata: Type.Optional(metadata) });

const nameTaken = (error: unknown): never => {
  throw uniqueViolation(error) === "spaces_name" ? taken("Name must be unique per organization") : error;
};

export const spaceRoutes: RouteModule = (api, context) => {
  const { db, jobs, hooks } = context;
  const includes = { organization: includeOrganizations(db) };

  api.list("/v3/spaces", {
    table: "spaces",
    filters: { names: nameIn("spaces.name"), organization_guids: anyOf("spaces.organization_guid") },
    orderBy: ["name"],
    includes,
    scope: ({ access }) => [access.visible("space.read", { space: sql.ref("spaces.guid"), organization: sql.ref("spaces.organization_guid") })],
    present: (rows, { urls }) => rows.map((row) => presentSpace(row, urls.api)),
  });

  api.post("/v3/spaces", { body: spaceBody }, async (call) => {
    const { access, actor, body } = call;
    const organizationGuid = body.relationships.organization.data.guid;
    const place = await placeOfOrganization(db, organizationGuid);
    if (!place || !access.can("organization.read", place)) throw unprocessable("Invalid organization. Ensure the organization exists and you have access to it.");
    if (!access.can("space.create", place)) throw notAuthorized();
    demandActive(access, place);
    const row = await transaction(db, async (trx) => {
      const made = await trx.insertInto("spaces").values({ guid: randomUUID(), name: body.name, organization_guid: organizationGuid, ...mergedMetadata(body.metadata) })
        .returningAll().executeTakeFirstOrThrow();
      await recordAudit(trx, {
        type: "audit.space.create", actor, target: { guid: made.guid, type: "space", name: made.name }, data: { request: redacted(body) },
        spaceGuid: made.guid, organizationGuid,
      });
      return made;
    }).catch(nameTaken);
    return created(presentSpace(row, call.urls.api));
  });

  api.get("/v3/spaces/:guid", { query: ["include"] }, async (call) => {
    const { space } = await findSpace(db, call, call.guid);
    const wanted = includeNames(call.query, Object.keys(includes));
    return { ...presentSpace(space, call.urls.api), ...(wanted.length > 0 && { included: await gather([includes.organization], [space], call) }) };
  });

  api.patch("/v3/spaces/:guid", { body: spacePatch }, async (call) => {
    const { access, actor, body } = call;
    const { space, place } = await findSpace(db, call, call.guid, "space.update").catch(liftable(call, db));
    if (body.suspended !== undefined && body.suspended !== space.suspended && !access.can("space.administer", place)) throw notAuthorized();
    const changed = await transaction(db, async (trx) => {
      const after = await trx.updateTable("spaces").set({
        ...(body.name !== undefined && { name: body.name }), ...(body.suspended !== undefined && { suspended: body.suspended }),
        ...mergedMetadata(body.metadata, space), updated_at: new Date(),
      }).where("guid", "=", space.guid).returningAll().executeTakeFirstOrThrow();
      await recordAudit(trx, {
        type: "audit.space.update", actor, target: { guid: space.guid, type: "space", name: after.name }, data: { request: redacted(body) },
        spaceGuid: space.guid, organizationGuid: space.organization_guid,
      });
      return after;
    }).catch(nameTaken);
    return presentSpace(changed, call.urls.api);
  });

  api.delete("/v3/spaces/:guid", async (call) => {
    const { space } = await findSpace(db, call, call.guid, "space.administer");
    const job = await jobs.run({ operation: "space.delete", resource: { type: "space", guid: space.guid }, work: () => deleteSpace(context, space, call.actor) });
    return accepted(call, job);
  });

  const sshFeature = (space: Space): object => ({ name: "ssh", description: "Enable SSHing into apps in the space.", enabled: space.allow_ssh });

  api.get("/v3/spaces/:guid/features", async (call) => ({ resources: [sshFeature((await findSpace(db, call, call.guid)).space)] }));

  api.get("/v3/spaces/:guid/features/:name", async (call) => {
    const { space } = await findSpace(db, call, call.guid);
    if (call.param("name") !== "ssh") throw notFound("Feature");
    return sshFeature(space);
  });

  api.patch("/v3/spaces/:guid/features/:name", { body: shape({ enabled: Type.Boolean() }) }, async (call) => {
    const { space } = await findSpace(db, call, call.guid, "space.update");
    if (call.param("name") !== "ssh") throw notFound("Feature");
    const row = await db.updateTable("spaces").set({ allow_ssh: call.body.enabled, updated_at: new Date() }).where("guid", "=", space.guid).returningAll().executeTakeFirstOrThrow();
    return sshFeature(row);
  });

  const segmentLinks = (call: Call): object => ({ links: links(call.urls.api, { self: `/v3/spaces/${call.guid}/relationships/isolation_segment` }) });

  api.get("/v3/spaces/:guid/relationships/isolation_segment", async (call) => {
    const { space } = await findSpace(db, call, call.guid);
    return { ...toOneData(space.isolation_segment_guid), ...segmentLinks(call) };
  });

  api.patch("/v3/spaces/:guid/relationships/isolation_segment", { body: toOneOrNull }, async (call) => {
    const { space } = await findSpace(db, call, call.guid, "space.administer");
    const segmentGuid = call.body.data?.guid ?? null;
    await assignSegment(db, { organizationGuid: space.organization_guid, segmentGuid, owner: "the organization that this space belongs to" }, (trx) =>
      trx.updateTable("spaces").set({ isolation_segment_guid: segmentGuid, updated_at: new Date() }).where("guid", "=", space.guid).execute());
    return { ...toOneData(segmentGuid), ...segmentLinks(call) };
  });

  api.get("/v3/spaces/:guid/usage_summary", async (call) => {
    const { space } = await findSpace(db, call, call.guid);
    const usage = await usageOf(db, sql`(SELECT ${space.guid}::text)`);
    delete usage["domains"];
    return { usage_summary: usage, links: links(call.urls.api, { self: `/v3/spaces/${space.guid}/usage_summary`, space: `/v3/spaces/${space.guid}` }) };
  });

  api.delete("/v3/spaces/:guid/routes", { query: ["unmapped"] }, async (call) => {
    const { space } = await findSpace(db, call, call.guid, "route.write");
    if (call.query["unmapped"] !== "true")
      throw unprocessable("Mass delete not supported for routes. Use 'unmapped=true' parameter to delete all unmapped routes.");
    const job = await jobs.run({
      operation: "space.delete_unmapped_routes",
      resource: { type: "space", guid: space.guid },
      work: async () => {
        await db.deleteFrom("routes").where("space_guid", "=", space.guid)
          .where(({ not, exists, selectFrom }) => not(exists(selectFrom("route_destinations").select("route_destinations.guid").whereRef("route_destinations.route_guid", "=", "routes.guid"))))
          .execute();
        hooks.onRoutesChanged([]);
      },
    });
    return accepted(call, job);
  });
};

/** A suspended space may still be changed by those who may lift the suspension. */
const liftable = (call: Call, db: Database<ControllerTables>) => async (error: unknown): Promise<{ space: Space; place: SpacePlace }> => {
  if ((error as { code?: unknown }).code !== "SpaceSuspended") throw error;
  const found = await findSpace(db, call, call.guid);
  const place: Place = { ...found.place, spaceSuspended: false };
  demand(call.access, { read: "space.read", write: "space.administer", place, type: "Space" });
  return found;
};
