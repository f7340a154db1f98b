import { sql } from "kysely";
import type { Permission } from "../api/access.ts";
import { demandActive } from "../api/access.ts";
import { demandPart } from "../apps/app-access.ts";
import { findApp, type AppParts } from "../apps/app-parts.ts";
import { presentDeployment } from "../apps/app-present.ts";
import { checkBody } from "../api/checks.ts";
import { readDeployment } from "./deployment-request.ts";
import type { DeploymentUpdater } from "./deployment-updater.ts";
import { cancelDeployment, continueDeployment, createDeployment } from "./deployment-work.ts";
import { unprocessable } from "../api/errors.ts";
import { created, type Api, type Call } from "../api/http.ts";
import { mergedMetadata, type MetadataPatch } from "../api/present.ts";
import { anyOf } from "../api/query.ts";

/** `/v3/deployments`: new web instances take the place of the old ones while the app goes on answering. */
export function deploymentRoutes(api: Api, parts: AppParts, updater: DeploymentUpdater): void {
  const { db } = parts;
  api.list("/v3/deployments", {
    table: "deployments",
    filters: { app_guids: anyOf("deployments.app_guid"), states: anyOf("deployments.state"), status_values: anyOf("deployments.status_value"), status_reasons: anyOf("deployments.status_reason") },
    scope: (call) => [call.access.visible("app.read", { space: sql`(SELECT space_guid FROM apps WHERE apps.guid = deployments.app_guid)` })],
    present: (rows, call) => rows.map((row) => presentDeployment(row, call.urls.api)),
  });

  const read = (guid: string) => db.selectFrom("deployments").selectAll().where("guid", "=", guid).executeTakeFirst();
  const find = async (call: Call, write?: Permission) => (await demandPart(db, call, { row: await read(call.guid), type: "Deployment", write })).row;

  api.get("/v3/deployments/:guid", async (call) => presentDeployment(await find(call), call.urls.api));

  api.post("/v3/deployments", async (call) => {
    const { request, problems } = readDeployment(call.body);
    if (!request) throw unprocessable(problems.join(", "));
    const found = await findApp(db, request.appGuid);
    if (!found || !call.access.can("app.operate", found.place)) throw unprocessable("Unable to use app. Ensure that the app exists and you have access to it.");
    demandActive(call.access, found.place);
    const row = await createDeployment(parts, request, call.actor);
    updater.wake();
    return created(presentDeployment(row, call.urls.api));
  });

  api.patch("/v3/deployments/:guid", async (call) => {
    const checks = checkBody(call.body, ["metadata"]);
    const metadata = checks.object("metadata");
    if (checks.problems.length > 0) throw unprocessable(checks.problems.join(", "));
    const row = await find(call, "app.operate");
    const updated = await db.updateTable("deployments").set({ ...mergedMetadata(metadata as MetadataPatch | undefined, row), updated_at: new Date(parts.clock.now()) }).where("guid", "=", row.guid).returningAll().executeTakeFirstOrThrow();
    return presentDeployment(updated, call.urls.api);
  });

  for (const [verb, work] of [["cancel", cancelDeployment], ["continue", continueDeployment]] as const) {
    api.post(`/v3/deployments/:guid/actions/${verb}`, async (call) => {
      const row = await find(call, "app.operate");
      await work(parts, row.guid, call.actor);
      updater.wake();
      return presentDeployment((await read(row.guid)) ?? row, call.urls.api);
    });
  }
}
