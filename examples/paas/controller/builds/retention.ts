import { transaction } from "../../database.ts";
import { removeBlobs } from "../apps/app-delete.ts";
import type { AppParts } from "../apps/app-parts.ts";

/** Keeps the newest packages and droplets of an app, and what is in use; the others become EXPIRED and their blobs go. */
export async function expireOld(parts: AppParts, appGuid: string): Promise<void> {
  const { db, limits } = parts;
  const keys = await transaction(db, async (trx) => {
    const app = await trx.selectFrom("apps").select("current_droplet_guid").where("guid", "=", appGuid).executeTakeFirst();
    if (!app) return [];
    const droplets = await trx.selectFrom("droplets").select(["guid", "package_guid"]).where("app_guid", "=", appGuid).where("state", "in", ["STAGED", "FAILED"]).orderBy("id", "desc").execute();
    const pinned = new Set((await trx.selectFrom("processes").select("droplet_guid").where("app_guid", "=", appGuid).execute()).map((row) => row.droplet_guid));
    const running = await trx.selectFrom("revisions").innerJoin("processes", "processes.revision_guid", "revisions.guid").select("revisions.droplet_guid").where("revisions.app_guid", "=", appGuid).execute();
    for (const { droplet_guid } of running) pinned.add(droplet_guid);
    const tasks = await trx.selectFrom("tasks").select("droplet_guid").where("app_guid", "=", appGuid).where("state", "in", ["PENDING", "RUNNING", "CANCELING"]).execute();
    for (const { droplet_guid } of tasks) pinned.add(droplet_guid);
    const deploying = await trx.selectFrom("deployments").select(["droplet_guid", "previous_droplet_guid"]).where("app_guid", "=", appGuid).where("status_value", "=", "ACTIVE").execute();
    for (const row of deploying) pinned.add(row.droplet_guid).add(row.previous_droplet_guid);
    const others = droplets.filter(({ guid }) => guid !== app.current_droplet_guid && !pinned.has(guid));
    const oldDroplets = others.slice(limits.keptDroplets).map(({ guid }) => guid);

    const packages = await trx.selectFrom("packages").select("guid").where("app_guid", "=", appGuid).where("type", "=", "bits").where("state", "in", ["READY", "FAILED"]).orderBy("id", "desc").execute();
    const used = new Set([droplets.find(({ guid }) => guid === app.current_droplet_guid)?.package_guid]);
    for (const { package_guid } of await trx.selectFrom("builds").select("package_guid").where("app_guid", "=", appGuid).where("state", "=", "STAGING").execute()) used.add(package_guid);
    const oldPackages = packages.filter(({ guid }) => !used.has(guid)).slice(limits.keptPackages).map(({ guid }) => guid);

    const updated_at = new Date(parts.clock.now());
    if (oldDroplets.length > 0) await trx.updateTable("droplets").set({ state: "EXPIRED", updated_at }).where("guid", "in", oldDroplets).execute();
    if (oldPackages.length > 0) await trx.updateTable("packages").set({ state: "EXPIRED", updated_at }).where("guid", "in", oldPackages).execute();
    return [...oldDroplets.map((guid) => `droplets/${guid}`), ...oldPackages.map((guid) => `packages/${guid}`)];
  });
  await removeBlobs(parts, keys);
}
