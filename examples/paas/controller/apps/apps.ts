import { sql } from "kysely";
import { transaction, uniqueViolation } from "../../database.ts";
import { demandActive, placeOfSpace } from "../api/access.ts";
import { demandApp } from "./app-access.ts";
import { createApp } from "./app-create.ts";
import { deleteApp } from "./app-delete.ts";
import { decideLifecycle, stackWarnings } from "./app-lifecycle.ts";
import { recordAppEvent, type AppParts } from "./app-parts.ts";
import { presentApp } from "./app-present.ts";
import { startApp, stopApp } from "./app-state.ts";
import { redacted } from "../api/audit.ts";
import { checkBody } from "../api/checks.ts";
import { assignDroplet } from "./droplet-assign.ts";
import { environmentProblems } from "../environment/env.ts";
import { notAuthorized, notFound, taken, unprocessable } from "../api/errors.ts";
import { accepted, created, gather, includeNames, type Api, type Include } from "../api/http.ts";
import { links, mergedMetadata, type MetadataPatch } from "../api/present.ts";
import { anyOf, nameIn, where } from "../api/query.ts";
import { json, type RowOf } from "../data/schema.ts";

export type AppIncludes = Readonly<Record<"space" | "space.organization", Include<RowOf<"apps">>>>;

/** `/v3/apps`: the apps themselves, their state and their current droplet. */
export function appRoutes(api: Api, parts: AppParts, includes: AppIncludes): void {
  const { db } = parts;

  api.list("/v3/apps", {
    table: "apps",
    filters: {
      names: nameIn("apps.name"),
      space_guids: anyOf("apps.space_guid"),
      organization_guids: where((guids) => sql`apps.space_guid IN (SELECT guid FROM spaces WHERE organization_guid = ANY(${guids}))`),
      stacks: anyOf("apps.stack"),
      lifecycle_type: anyOf("apps.lifecycle_type"),
    },
    orderBy: ["name", "state"],
    scope: (call) => [call.access.visible("app.read", { space: sql.ref("apps.space_guid") })],
    includes,
    present: (rows, call) => rows.map((row) => presentApp(row, call.urls.api)),
  });

  api.get("/v3/apps/:guid", { query: ["include"] }, async (call) => {
    const { app } = await demandApp(db, call, call.guid);
    const names = includeNames(call.query, Object.keys(includes)) as (keyof AppIncludes)[];
    return { ...presentApp(app, call.urls.api), ...(names.length > 0 && { included: await gather(names.map((name) => includes[name]), [app], call) }) };
  });

  api.post("/v3/apps", async (call) => {
    const checks = checkBody(call.body, ["name", "environment_variables", "relationships", "lifecycle", "metadata"]);
    const name = checks.text("name", { max: 255, required: true });
    if (name === "") checks.add("Name must not be empty");
    const spaceGuid = checks.relationship("space");
    const environment = checks.object("environment_variables");
    const metadata = checks.object("metadata");
    if (environment) checks.add(...environmentProblems(environment, "Environment variables"));
    if (checks.problems.length > 0 || !name || !spaceGuid) throw unprocessable(checks.problems.join(", "));
    const place = await placeOfSpace(db, spaceGuid);
    if (!place || !call.access.can("space.read", place)) throw unprocessable("Invalid space. Ensure that the space exists and you have access to it.");
    if (!call.access.can("app.write", place)) throw notAuthorized();
    demandActive(call.access, place);
    const body = call.body as Record<string, unknown>;
    const lifecycle = await decideLifecycle(db, body["lifecycle"]);
    for (const warning of await stackWarnings(db, lifecycle.stack, { firstBuild: true })) call.warn(warning);
    const app = await createApp(parts, { name, place, lifecycle, environment: withoutNulls(environment ?? {}), metadata: metadata as MetadataPatch, request: redacted(body) }, call.actor);
    return created(presentApp(app, call.urls.api));
  });

  api.patch("/v3/apps/:guid", async (call) => {
    const checks = checkBody(call.body, ["name", "lifecycle", "metadata"]);
    const name = checks.text("name", { max: 255 });
    if (name === "") checks.add("Name must not be empty");
    const metadata = checks.object("metadata");
    if (checks.problems.length > 0) throw unprocessable(checks.problems.join(", "));
    const found = await demandApp(db, call, call.guid, { write: "app.write" });
    const body = (call.body ?? {}) as Record<string, unknown>;
    const { app: before } = found;
    const lifecycle = await decideLifecycle(db, body["lifecycle"], { type: before.lifecycle_type, buildpacks: before.buildpacks, stack: before.stack });
    const app = await transaction(db, async (trx) => {
      const app = await trx
        .updateTable("apps")
        .set({
          ...(name && { name }), buildpacks: json(lifecycle.buildpacks), stack: lifecycle.stack,
          ...mergedMetadata(metadata as MetadataPatch | undefined, before), updated_at: new Date(parts.clock.now()),
        })
        .where("guid", "=", call.guid)
        .returningAll()
        .executeTakeFirstOrThrow();
      await recordAppEvent(trx, { ...found, app }, call.actor, { event: "update", data: { request: redacted(body) } });
      return app;
    }).catch((error: unknown) => {
      throw uniqueViolation(error) === "apps_name" ? taken(`App with the name '${name ?? ""}' already exists.`) : error;
    });
    parts.runtime.log(app.guid, `Updated app with guid ${app.guid} (${JSON.stringify(redacted(body))})`);
    return presentApp(app, call.urls.api);
  });

  api.delete("/v3/apps/:guid", async (call) => {
    const { app } = await demandApp(db, call, call.guid, { write: "app.write" });
    await db.updateTable("apps").set({ deleting: true }).where("guid", "=", app.guid).execute();
    const work = async (): Promise<void> => {
      try {
        await deleteApp(parts, app.guid, call.actor);
      } catch (error) {
        await db.updateTable("apps").set({ deleting: false }).where("guid", "=", app.guid).execute();
        throw error;
      }
    };
    return accepted(call, await parts.jobs.run({ operation: "app.delete", resource: { type: "apps", guid: app.guid }, work }));
  });

  api.post("/v3/apps/:guid/actions/start", async (call) => {
    await demandApp(db, call, call.guid, { write: "app.operate" });
    return presentApp(await startApp(parts, call.guid, call.actor), call.urls.api);
  });
  api.post("/v3/apps/:guid/actions/restart", async (call) => {
    await demandApp(db, call, call.guid, { write: "app.operate" });
    return presentApp(await startApp(parts, call.guid, call.actor, { restart: true }), call.urls.api);
  });
  api.post("/v3/apps/:guid/actions/stop", async (call) => {
    await demandApp(db, call, call.guid, { write: "app.operate" });
    return presentApp(await stopApp(parts, call.guid, call.actor), call.urls.api);
  });

  api.post("/v3/apps/:guid/actions/clear_buildpack_cache", async (call) => {
    const { app } = await demandApp(db, call, call.guid, { write: "app.operate" });
    const work = async (): Promise<void> => void (await parts.blobs.deleteAll(`buildpack_cache/${app.guid}/`));
    parts.runtime.log(app.guid, `Enqueued job to delete app buildpack cache with app guid ${app.guid}`);
    return accepted(call, await parts.jobs.run({ operation: "buildpack_cache.delete", resource: { type: "apps", guid: app.guid }, work }));
  });

  const droplet = (appGuid: string, guid: string, base: string): object => ({
    data: { guid },
    links: links(base, { self: `/v3/apps/${appGuid}/relationships/current_droplet`, related: `/v3/apps/${appGuid}/droplets/current` }),
  });
  api.get("/v3/apps/:guid/relationships/current_droplet", async (call) => {
    const { app } = await demandApp(db, call, call.guid);
    if (app.current_droplet_guid === null) throw notFound("Droplet");
    return droplet(app.guid, app.current_droplet_guid, call.urls.api);
  });
  api.patch("/v3/apps/:guid/relationships/current_droplet", async (call) => {
    const { app } = await demandApp(db, call, call.guid, { write: "app.operate" });
    const { data } = (call.body ?? {}) as { data?: { guid?: unknown } | null };
    if (data === null) throw unprocessable("Current droplet cannot be removed. Replace it with a preferred droplet.");
    if (typeof data?.guid !== "string") throw unprocessable("Unable to assign current droplet. Ensure the droplet exists and belongs to this app.");
    const assigned = await assignDroplet(parts, app.guid, data.guid, call.actor);
    return droplet(app.guid, assigned.guid, call.urls.api);
  });

  api.get("/v3/apps/:guid/permissions", async (call) => {
    const { place } = await demandApp(db, call, call.guid);
    return { read_basic_data: true, read_sensitive_data: call.access.can("app.secrets.read", place) };
  });
}

const withoutNulls = (variables: Record<string, unknown>): Record<string, string> =>
  Object.fromEntries(Object.entries(variables).filter((entry): entry is [string, string] => typeof entry[1] === "string"));
