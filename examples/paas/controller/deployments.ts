import { sql } from "kysely";
import { demandApp, demandPart } from "./app-access.ts";
import type { AppParts } from "./app-parts.ts";
import { presentDeployment } from "./app-present.ts";
import { checkBody } from "./checks.ts";
import { unprocessable } from "./errors.ts";
import type { Api } from "./http.ts";
import { anyOf } from "./query.ts";

/** `/v3/deployments`: rolling replacements of the web process. */
export function deploymentRoutes(api: Api, parts: AppParts): void {
  const { db } = parts;
  api.list("/v3/deployments", {
    table: "deployments",
    filters: { app_guids: anyOf("deployments.app_guid"), states: anyOf("deployments.state"), status_values: anyOf("deployments.status_value"), status_reasons: anyOf("deployments.status_reason") },
    scope: (call) => [call.access.visible("app.read", { space: sql`(SELECT space_guid FROM apps WHERE apps.guid = deployments.app_guid)` })],
    present: (rows, call) => rows.map((row) => presentDeployment(row, call.urls.api)),
  });
  api.get("/v3/deployments/:guid", async (call) => {
    const { row } = await demandPart(db, call, await db.selectFrom("deployments").selectAll().where("guid", "=", call.guid).executeTakeFirst(), "Deployment");
    return presentDeployment(row, call.urls.api);
  });
  api.post("/v3/deployments", async (call) => {
    const checks = checkBody(call.body, ["relationships", "droplet", "revision", "strategy", "options", "metadata"]);
    const appGuid = checks.relationship("app");
    if (checks.problems.length > 0 || appGuid === undefined) throw unprocessable(checks.problems.join(", "));
    await demandApp(db, call, appGuid, { write: "app.operate" });
    throw unprocessable("This platform does not replace instances step by step yet. Push or restart without --strategy.");
  });
}
