import { sql } from "kysely";
import { transaction } from "../../database.ts";
import type { RouteModule } from "../api/context.ts";
import { environmentProblems, mergeEnvironment } from "../environment/env.ts";
import { notAuthorized, notFound, notImplemented, unprocessable } from "../api/errors.ts";
import { flagNames, flagTable, type FlagName } from "../api/flags.ts";
import { noContent, type Call } from "../api/http.ts";
import { links, mergedMetadata, metadataOf, standard, time } from "../api/present.ts";
import { anyOf, booleanIs, where } from "../api/query.ts";
import { json, type RowOf } from "../data/schema.ts";
import { metadata, nullable, oneOf, shape, Type } from "../api/validate.ts";

const requireAdmin = ({ access }: Pick<Call, "access">): void => {
  if (!access.isAdmin) throw notAuthorized();
};

/** Switches an operator turns: read by everyone, written by admins. */
export const featureFlagRoutes: RouteModule = (api, { db }) => {
  const present = (name: FlagName, row: RowOf<"feature_flags"> | undefined, { urls }: Call): object => ({
    name, enabled: row?.enabled ?? flagTable[name].enabled, updated_at: row ? time(row.updated_at) : null, custom_error_message: row?.custom_error_message ?? null,
    links: links(urls.api, { self: `/v3/feature_flags/${name}` }),
  });
  const nameOf = (call: Call): FlagName => {
    const name = call.param("name") as FlagName;
    if (!flagNames.includes(name)) throw notFound("Feature flag");
    return name;
  };

  api.listOf("/v3/feature_flags", {}, async (call) => {
    const rows = await db.selectFrom("feature_flags").selectAll().execute();
    return [...flagNames].sort().map((name) => present(name, rows.find((row) => row.name === name), call));
  });

  api.get("/v3/feature_flags/:name", async (call) => {
    const name = nameOf(call);
    return present(name, await db.selectFrom("feature_flags").selectAll().where("name", "=", name).executeTakeFirst(), call);
  });

  const body = shape({ enabled: Type.Optional(Type.Boolean()), custom_error_message: Type.Optional(nullable(Type.String({ maxLength: 250 }))) });
  api.patch("/v3/feature_flags/:name", { body }, async (call) => {
    const name = nameOf(call);
    requireAdmin(call);
    const { enabled, custom_error_message } = call.body;
    const row = await db.insertInto("feature_flags")
      .values({ name, enabled: enabled ?? flagTable[name].enabled, custom_error_message: custom_error_message ?? null })
      .onConflict((conflict) => conflict.column("name").doUpdateSet({
        ...(enabled !== undefined && { enabled }), ...(custom_error_message !== undefined && { custom_error_message }), updated_at: new Date(),
      }))
      .returningAll().executeTakeFirstOrThrow();
    return present(name, row, call);
  });
};

/** Variables that every running, or every staging, app gets. */
export const environmentGroupRoutes: RouteModule = (api, { db }) => {
  const find = async (call: Call): Promise<RowOf<"environment_groups">> => {
    const name = call.param("name");
    const row = name === "running" || name === "staging" ? await db.selectFrom("environment_groups").selectAll().where("name", "=", name).executeTakeFirst() : undefined;
    if (!row) throw notFound("Environment variable group");
    return row;
  };
  const present = (row: RowOf<"environment_groups">, { urls }: Call): object => ({
    name: row.name, var: row.var, updated_at: row.updated_at ? time(row.updated_at) : null, links: links(urls.api, { self: `/v3/environment_variable_groups/${row.name}` }),
  });

  api.get("/v3/environment_variable_groups/:name", async (call) => {
    const row = await find(call);
    // Values may be secrets: for those who see everything, and for those who have apps that get them.
    if (!call.access.readsEverything && call.access.organizationGuids.length === 0) throw notFound("Environment variable group");
    return present(row, call);
  });

  api.patch("/v3/environment_variable_groups/:name", { body: shape({ var: Type.Record(Type.String(), Type.Unknown()) }) }, async (call) => {
    const before = await find(call);
    requireAdmin(call);
    const problems = environmentProblems(call.body.var);
    if (problems.length > 0) throw unprocessable(problems.join(", "));
    const row = await transaction(db, async (trx) => {
      const { var: current } = await trx.selectFrom("environment_groups").select("var").where("name", "=", before.name).forUpdate().executeTakeFirstOrThrow();
      return await trx.updateTable("environment_groups").set({ var: json(mergeEnvironment(current, call.body.var as Record<string, string | null>)), updated_at: new Date() })
        .where("name", "=", before.name).returningAll().executeTakeFirstOrThrow();
    });
    return present(row, call);
  });
};

