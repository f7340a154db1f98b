import { randomUUID } from "node:crypto";
import { sql } from "kysely";
import { transaction, uniqueViolation, type Database } from "../../database.ts";
import { demand, type Permission } from "../api/access.ts";
import { recordAudit, redacted } from "../api/audit.ts";
import type { Context, RouteModule } from "../api/context.ts";
import { CfError, notAuthorized, notFound, taken } from "../api/errors.ts";
import { accepted, created, type Call } from "../api/http.ts";
import { links, mergedMetadata, metadataOf, standard, toOneData } from "../api/present.ts";
import { nameIn } from "../api/query.ts";
import type { ControllerTables, RowOf } from "../data/schema.ts";
import { defaultQuotaGuid } from "../seed.ts";
import { assignSegment } from "./segment-rules.ts";
import { deleteSpace } from "./spaces-delete.ts";
import { usageOf } from "../data/usage.ts";
import { ensureUser } from "./users.ts";
import { metadata, name, shape, toOneOrNull, Type } from "../api/validate.ts";

type Organization = RowOf<"organizations">;

export function presentOrganization(row: Organization, base: string): object {
  const self = `/v3/organizations/${row.guid}`;
  return {
    ...standard(row),
    name: row.name,
    suspended: row.suspended,
    relationships: { quota: toOneData(row.quota_guid) },
    ...metadataOf(row),
    links: links(base, { self, domains: `${self}/domains`, default_domain: `${self}/domains/default`, quota: `/v3/organization_quotas/${row.quota_guid}` }),
  };
}

/** The organization, if the caller may read it (and do `write` there). @throws CfError 404, 403 */
export async function findOrganization(db: Database<ControllerTables>, call: Pick<Call, "access">, guid: string, write?: Permission): Promise<Organization> {
  const row = await db.selectFrom("organizations").selectAll().where("guid", "=", guid).executeTakeFirst();
  if (!row) throw notFound("Organization");
  const place = { organizationGuid: guid, organizationSuspended: row.suspended, ...(row.deleting && { deleting: "organization" as const }) };
  demand(call.access, { read: "organization.read", ...(write && { write }), place, type: "Organization" });
  return row;
}

const organizationBody = shape({ name, suspended: Type.Optional(Type.Boolean()), metadata: Type.Optional(metadata) });
const organizationPatch = shape({ name: Type.Optional(name), suspended: Type.Optional(Type.Boolean()), metadata: Type.Optional(metadata) });

const nameTaken = (text: string) => (error: unknown): never => {
  throw uniqueViolation(error) === "organizations_name" ? taken(`Organization '${text}' already exists.`) : error;
};

