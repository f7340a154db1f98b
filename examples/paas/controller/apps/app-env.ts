import { transaction } from "../../database.ts";
import { demandApp } from "./app-access.ts";
import { lockApp, processesOf, recordAppEvent, type AppParts } from "./app-parts.ts";
import { environmentGroup, urisOf } from "./desired.ts";
import { checkBody } from "../api/checks.ts";
import { environmentProblems, mergeEnvironment } from "../environment/env.ts";
import { notAuthorized, unprocessable } from "../api/errors.ts";
import type { FeatureFlags } from "../api/flags.ts";
import type { Api, Call } from "../api/http.ts";
import { links } from "../api/present.ts";
import { json } from "../data/schema.ts";
import { vcapApplication, vcapServices } from "../environment/vcap.ts";

/** `/v3/apps/:guid/env` and `/environment_variables`. Reading them is written down: they hold secrets. */
export function appEnvironmentRoutes(api: Api, parts: AppParts, flags: FeatureFlags): void {
  const { db, services } = parts;

  async function demandVisible(call: Call) {
    await flags.require("env_var_visibility", call.access);
    const found = await demandApp(db, call, call.guid);
    if (!call.access.can("app.environment.read", found.place)) throw notAuthorized();
    await flags.require("space_developer_env_var_visibility", call.access);
    return found;
  }

  api.get("/v3/apps/:guid/env", async (call) => {
    const found = await demandVisible(call);
    const { app, place } = found;
    const [space, staging, running, uris, bindings, processes] = await Promise.all([
      db.selectFrom("spaces").innerJoin("organizations", "organizations.guid", "spaces.organization_guid")
        .select(["spaces.name as spaceName", "organizations.name as organizationName"]).where("spaces.guid", "=", app.space_guid).executeTakeFirstOrThrow(),
      environmentGroup(db, "staging"), environmentGroup(db, "running"), urisOf(db, [app.guid]), services.bindings([app.guid]), processesOf(db, app.guid),
    ]);
    const web = processes.filter(({ type }) => type === "web").at(-1);
    await recordAppEvent(db, found, call.actor, { event: "environment.show" });
    const showsSystem = call.access.can("app.system_environment.read", place);
    return {
      staging_env_json: staging,
      running_env_json: running,
      environment_variables: app.environment_variables,
      system_env_json: showsSystem ? { VCAP_SERVICES: vcapServices(bindings.get(app.guid) ?? []) } : { redacted_message: "[PRIVATE DATA HIDDEN]" },
      application_env_json: {
        VCAP_APPLICATION: vcapApplication({
          apiUrl: call.urls.api, appGuid: app.guid, appName: app.name, spaceGuid: app.space_guid, ...space, organizationGuid: place.organizationGuid,
          uris: uris.get(`${app.guid} web`) ?? [], version: web?.version ?? app.guid,
          memoryMb: web?.memory_in_mb ?? parts.limits.defaultMemoryMb, diskMb: web?.disk_in_mb ?? parts.limits.defaultDiskMb,
          ...(web && { process: { guid: web.guid, type: web.type } }),
        }),
      },
    };
  });

  const present = (app: { guid: string; environment_variables: Record<string, string> }, base: string): object => ({
    var: app.environment_variables,
    links: links(base, { self: `/v3/apps/${app.guid}/environment_variables`, app: `/v3/apps/${app.guid}` }),
  });

  api.get("/v3/apps/:guid/environment_variables", async (call) => {
    const found = await demandVisible(call);
    await recordAppEvent(db, found, call.actor, { event: "environment_variables.show" });
    return present(found.app, call.urls.api);
  });

  api.patch("/v3/apps/:guid/environment_variables", async (call) => {
    const found = await demandApp(db, call, call.guid, { write: "app.operate" });
    const checks = checkBody(call.body, ["var"]);
    const { var: patch } = (call.body ?? {}) as { var?: unknown };
    checks.add(...environmentProblems(patch));
    if (checks.problems.length > 0) throw unprocessable(checks.problems.join(", "));
    const app = await patchEnvironment(parts, found.app.guid, patch as Record<string, string | null>, call);
    return present(app, call.urls.api);
  });
}

/** Sets and removes variables of an app. What runs sees them after its next start. */
export function patchEnvironment(parts: AppParts, guid: string, patch: Record<string, string | null>, { actor }: Pick<Call, "actor">) {
  return transaction(parts.db, async (trx) => {
    const { app: before, place } = await lockApp(trx, guid);
    const app = await trx
      .updateTable("apps")
      .set({ environment_variables: json(mergeEnvironment(before.environment_variables, patch)), updated_at: new Date(parts.clock.now()) })
      .where("guid", "=", guid)
      .returningAll()
      .executeTakeFirstOrThrow();
    await recordAppEvent(trx, { app, place }, actor, { event: "update", data: { request: { environment_variables: "[PRIVATE DATA HIDDEN]" } } });
    return app;
  }).then((app) => {
    parts.runtime.log(guid, `Updated app with guid ${guid} ({"environment_variables":"[PRIVATE DATA HIDDEN]"})`);
    return app;
  });
}