/** Root file systems: one is there from the start; what an executor offers is its own business. */
export const stackRoutes: RouteModule = (api, { db }) => {
  const present = (row: RowOf<"stacks">, { urls }: Call): object => ({
    ...standard(row), name: row.name, description: row.description, state: row.state, state_reason: row.state_reason, default: row.is_default,
    run_rootfs_image: row.name, build_rootfs_image: row.name, ...metadataOf(row), links: links(urls.api, { self: `/v3/stacks/${row.guid}` }),
  });

  api.list("/v3/stacks", {
    table: "stacks",
    filters: { names: anyOf("stacks.name"), default: booleanIs("stacks.is_default") },
    orderBy: ["name"],
    present: (rows, call) => rows.map((row) => present(row, call)),
  });

  const find = async ({ guid }: Call): Promise<RowOf<"stacks">> => {
    const row = await db.selectFrom("stacks").selectAll().where("guid", "=", guid).executeTakeFirst();
    if (!row) throw notFound("Stack");
    return row;
  };
  api.get("/v3/stacks/:guid", async (call) => present(await find(call), call));

  const body = shape({
    state: Type.Optional(oneOf("ACTIVE", "RESTRICTED", "DEPRECATED", "DISABLED")), state_reason: Type.Optional(nullable(Type.String({ maxLength: 1_000 }))),
    metadata: Type.Optional(metadata),
  });
  api.patch("/v3/stacks/:guid", { body }, async (call) => {
    const row = await find(call);
    requireAdmin(call);
    const { state, state_reason, metadata: patch } = call.body;
    const changed = await db.updateTable("stacks").set({ ...(state && { state }), ...(state_reason !== undefined && { state_reason }), ...mergedMetadata(patch, row), updated_at: new Date() })
      .where("guid", "=", row.guid).returningAll().executeTakeFirstOrThrow();
    return present(changed, call);
  });

  api.delete("/v3/stacks/:guid", async (call) => {
    const row = await find(call);
    requireAdmin(call);
    const users = await db.selectFrom("apps").select("guid").where("stack", "=", row.name).limit(1).execute();
    if (users.length > 0 || row.is_default) throw unprocessable("Cannot delete stack because apps are currently using the stack.");
    await db.deleteFrom("stacks").where("guid", "=", row.guid).execute();
    return noContent();
  });

  api.post("/v3/stacks", (call) => {
    requireAdmin(call);
    throw notImplemented("Creating stacks");
  });
};

/** System buildpacks come with the stager. Their order, and whether they are used, is an operator's choice; new ones cannot be uploaded. */
export const buildpackRoutes: RouteModule = (api, { db }) => {
  const present = (row: RowOf<"buildpacks">, { urls }: Call): object => ({
    ...standard(row), name: row.name, stack: row.stack, state: row.state, lifecycle: row.lifecycle, filename: row.filename, position: row.position,
    enabled: row.enabled, locked: row.locked, ...metadataOf(row), links: links(urls.api, { self: `/v3/buildpacks/${row.guid}`, upload: `POST /v3/buildpacks/${row.guid}/upload` }),
  });

  api.list("/v3/buildpacks", {
    table: "buildpacks",
    filters: {
      names: anyOf("buildpacks.name"), stacks: anyOf("buildpacks.stack"),
      lifecycle: where((values) => sql`buildpacks.lifecycle = ANY(${values})`),
    },
    orderBy: ["position", "name"],
    present: (rows, call) => rows.map((row) => present(row, call)),
  });

  const find = async ({ guid }: Call): Promise<RowOf<"buildpacks">> => {
    const row = await db.selectFrom("buildpacks").selectAll().where("guid", "=", guid).executeTakeFirst();
    if (!row) throw notFound("Buildpack");
    return row;
  };
  api.get("/v3/buildpacks/:guid", async (call) => present(await find(call), call));

  const body = shape({
    name: Type.Optional(Type.String({ minLength: 1, maxLength: 250 })), stack: Type.Optional(nullable(Type.String())), position: Type.Optional(Type.Integer({ minimum: 1 })),
    enabled: Type.Optional(Type.Boolean()), locked: Type.Optional(Type.Boolean()), metadata: Type.Optional(metadata),
  });
  api.patch("/v3/buildpacks/:guid", { body }, async (call) => {
    const row = await find(call);
    requireAdmin(call);
    const { name, stack, position, enabled, locked, metadata: patch } = call.body;
    if (name !== undefined && name !== row.name) throw unprocessable("The name of a system buildpack cannot be changed: the stager knows it by this name.");
    if (stack !== undefined && stack !== row.stack) throw unprocessable("Buildpack stack can not be changed");
    const changed = await transaction(db, async (trx) => {
      if (position !== undefined && position !== row.position) {
        const others = await trx.selectFrom("buildpacks").select("guid").where("guid", "<>", row.guid).orderBy("position").orderBy("id").execute();
        const order = others.map(({ guid }) => guid);
        order.splice(Math.min(position, order.length + 1) - 1, 0, row.guid);
        for (const [index, guid] of order.entries()) await trx.updateTable("buildpacks").set({ position: index + 1 }).where("guid", "=", guid).execute();
      }
      return await trx.updateTable("buildpacks").set({ ...(enabled !== undefined && { enabled }), ...(locked !== undefined && { locked }), ...mergedMetadata(patch, row), updated_at: new Date() })
        .where("guid", "=", row.guid).returningAll().executeTakeFirstOrThrow();
    });
    return present(changed, call);
  });

  const refuse = (what: string) => (call: Call): never => {
    requireAdmin(call);
    throw notImplemented(`${what}. Push with '-b URL' to use a buildpack of your own`);
  };
  api.post("/v3/buildpacks", refuse("Uploading buildpacks"));
  api.post("/v3/buildpacks/:guid/upload", refuse("Uploading buildpacks"));
  api.delete("/v3/buildpacks/:guid", refuse("Deleting system buildpacks; disable it instead"));
};
