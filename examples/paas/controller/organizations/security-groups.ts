import { randomUUID } from "node:crypto";
import { sql } from "kysely";
import { transaction, uniqueViolation, type Database } from "../../database.ts";
import type { RouteModule } from "../api/context.ts";
import { notAuthorized, notFound, unprocessable } from "../api/errors.ts";
import { accepted, created, type Call } from "../api/http.ts";
import { links, standard, toManyData } from "../api/present.ts";
import { booleanIs, nameIn, where, type Condition } from "../api/query.ts";
import { name, shape, toMany, Type } from "../api/validate.ts";
import { json, type ControllerTables, type RowOf } from "../data/schema.ts";
import { startedIn } from "./security-group-reach.ts";
import { readRules } from "./security-group-rules.ts";

export type SecurityGroup = RowOf<"security_groups">;
export const lifecycles = ["running", "staging"] as const;
export type Lifecycle = (typeof lifecycles)[number];

/** Groups as the API shows them; of the spaces only those that the caller may read. */
export async function presentGroups(db: Database<ControllerTables>, rows: readonly SecurityGroup[], { access, urls }: Pick<Call, "access" | "urls">): Promise<object[]> {
  const bindings = rows.length === 0 ? [] : await db.selectFrom("security_group_spaces").innerJoin("spaces", "spaces.guid", "security_group_spaces.space_guid")
    .select(["security_group_guid", "lifecycle", "spaces.guid", "spaces.organization_guid"]).where("security_group_guid", "in", rows.map(({ guid }) => guid)).orderBy("spaces.id").execute();
  return rows.map((row) => {
    const spaces = (lifecycle: Lifecycle): object => toManyData(bindings
      .filter((each) => each.security_group_guid === row.guid && each.lifecycle === lifecycle && access.can("space.read", { organizationGuid: each.organization_guid, spaceGuid: each.guid }))
      .map(({ guid }) => guid));
    return {
      ...standard(row), name: row.name, rules: row.rules, globally_enabled: { running: row.running_default, staging: row.staging_default },
      relationships: { running_spaces: spaces("running"), staging_spaces: spaces("staging") },
      links: links(urls.api, { self: `/v3/security_groups/${row.guid}` }),
    };
  });
}

/** Groups that hold everywhere, or in a space that the caller may read; undefined: all. */
const visible = ({ access }: Pick<Call, "access">): Condition | undefined => {
  const readable = access.visible("space.read", { space: sql.ref("security_group_spaces.space_guid") });
  return readable && sql<boolean>`(running_default OR staging_default OR security_groups.guid IN (SELECT security_group_guid FROM security_group_spaces WHERE ${readable}))`;
};

/** The group, if the caller may read it. @throws CfError 404 */
export async function findGroup(db: Database<ControllerTables>, call: Pick<Call, "access" | "guid">): Promise<SecurityGroup> {
  const row = await db.selectFrom("security_groups").selectAll().where("guid", "=", call.guid).where(visible(call) ?? sql<boolean>`true`).executeTakeFirst();
  if (!row) throw notFound("Security group");
  return row;
}

const boundTo = (lifecycle: Lifecycle) => where((guids) => sql`security_groups.guid IN (SELECT security_group_guid FROM security_group_spaces WHERE lifecycle = ${lifecycle} AND space_guid = ANY(${guids}))`);

const shared = { rules: Type.Optional(Type.Unknown()), globally_enabled: Type.Optional(shape({ running: Type.Optional(Type.Boolean()), staging: Type.Optional(Type.Boolean()) })) };
const createBody = shape({ name, ...shared, relationships: Type.Optional(shape({ running_spaces: Type.Optional(toMany), staging_spaces: Type.Optional(toMany) })) });
const patchBody = shape({ name: Type.Optional(name), ...shared });

const columns = ({ rules, globally_enabled: { running, staging } = {} }: { rules?: unknown; globally_enabled?: { running?: boolean; staging?: boolean } | undefined }) => ({
  ...(rules !== undefined && { rules: json(readRules(rules)) }), ...(running !== undefined && { running_default: running }), ...(staging !== undefined && { staging_default: staging }),
});
const nameTaken = (text: string) => (error: unknown): never => {
  throw uniqueViolation(error) === "security_groups_name" ? unprocessable(`Security group with name '${text}' already exists.`) : error;
};

/** Security groups: what apps may reach. A change holds at once, also for what runs. Admins write them. */
export const securityGroupRoutes: RouteModule = (api, { db, jobs, hooks }) => {
  const one = async (row: SecurityGroup, call: Call): Promise<object> => (await presentGroups(db, [row], call))[0] as object;
  const changed = async (spaceGuids?: readonly string[]): Promise<void> => hooks.onRoutesChanged(await startedIn(db, spaceGuids));
  const spacesOf = async (guid: string): Promise<string[]> =>
    (await db.selectFrom("security_group_spaces").select("space_guid").where("security_group_guid", "=", guid).where("lifecycle", "=", "running").execute()).map((row) => row.space_guid);

  api.list("/v3/security_groups", {
    table: "security_groups",
    labels: false,
    filters: {
      names: nameIn("security_groups.name"), globally_enabled_running: booleanIs("security_groups.running_default"), globally_enabled_staging: booleanIs("security_groups.staging_default"),
      running_space_guids: boundTo("running"), staging_space_guids: boundTo("staging"),
    },
    orderBy: ["name"],
    scope: (call) => [visible(call)],
    present: (rows, call) => presentGroups(db, rows, call),
  });

  api.get("/v3/security_groups/:guid", async (call) => one(await findGroup(db, call), call));

  api.post("/v3/security_groups", { body: createBody }, async (call) => {
    if (!call.access.isAdmin) throw notAuthorized();
    const { name: called, relationships = {}, ...rest } = call.body;
    const row = await transaction(db, async (trx) => {
      const made = await trx.insertInto("security_groups").values({ guid: randomUUID(), name: called, rules: json([]), ...columns(rest) }).returningAll().executeTakeFirstOrThrow();
      for (const lifecycle of lifecycles)
        for (const { guid } of relationships[`${lifecycle}_spaces`]?.data ?? [])
          await trx.insertInto("security_group_spaces").values({ security_group_guid: made.guid, space_guid: guid, lifecycle }).onConflict((conflict) => conflict.doNothing()).execute();
      return made;
    }).catch(nameTaken(called));
    await changed(row.running_default ? undefined : await spacesOf(row.guid));
    return created(await one(row, call));
  });

  api.patch("/v3/security_groups/:guid", { body: patchBody }, async (call) => {
    const before = await findGroup(db, call);
    if (!call.access.isAdmin) throw notAuthorized();
    const { name: called, ...rest } = call.body;
    const after = await db.updateTable("security_groups").set({ ...(called !== undefined && { name: called }), ...columns(rest), updated_at: new Date() })
      .where("guid", "=", before.guid).returningAll().executeTakeFirstOrThrow().catch(nameTaken(called ?? ""));
    await changed(before.running_default || after.running_default ? undefined : await spacesOf(after.guid));
    return one(after, call);
  });

  api.delete("/v3/security_groups/:guid", async (call) => {
    const row = await findGroup(db, call);
    if (!call.access.isAdmin) throw notAuthorized();
    const job = await jobs.run({
      operation: "security_group.delete",
      work: async () => {
        const spaces = await spacesOf(row.guid);
        await db.deleteFrom("security_groups").where("guid", "=", row.guid).execute();
        await changed(row.running_default ? undefined : spaces);
      },
    });
    return accepted(call, job);
  });
};
