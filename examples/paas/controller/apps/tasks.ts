import { sql } from "kysely";
import { demandApp, demandPart } from "./app-access.ts";
import type { AppParts } from "./app-parts.ts";
import { presentTask } from "./app-present.ts";
import { CfError } from "../api/errors.ts";
import type { FeatureFlags } from "../api/flags.ts";
import type { Api, Call } from "../api/http.ts";
import { anyOf, integerIn, where } from "../api/query.ts";

/** `/v3/tasks`. This platform runs no tasks yet: lists are empty and creating one is refused, so that nobody waits for it. */
export function taskRoutes(api: Api, { db }: AppParts, flags: FeatureFlags): void {
  const filters = {
    names: anyOf("tasks.name"),
    states: anyOf("tasks.state"),
    app_guids: anyOf("tasks.app_guid"),
    space_guids: where((guids) => sql`tasks.app_guid IN (SELECT guid FROM apps WHERE space_guid = ANY(${guids}))`),
    organization_guids: where((guids) => sql`tasks.app_guid IN (SELECT apps.guid FROM apps JOIN spaces ON spaces.guid = apps.space_guid WHERE spaces.organization_guid = ANY(${guids}))`),
  };
  api.list("/v3/tasks", {
    table: "tasks", filters,
    scope: (call) => [call.access.visible("app.read", { space: sql`(SELECT space_guid FROM apps WHERE apps.guid = tasks.app_guid)` })],
    present: (rows, call) => rows.map((row) => presentTask(row, call.urls.api)),
  });
  api.list("/v3/apps/:guid/tasks", {
    table: "tasks", filters: { names: filters.names, states: filters.states, sequence_ids: integerIn("tasks.sequence_id") },
    scope: async (call) => {
      await demandApp(db, call, call.guid);
      return [sql<boolean>`tasks.app_guid = ${call.guid}`];
    },
    present: (rows, call) => rows.map((row) => presentTask(row, call.urls.api)),
  });
  const find = async (call: Call) => demandPart(db, call, { row: await db.selectFrom("tasks").selectAll().where("guid", "=", call.guid).executeTakeFirst(), type: "Task" });
  api.get("/v3/tasks/:guid", async (call) => {
    const { row, found } = await find(call);
    return presentTask(row, call.urls.api, { showCommand: call.access.can("app.secrets.read", found.place) });
  });
  api.post("/v3/apps/:guid/tasks", async (call) => {
    await flags.require("task_creation", call.access);
    await demandApp(db, call, call.guid, { write: "app.write" });
    throw new CfError("TaskWorkersUnavailable", "Task workers are unavailable: this platform does not run tasks. Use an app with `no-route: true` and health check `process` instead.");
  });
}
