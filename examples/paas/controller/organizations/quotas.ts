import { randomUUID } from "node:crypto";
import { sql } from "kysely";
import { foreignKeyViolation, transaction, uniqueViolation, type Database } from "../../database.ts";
import { recordAudit, redacted } from "../api/audit.ts";
import type { RouteModule } from "../api/context.ts";
import { notAuthorized, notFound, unprocessable } from "../api/errors.ts";
import { accepted, created, type Call } from "../api/http.ts";
import { links, standard, toManyData } from "../api/present.ts";
import { limitColumns, limitsBody, presentLimits } from "./quota-limits.ts";
import { nameIn, where } from "../api/query.ts";
import type { ControllerTables, RowOf } from "../data/schema.ts";
import { shape, toMany, Type } from "../api/validate.ts";

type Quota = RowOf<"organization_quotas">;

async function presentQuotas(db: Database<ControllerTables>, rows: readonly Quota[], { access, urls }: Call): Promise<object[]> {
  const holders = rows.length === 0 ? [] : await db.selectFrom("organizations").select(["guid", "quota_guid"]).where("quota_guid", "in", rows.map(({ guid }) => guid)).orderBy("id").execute();
  return rows.map((row) => ({
    ...standard(row),
    name: row.name,
    ...presentLimits(row),
    domains: { total_domains: row.total_domains },
    relationships: {
      organizations: toManyData(holders.filter(({ guid, quota_guid }) => quota_guid === row.guid && access.can("organization.read", { organizationGuid: guid })).map(({ guid }) => guid)),
    },
    links: links(urls.api, { self: `/v3/organization_quotas/${row.guid}` }),
  }));
}

const properties = {
  name: Type.String({ minLength: 1, maxLength: 250 }),
  ...limitsBody,
  domains: Type.Optional(shape({ total_domains: Type.Optional(Type.Unsafe<number | null>({ type: ["integer", "null"], minimum: 0 })) })),
};
const createBody = shape({ ...properties, relationships: Type.Optional(shape({ organizations: Type.Optional(toMany) })) });
const patchBody = shape({ ...properties, name: Type.Optional(properties.name) });

const nameTaken = (name: string) => (error: unknown): never => {
  throw uniqueViolation(error) === "organization_quotas_name" ? unprocessable(`Organization Quota '${name}' already exists.`) : error;
};

