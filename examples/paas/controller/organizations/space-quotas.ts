import { randomUUID } from "node:crypto";
import { sql } from "kysely";
import { transaction, uniqueViolation, type Database } from "../../database.ts";
import { demandActive, placeOfOrganization } from "../api/access.ts";
import { recordAudit, redacted } from "../api/audit.ts";
import type { RouteModule } from "../api/context.ts";
import { notAuthorized, notFound, unprocessable } from "../api/errors.ts";
import { accepted, created, noContent, type Call } from "../api/http.ts";
import { links, standard, toManyData, toOneData } from "../api/present.ts";
import { limitColumns, limitsBody, presentLimits } from "./quota-limits.ts";
import { anyOf, nameIn, where, type Condition } from "../api/query.ts";
import type { ControllerTables, RowOf } from "../data/schema.ts";
import { shape, toMany, toOne, Type } from "../api/validate.ts";

type Quota = RowOf<"space_quotas">;

const name = Type.String({ minLength: 1, maxLength: 250 });
const createBody = shape({ name, ...limitsBody, relationships: shape({ organization: toOne, spaces: Type.Optional(toMany) }) });
const patchBody = shape({ name: Type.Optional(name), ...limitsBody });

const nameTaken = (text: string) => (error: unknown): never => {
  throw uniqueViolation(error) === "space_quotas_name" ? unprocessable(`Space Quota '${text}' already exists.`) : error;
};

