import { randomUUID } from "node:crypto";
import { transaction } from "../../database.ts";
import { lockApp, processesOf, recordAppEvent, type AppParts, type PlacedApp, type Trx } from "./app-parts.ts";
import { demandNoDeployment } from "./app-state.ts";
import type { Actor } from "../api/audit.ts";
import { unprocessable } from "../api/errors.ts";
import { newProcess } from "./process-rules.ts";
import { json, type RowOf } from "../data/schema.ts";

/**
 * Makes a droplet the current one of its app: processes it names are created, sidecars its buildpacks brought replace
 * those of the droplet before. What runs goes on running until the next start.
 * @throws CfError when it is no staged droplet of this app
 */
export async function assignDroplet(parts: AppParts, appGuid: string, dropletGuid: string, actor: Actor): Promise<RowOf<"droplets">> {
  const droplet = await transaction(parts.db, async (trx) => {
    const found = await lockApp(trx, appGuid);
    await demandNoDeployment(trx, appGuid, "Unable to assign current droplet while the app has a deployment in progress. Wait for the deployment to complete or cancel it.");
    const droplet = await trx.selectFrom("droplets").selectAll().where("guid", "=", dropletGuid).where("app_guid", "=", appGuid).executeTakeFirst();
    if (droplet?.state !== "STAGED") throw unprocessable("Unable to assign current droplet. Ensure the droplet exists and belongs to this app.");
    await useDroplet(parts, trx, found, { droplet, actor });
    await recordAppEvent(trx, found, actor, { event: "droplet.mapped", data: { request: { droplet_guid: dropletGuid } } });
    return droplet;
  });
  parts.runtime.log(appGuid, `Updated app with guid ${appGuid} (${JSON.stringify({ droplet_guid: dropletGuid })})`);
  return droplet;
}

/** The rows that follow an app's current droplet. */
export async function useDroplet(parts: AppParts, trx: Trx, found: PlacedApp, { droplet, actor }: { droplet: RowOf<"droplets">; actor: Actor }): Promise<void> {
  const { app } = found;
  await trx.updateTable("apps").set({ current_droplet_guid: droplet.guid, updated_at: new Date(parts.clock.now()) }).where("guid", "=", app.guid).execute();
  await replaceBuildpackSidecars(trx, app.guid, droplet);
  const existing = new Set((await processesOf(trx, app.guid)).map(({ type }) => type));
  for (const type of Object.keys(droplet.process_types)) {
    if (existing.has(type)) continue;
    const process = newProcess(app, type, parts.limits);
    await trx.insertInto("processes").values(process).execute();
    await recordAppEvent(trx, found, actor, { event: "process.create", data: { process_guid: process.guid, process_type: type } });
  }
}

async function replaceBuildpackSidecars(trx: Trx, appGuid: string, droplet: RowOf<"droplets">): Promise<void> {
  await trx.deleteFrom("sidecars").where("app_guid", "=", appGuid).where("origin", "=", "buildpack").execute();
  const own = new Set((await trx.selectFrom("sidecars").select("name").where("app_guid", "=", appGuid).execute()).map(({ name }) => name));
  const clash = droplet.sidecars.find(({ name }) => own.has(name));
  if (clash) throw unprocessable(`Sidecar with name '${clash.name}' already exists for given app: the buildpack brings one of the same name. Rename or delete yours.`);
  for (const { name, command, process_types, memory_in_mb } of droplet.sidecars)
    await trx.insertInto("sidecars").values({ guid: randomUUID(), app_guid: appGuid, name, command, process_types: json(process_types), memory_in_mb: memory_in_mb ?? null, origin: "buildpack" }).execute();
}