/** Quotas of organizations: everyone reads those of their organizations, admins write them. */
export const quotaRoutes: RouteModule = (api, { db, jobs }) => {
  const one = async (row: Quota, call: Call): Promise<object> => (await presentQuotas(db, [row], call))[0] as object;

  api.list("/v3/organization_quotas", {
    table: "organization_quotas",
    labels: false,
    filters: {
      names: nameIn("organization_quotas.name"),
      organization_guids: where((guids) => sql`organization_quotas.guid IN (SELECT quota_guid FROM organizations WHERE guid = ANY(${guids}))`),
    },
    orderBy: ["name"],
    scope: ({ access }) => {
      const visible = access.visible("organization.read", { organization: sql.ref("organizations.guid") });
      return [visible && sql<boolean>`organization_quotas.guid IN (SELECT quota_guid FROM organizations WHERE ${visible})`];
    },
    present: (rows, call) => presentQuotas(db, rows, call),
  });

  const find = async ({ access, guid }: Call): Promise<Quota> => {
    const visible = access.visible("organization.read", { organization: sql.ref("organizations.guid") });
    const condition = visible ? sql<boolean>`organization_quotas.guid IN (SELECT quota_guid FROM organizations WHERE ${visible})` : sql<boolean>`true`;
    const row = await db.selectFrom("organization_quotas").selectAll().where("guid", "=", guid).where(condition).executeTakeFirst();
    if (!row) throw notFound("Organization quota");
    return row;
  };

  const assign = async (trx: Database<ControllerTables>, call: Call, quota: Quota, guids: readonly string[]): Promise<void> => {
    const done = guids.length === 0 ? [] : await trx.updateTable("organizations").set({ quota_guid: quota.guid, updated_at: new Date() }).where("guid", "in", [...guids]).returning(["guid", "name"]).execute();
    const missing = guids.filter((guid) => !done.some((each) => each.guid === guid));
    if (missing.length > 0) throw unprocessable(`Organizations with guids ${JSON.stringify(missing)} do not exist, or you do not have access to them.`);
    for (const { guid } of done)
      await recordAudit(trx, {
        type: "audit.organization_quota.apply", actor: call.actor, target: { guid: quota.guid, type: "organization_quota", name: quota.name },
        data: { organization_guid: guid }, organizationGuid: guid,
      });
  };

  api.post("/v3/organization_quotas", { body: createBody }, async (call) => {
    if (!call.access.isAdmin) throw notAuthorized();
    const { name, domains, relationships } = call.body;
    const row = await transaction(db, async (trx) => {
      const made = await trx.insertInto("organization_quotas").values({
        guid: randomUUID(), name, ...limitColumns(call.body), total_domains: domains?.total_domains ?? null,
      }).returningAll().executeTakeFirstOrThrow();
      await recordAudit(trx, { type: "audit.organization_quota.create", actor: call.actor, target: { guid: made.guid, type: "organization_quota", name }, data: { request: redacted(call.body) } });
      await assign(trx, call, made, relationships?.organizations?.data.map(({ guid }) => guid) ?? []);
      return made;
    }).catch(nameTaken(name));
    return created(await one(row, call));
  });

  api.get("/v3/organization_quotas/:guid", async (call) => one(await find(call), call));

  api.patch("/v3/organization_quotas/:guid", { body: patchBody }, async (call) => {
    const row = await find(call);
    if (!call.access.isAdmin) throw notAuthorized();
    const { name, domains } = call.body;
    const changed = await transaction(db, async (trx) => {
      const after = await trx.updateTable("organization_quotas").set({
        ...(name !== undefined && { name }), ...limitColumns(call.body), ...(domains?.total_domains !== undefined && { total_domains: domains.total_domains }), updated_at: new Date(),
      }).where("guid", "=", row.guid).returningAll().executeTakeFirstOrThrow();
      await recordAudit(trx, { type: "audit.organization_quota.update", actor: call.actor, target: { guid: row.guid, type: "organization_quota", name: after.name }, data: { request: redacted(call.body) } });
      return after;
    }).catch(nameTaken(name ?? ""));
    return one(changed, call);
  });

  api.delete("/v3/organization_quotas/:guid", async (call) => {
    const row = await find(call);
    if (!call.access.isAdmin) throw notAuthorized();
    const holders = await db.selectFrom("organizations").select("guid").where("quota_guid", "=", row.guid).limit(1).execute();
    if (holders.length > 0) throw unprocessable("This quota is applied to one or more organizations. Apply different quotas to those organizations before deleting.");
    const job = await jobs.run({
      operation: "organization_quota.delete",
      work: () => transaction(db, async (trx) => {
        await trx.deleteFrom("organization_quotas").where("guid", "=", row.guid).execute();
        await recordAudit(trx, { type: "audit.organization_quota.delete", actor: call.actor, target: { guid: row.guid, type: "organization_quota", name: row.name } });
      }).catch((error: unknown) => {
        throw foreignKeyViolation(error) === undefined ? error : unprocessable("This quota is applied to one or more organizations. Apply different quotas to those organizations before deleting.");
      }),
    });
    return accepted(call, job);
  });

  api.post("/v3/organization_quotas/:guid/relationships/organizations", { body: toMany }, async (call) => {
    const row = await find(call);
    if (!call.access.isAdmin) throw notAuthorized();
    await transaction(db, (trx) => assign(trx, call, row, call.body.data.map(({ guid }) => guid)));
    const holders = await db.selectFrom("organizations").select("guid").where("quota_guid", "=", row.guid).orderBy("id").execute();
    return { ...toManyData(holders.map(({ guid }) => guid)), links: links(call.urls.api, { self: `/v3/organization_quotas/${row.guid}/relationships/organizations` }) };
  });
};