export const organizationRoutes: RouteModule = (api, context) => {
  const { db, flags, jobs } = context;

  api.list("/v3/organizations", {
    table: "organizations",
    filters: { names: nameIn("organizations.name") },
    orderBy: ["name"],
    scope: ({ access }) => [access.visible("organization.read", { organization: sql.ref("organizations.guid") })],
    present: (rows, { urls }) => rows.map((row) => presentOrganization(row, urls.api)),
  });

  api.post("/v3/organizations", { body: organizationBody }, async (call) => {
    const { access, actor, body } = call;
    if (!access.isAdmin) await flags.require("user_org_creation", access).catch(() => { throw notAuthorized(); });
    if (body.suspended === true && !access.isAdmin) throw notAuthorized();
    const row = await transaction(db, async (trx) => {
      const made = await trx.insertInto("organizations").values({
        guid: randomUUID(), name: body.name, suspended: body.suspended ?? false, quota_guid: defaultQuotaGuid, ...mergedMetadata(body.metadata),
      }).returningAll().executeTakeFirstOrThrow();
      if (!access.isAdmin) {
        await ensureUser(trx, access.userGuid);
        for (const type of ["organization_user", "organization_manager"] as const)
          await trx.insertInto("roles").values({ guid: randomUUID(), type, user_guid: access.userGuid, organization_guid: made.guid }).execute();
      }
      await recordAudit(trx, { type: "audit.organization.create", actor, target: { guid: made.guid, type: "organization", name: made.name }, data: { request: redacted(body) }, organizationGuid: made.guid });
      return made;
    }).catch(nameTaken(body.name));
    return created(presentOrganization(row, call.urls.api));
  });

  api.get("/v3/organizations/:guid", async (call) => presentOrganization(await findOrganization(db, call, call.guid), call.urls.api));

  api.patch("/v3/organizations/:guid", { body: organizationPatch }, async (call) => {
    const { access, actor, body } = call;
    const row = await findOrganization(db, call, call.guid, "organization.update");
    // The command line sends `suspended: false` with every rename; that must not lift a suspension.
    const suspended = body.name !== undefined && body.suspended === false ? undefined : body.suspended;
    if (suspended !== undefined && suspended !== row.suspended && !access.isAdmin) throw notAuthorized();
    const changed = await transaction(db, async (trx) => {
      const after = await trx.updateTable("organizations").set({
        ...(body.name !== undefined && { name: body.name }), ...(suspended !== undefined && { suspended }), ...mergedMetadata(body.metadata, row), updated_at: new Date(),
      }).where("guid", "=", row.guid).returningAll().executeTakeFirstOrThrow();
      await recordAudit(trx, { type: "audit.organization.update", actor, target: { guid: row.guid, type: "organization", name: after.name }, data: { request: redacted(body) }, organizationGuid: row.guid });
      return after;
    }).catch(nameTaken(body.name ?? ""));
    return presentOrganization(changed, call.urls.api);
  });

  api.delete("/v3/organizations/:guid", async (call) => {
    const row = await findOrganization(db, call, call.guid, "organization.administer");
    await db.updateTable("organizations").set({ deleting: true }).where("guid", "=", row.guid).execute();
    const job = await jobs.run({
      operation: "organization.delete",
      resource: { type: "organization", guid: row.guid },
      work: () => deleteOrganization(context, row, call),
    });
    return accepted(call, job);
  });

  api.get("/v3/organizations/:guid/relationships/default_isolation_segment", async (call) => {
    const row = await findOrganization(db, call, call.guid);
    return { ...toOneData(row.default_isolation_segment_guid), links: links(call.urls.api, { self: `/v3/organizations/${row.guid}/relationships/default_isolation_segment` }) };
  });

  api.patch("/v3/organizations/:guid/relationships/default_isolation_segment", { body: toOneOrNull }, async (call) => {
    const row = await findOrganization(db, call, call.guid, "organization.update");
    const segmentGuid = call.body.data?.guid ?? null;
    await assignSegment(db, { organizationGuid: row.guid, segmentGuid, owner: "this organization" }, (trx) =>
      trx.updateTable("organizations").set({ default_isolation_segment_guid: segmentGuid, updated_at: new Date() }).where("guid", "=", row.guid).execute());
    return { ...toOneData(segmentGuid), links: links(call.urls.api, { self: `/v3/organizations/${row.guid}/relationships/default_isolation_segment` }) };
  });

  api.get("/v3/organizations/:guid/usage_summary", async (call) => {
    const row = await findOrganization(db, call, call.guid);
    const spaces = sql`(SELECT guid FROM spaces WHERE organization_guid = ${row.guid})`;
    return { usage_summary: await usageOf(db, spaces, row.guid), links: links(call.urls.api, { self: `/v3/organizations/${row.guid}/usage_summary`, organization: `/v3/organizations/${row.guid}` }) };
  });
};

async function deleteOrganization(context: Context, organization: Organization, { actor }: Pick<Call, "actor">): Promise<void> {
  const { db } = context;
  try {
    const spaces = await db.selectFrom("spaces").selectAll().where("organization_guid", "=", organization.guid).orderBy("id").execute();
    for (const space of spaces) await deleteSpace(context, space, actor);
    await transaction(db, async (trx) => {
      await trx.deleteFrom("organizations").where("guid", "=", organization.guid).execute();
      await recordAudit(trx, { type: "audit.organization.delete-request", actor, target: { guid: organization.guid, type: "organization", name: organization.name }, organizationGuid: organization.guid });
    });
  } catch (error) {
    await db.updateTable("organizations").set({ deleting: false }).where("guid", "=", organization.guid).execute();
    throw new CfError("OrganizationDeletionFailed", `Deletion of organization ${organization.name} failed: ${error instanceof CfError ? error.message : "an unknown error occurred"}`, { cause: error });
  }
}

