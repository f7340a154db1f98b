import { sql } from "kysely";
import { transaction } from "../../database.ts";
import { findApp, recordAppEvent, type AppParts } from "./app-parts.ts";
import { recordAudit } from "../api/audit.ts";

/** An instance that ended by itself, as the executor told it. */
export interface CrashReport {
  readonly processGuid: string;
  readonly version: string;
  readonly index: number;
  readonly instanceGuid: string;
  readonly exitStatus: number;
  readonly exitDescription: string;
}

/** Writes a crash into the app's events (under its new and its old name), for `cf events`, and into a deployment it belongs to. */
export async function recordCrash(parts: Pick<AppParts, "db" | "runtime">, { processGuid, version, index, instanceGuid, exitStatus, exitDescription }: CrashReport): Promise<void> {
  const { db, runtime } = parts;
  const process = await db.selectFrom("processes").selectAll().where("guid", "=", processGuid).executeTakeFirst();
  // An old generation that falls while it is replaced is no news.
  if (!process || process.version !== version) return;
  const data = {
    instance: instanceGuid, index, cell_id: "", exit_status: exitStatus, exit_description: exitDescription.slice(0, 500), reason: "CRASHED",
  };
  const app = await transaction(db, async (trx) => {
    const found = await findApp(trx, process.app_guid);
    if (!found) return undefined;
    await recordAppEvent(trx, found, { guid: process.guid, type: "process", name: process.type }, { event: "process.crash", data: data });
    await recordAudit(trx, {
      type: "app.crash", actor: { guid: found.app.guid, type: "process", name: found.app.name }, target: { guid: found.app.guid, type: "app", name: found.app.name }, data,
      spaceGuid: found.app.space_guid, organizationGuid: found.place.organizationGuid,
    });
    const why = `Instance ${index} of the new process crashed: ${data.exit_description} (exit status ${exitStatus})`;
    await trx.updateTable("deployments").set({ error: why }).where("app_guid", "=", found.app.guid).where("status_value", "=", "ACTIVE")
      .where(sql<boolean>`new_processes @> ${JSON.stringify([{ guid: processGuid }])}::jsonb`).execute();
    return found.app;
  });
  if (app) runtime.log(app.guid, `Process has crashed with type: "${process.type}"`);
}