/** Quotas of spaces: managers of the organization write them, members of a space see the one that is applied to it. */
export const spaceQuotaRoutes: RouteModule = (api, { db, jobs }) => {
  const present = async (rows: readonly Quota[], { access, urls }: Call): Promise<object[]> => {
    const holders = rows.length === 0 ? [] : await db.selectFrom("spaces").select(["guid", "organization_guid", "quota_guid"]).where("quota_guid", "in", rows.map(({ guid }) => guid)).orderBy("id").execute();
    return rows.map((row) => ({
      ...standard(row),
      name: row.name,
      ...presentLimits(row),
      relationships: {
        organization: toOneData(row.organization_guid),
        spaces: toManyData(holders.filter((each) => each.quota_guid === row.guid && access.can("space.read", { organizationGuid: each.organization_guid, spaceGuid: each.guid })).map(({ guid }) => guid)),
      },
      links: links(urls.api, { self: `/v3/space_quotas/${row.guid}`, organization: `/v3/organizations/${row.organization_guid}` }),
    }));
  };
  const one = async (row: Quota, call: Call): Promise<object> => (await present([row], call))[0] as object;
  const visible = ({ access }: Call): Condition | undefined => {
    const managed = access.visible("space_quota.write", { organization: sql.ref("space_quotas.organization_guid") });
    const applied = access.visible("space_quota.read", { space: sql.ref("spaces.guid") });
    return applied && sql<boolean>`(${managed ?? sql`true`} OR space_quotas.guid IN (SELECT quota_guid FROM spaces WHERE ${applied}))`;
  };

  api.list("/v3/space_quotas", {
    table: "space_quotas",
    labels: false,
    filters: {
      names: nameIn("space_quotas.name"), organization_guids: anyOf("space_quotas.organization_guid"),
      space_guids: where((guids) => sql`space_quotas.guid IN (SELECT quota_guid FROM spaces WHERE guid = ANY(${guids}))`),
    },
    orderBy: ["name"],
    scope: (call) => [visible(call)],
    present,
  });

  const find = async (call: Call): Promise<Quota> => {
    const row = await db.selectFrom("space_quotas").selectAll().where("guid", "=", call.guid).where(visible(call) ?? sql<boolean>`true`).executeTakeFirst();
    if (!row) throw notFound("Space quota");
    return row;
  };
  const findToChange = async (call: Call): Promise<Quota> => {
    const row = await find(call);
    const place = await placeOfOrganization(db, row.organization_guid);
    if (!call.access.can("space_quota.write", place)) throw notAuthorized();
    demandActive(call.access, place);
    return row;
  };
  const audit = (trx: Database<ControllerTables>, { actor }: Call, quota: Quota, { verb, data = {} }: { verb: string; data?: Record<string, unknown> }): Promise<void> =>
    recordAudit(trx, { type: `audit.space_quota.${verb}`, actor, target: { guid: quota.guid, type: "space_quota", name: quota.name }, data, organizationGuid: quota.organization_guid });

  const apply = async (trx: Database<ControllerTables>, call: Call, quota: Quota, guids: readonly string[]): Promise<void> => {
    const done = guids.length === 0 ? [] : await trx.updateTable("spaces").set({ quota_guid: quota.guid, updated_at: new Date() })
      .where("guid", "in", [...guids]).where("organization_guid", "=", quota.organization_guid).returning("guid").execute();
    const missing = guids.filter((guid) => !done.some((each) => each.guid === guid));
    if (missing.length > 0) throw unprocessable(`Spaces with guids ${JSON.stringify(missing)} do not exist within the organization specified, or you do not have access to them.`);
    for (const { guid } of done) await audit(trx, call, quota, { verb: "apply", data: { space_guid: guid } });
  };

  api.post("/v3/space_quotas", { body: createBody }, async (call) => {
    const { relationships: { organization, spaces }, ...rest } = call.body;
    const place = await placeOfOrganization(db, organization.data.guid);
    if (!place || !call.access.can("organization.read", place)) throw unprocessable(`Organization with guid '${organization.data.guid}' does not exist, or you do not have access to it.`);
    if (!call.access.can("space_quota.write", place)) throw notAuthorized();
    demandActive(call.access, place);
    const row = await transaction(db, async (trx) => {
      const made = await trx.insertInto("space_quotas").values({ guid: randomUUID(), name: rest.name, organization_guid: organization.data.guid, ...limitColumns(rest) }).returningAll().executeTakeFirstOrThrow();
      await audit(trx, call, made, { verb: "create", data: { request: redacted(rest) } });
      await apply(trx, call, made, spaces?.data.map(({ guid }) => guid) ?? []);
      return made;
    }).catch(nameTaken(rest.name));
    return created(await one(row, call));
  });

  api.get("/v3/space_quotas/:guid", async (call) => one(await find(call), call));

  api.patch("/v3/space_quotas/:guid", { body: patchBody }, async (call) => {
    const row = await findToChange(call);
    const { name: renamed } = call.body;
    const changed = await transaction(db, async (trx) => {
      const after = await trx.updateTable("space_quotas").set({ ...(renamed !== undefined && { name: renamed }), ...limitColumns(call.body), updated_at: new Date() })
        .where("guid", "=", row.guid).returningAll().executeTakeFirstOrThrow();
      await audit(trx, call, after, { verb: "update", data: { request: redacted(call.body) } });
      return after;
    }).catch(nameTaken(renamed ?? ""));
    return one(changed, call);
  });

  api.delete("/v3/space_quotas/:guid", async (call) => {
    const row = await findToChange(call);
    const job = await jobs.run({
      operation: "space_quota.delete",
      work: () => transaction(db, async (trx) => {
        await trx.deleteFrom("space_quotas").where("guid", "=", row.guid).execute();
        await audit(trx, call, row, { verb: "delete" });
      }),
    });
    return accepted(call, job);
  });

  api.post("/v3/space_quotas/:guid/relationships/spaces", { body: toMany }, async (call) => {
    const row = await findToChange(call);
    await transaction(db, (trx) => apply(trx, call, row, call.body.data.map(({ guid }) => guid)));
    const holders = await db.selectFrom("spaces").select("guid").where("quota_guid", "=", row.guid).orderBy("id").execute();
    return { ...toManyData(holders.map(({ guid }) => guid)), links: links(call.urls.api, { self: `/v3/space_quotas/${row.guid}/relationships/spaces` }) };
  });

  api.delete("/v3/space_quotas/:guid/relationships/spaces/:space", async (call) => {
    const row = await findToChange(call);
    const space = call.param("space");
    await transaction(db, async (trx) => {
      const gone = await trx.updateTable("spaces").set({ quota_guid: null, updated_at: new Date() }).where("guid", "=", space).where("quota_guid", "=", row.guid).returning("guid").execute();
      if (gone.length === 0) throw unprocessable(`Unable to remove quota from space with guid '${space}'. Ensure the space quota is applied to this space.`);
      await audit(trx, call, row, { verb: "remove", data: { space_guid: space } });
    });
    return noContent();
  });
};
