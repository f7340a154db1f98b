import { randomUUID } from "node:crypto";
import { transaction } from "../../database.ts";
import { lockApp, processesOf, recordAppEvent, type AppParts, type AppRow, type ProcessRow, type Trx } from "./app-parts.ts";
import { quotaProblem } from "./app-quota.ts";
import { recordUsage } from "./app-usage.ts";
import type { Actor } from "../api/audit.ts";
import { CfError, unprocessable } from "../api/errors.ts";
import { resolveRevision } from "./revision-store.ts";

/**
 * Starts an app, or starts it again. Every process gets a new version: what runs with an old one is replaced.
 * @throws CfError when it has no droplet or a quota forbids it
 */
export async function startApp(parts: AppParts, guid: string, actor: Actor, { restart = false, silent = false } = {}): Promise<AppRow> {
  const { found, processes } = await transaction(parts.db, async (trx) => {
    const found = await lockApp(trx, guid);
    if (found.app.current_droplet_guid === null) throw unprocessable("Assign a droplet before starting this app.");
    if (restart) await demandNoDeployment(trx, guid, "Cannot restart the app while it is deploying, please wait for or cancel the deployment first.");
    const before = await processesOf(trx, guid);
    await checkQuota(trx, found.app, before);
    const app = await trx.updateTable("apps").set({ state: "STARTED", updated_at: new Date(parts.clock.now()) }).where("guid", "=", guid).returningAll().executeTakeFirstOrThrow();
    const starts = found.app.state !== "STARTED" || restart;
    const revision = starts ? await resolveRevision(trx, { ...found, app }, actor) : undefined;
    const processes = starts ? await renew(parts, trx, { processes: before, revisionGuid: revision?.guid ?? null }) : before;
    if (found.app.state !== "STARTED") for (const process of processes) await recordUsage(trx, found, { state: "STARTED", previousState: "STOPPED", process });
    if (!silent) await recordAppEvent(trx, found, actor, { event: restart ? "restart" : "start" });
    return { found: { ...found, app }, processes };
  });
  if (!silent) parts.runtime.log(guid, `${restart ? "Restarted" : "Starting"} app with guid ${guid}`);
  parts.runtime.converge(processes.map((process) => process.guid));
  return found.app;
}

/** Stops an app: its instances go, everything else stays. */
export async function stopApp(parts: AppParts, guid: string, actor: Actor): Promise<AppRow> {
  const { app, processes } = await transaction(parts.db, async (trx) => {
    const found = await lockApp(trx, guid);
    const deploying = await trx.selectFrom("deployments").select("guid").where("app_guid", "=", guid).where("status_value", "=", "ACTIVE").executeTakeFirst();
    if (deploying) throw new CfError("StopDisabledDuringDeployment");
    const processes = await processesOf(trx, guid);
    const app = await trx.updateTable("apps").set({ state: "STOPPED", updated_at: new Date(parts.clock.now()) }).where("guid", "=", guid).returningAll().executeTakeFirstOrThrow();
    if (found.app.state === "STARTED") for (const process of processes) await recordUsage(trx, found, { state: "STOPPED", previousState: "STARTED", process });
    await recordAppEvent(trx, found, actor, { event: "stop" });
    return { app, processes };
  });
  parts.runtime.log(guid, `Stopping app with guid ${guid}`);
  parts.runtime.converge(processes.map((process) => process.guid));
  return app;
}

/** New versions for all of them. */
async function renew(parts: AppParts, trx: Trx, { processes, revisionGuid }: { processes: readonly ProcessRow[]; revisionGuid: string | null }): Promise<ProcessRow[]> {
  const renewed: ProcessRow[] = [];
  for (const { guid } of processes)
    renewed.push(await trx.updateTable("processes").set({ version: randomUUID(), revision_guid: revisionGuid, updated_at: new Date(parts.clock.now()) }).where("guid", "=", guid).returningAll().executeTakeFirstOrThrow());
  return renewed;
}

/** @throws CfError with the limit that these processes would break */
export async function checkQuota(trx: Trx, app: AppRow, processes: readonly ProcessRow[]): Promise<void> {
  const problem = await quotaProblem(trx, app.space_guid, processes.map(({ guid, instances, memory_in_mb, log_rate_limit_in_bytes_per_second }) => ({
    guid, instances, memoryMb: memory_in_mb, logRateBytesPerSecond: log_rate_limit_in_bytes_per_second,
  })));
  if (problem !== undefined) throw unprocessable(problem);
}

/** @throws CfError with this text while a deployment of the app is under way */
export async function demandNoDeployment(trx: Trx, appGuid: string, text: string): Promise<void> {
  const active = await trx.selectFrom("deployments").select("guid").where("app_guid", "=", appGuid).where("status_value", "=", "ACTIVE").executeTakeFirst();
  if (active) throw unprocessable(text);
}
