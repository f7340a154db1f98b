import { transaction } from "../../database.ts";
import { findApp, processesOf, recordAppEvent, type AppParts } from "./app-parts.ts";
import { recordUsage } from "./app-usage.ts";
import type { Actor } from "../api/audit.ts";

/**
 * Deletes an app and everything of it: service bindings first (a broker may refuse), then rows, then instances and blobs.
 * Doing it twice is quiet.
 */
export async function deleteApp(parts: AppParts, guid: string, actor: Actor): Promise<void> {
  const { db, runtime, services } = parts;
  if (!(await findApp(db, guid))) return;
  await services.unbindAll(guid, actor);
  const blobs = await transaction(db, async (trx) => {
    const found = await findApp(trx, guid, { lock: true });
    if (!found) return undefined;
    const processes = await processesOf(trx, guid);
    if (found.app.state === "STARTED") for (const process of processes) await recordUsage(trx, found, { state: "STOPPED", previousState: "STARTED", process });
    const packages = await trx.selectFrom("packages").select("guid").where("app_guid", "=", guid).execute();
    const droplets = await trx.selectFrom("droplets").select("guid").where("app_guid", "=", guid).execute();
    await recordAppEvent(trx, found, actor, { event: "delete-request" });
    await trx.deleteFrom("apps").where("guid", "=", guid).execute();
    return { processes, keys: [...packages.map((row) => `packages/${row.guid}`), ...droplets.map((row) => `droplets/${row.guid}`)] };
  });
  if (!blobs) return;
  runtime.cancelStaging(guid);
  runtime.converge(blobs.processes.map((process) => process.guid));
  runtime.log(guid, `Deleted app with guid ${guid}`);
  await removeBlobs(parts, blobs.keys);
  await parts.blobs.deleteAll(`buildpack_cache/${guid}/`).catch((error: unknown) => parts.log.warn("blobs.left", { app: guid, error: String(error) }));
}

/** Removes blobs nobody names any more. What cannot be removed now is only disk space: it is said and left. */
export async function removeBlobs({ blobs, log }: AppParts, keys: readonly string[]): Promise<void> {
  for (const key of keys) await blobs.delete(key).catch((error: unknown) => log.warn("blobs.left", { key, error: String(error) }));
}
