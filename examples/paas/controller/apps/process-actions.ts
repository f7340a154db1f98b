import { transaction } from "../../database.ts";
import { lockApp, processesOf, recordAppEvent, type AppParts, type AppRow, type ProcessRow, type Trx } from "./app-parts.ts";
import { checkQuota } from "./app-state.ts";
import { recordUsage } from "./app-usage.ts";
import type { Actor } from "../api/audit.ts";
import { CfError, unprocessable } from "../api/errors.ts";
import { mergedMetadata, type MetadataPatch } from "../api/present.ts";
import { diskProblem, processColumns, type ProcessPatch, type ScaleChange } from "./process-rules.ts";

export interface ChangeBy {
  actor: Actor;
  /** A manifest asked for it: said in the audit event. */
  manifest?: boolean;
}

/**
 * Sets how many instances of a process run and how large they are. The number takes effect at once; memory, disk and log
 * rate with the next start, as clients expect, since running instances keep their version.
 */
export async function scaleProcess(parts: AppParts, { guid, app_guid }: ProcessRow, change: ScaleChange, { actor, manifest = false }: ChangeBy): Promise<ProcessRow> {
  const process = await transaction(parts.db, async (trx) => {
    const found = await lockApp(trx, app_guid);
    const before = await reread(trx, guid);
    if (before.type === "web" && (await isDeploying(trx, app_guid))) throw new CfError("ScaleDisabledDuringDeployment");
    const disk = diskProblem(change.disk_in_mb, parts.limits);
    if (disk !== undefined) throw unprocessable(disk);
    await demandRoomForSidecars(trx, found.app, before.type, change.memory_in_mb);
    const process = await trx.updateTable("processes").set({ ...change, updated_at: new Date(parts.clock.now()) }).where("guid", "=", guid).returningAll().executeTakeFirstOrThrow();
    if (found.app.state === "STARTED") {
      await checkQuota(trx, found.app, await processesOf(trx, app_guid));
      if (process.instances !== before.instances || process.memory_in_mb !== before.memory_in_mb)
        await recordUsage(trx, found, { state: "STARTED", previousState: "STARTED", process, before });
    }
    await recordAppEvent(trx, found, actor, { event: "process.scale", data: { process_guid: guid, process_type: process.type, request: { ...change }, ...(manifest && { manifest_triggered: true }) } });
    return process;
  });
  parts.runtime.log(app_guid, `Scaling process: "${process.type}"`);
  if (change.instances !== undefined) parts.runtime.converge([guid]);
  return process;
}

/** Changes command, user, health checks and metadata of a process; running instances take them up with the next start. */
export async function updateProcess(parts: AppParts, { guid, app_guid }: ProcessRow, patch: ProcessPatch, { actor, manifest = false, metadata }: ChangeBy & { metadata?: MetadataPatch | undefined }): Promise<ProcessRow> {
  const process = await transaction(parts.db, async (trx) => {
    const found = await lockApp(trx, app_guid);
    const before = await reread(trx, guid);
    if (before.type === "web" && (await isDeploying(trx, app_guid))) throw new CfError("ProcessUpdateDisabledDuringDeployment");
    const columns = processColumns(patch);
    const type = columns.health_check_type ?? before.health_check_type;
    if (columns.health_check_http_endpoint && type !== "http") throw unprocessable('Health check type must be "http" to set a health check HTTP endpoint');
    const process = await trx
      .updateTable("processes")
      .set({ ...columns, ...mergedMetadata(metadata, before), updated_at: new Date(parts.clock.now()) })
      .where("guid", "=", guid)
      .returningAll()
      .executeTakeFirstOrThrow();
    const request = { ...columns, ...(patch.command !== undefined && { command: "[PRIVATE DATA HIDDEN]" }) };
    await recordAppEvent(trx, found, actor, { event: "process.update", data: { process_guid: guid, process_type: process.type, request, ...(manifest && { manifest_triggered: true }) } });
    return process;
  });
  parts.runtime.log(app_guid, `Updating process: "${process.type}"`);
  return process;
}

/** Ends one instance; its place is taken by a new one. @throws CfError `Instance not found` */
export async function terminateInstance(parts: AppParts, process: ProcessRow, index: number, actor: Actor): Promise<void> {
  if (!Number.isInteger(index) || index < 0 || index >= process.instances) throw new CfError("ResourceNotFound", "Instance not found");
  await parts.runtime.stopInstance(process.guid, index);
  await transaction(parts.db, async (trx) =>
    recordAppEvent(trx, await lockApp(trx, process.app_guid), actor, { event: "process.terminate_instance", data: { process_guid: process.guid, process_type: process.type, process_index: index } }));
  parts.runtime.log(process.app_guid, `Terminating process: "${process.type}", index: "${index}"`);
}

const reread = (trx: Trx, guid: string): Promise<ProcessRow> =>
  trx.selectFrom("processes").selectAll().where("guid", "=", guid).executeTakeFirstOrThrow(() => new CfError("ResourceNotFound", "Process not found"));

async function isDeploying(trx: Trx, appGuid: string): Promise<boolean> {
  return (await trx.selectFrom("deployments").select("guid").where("app_guid", "=", appGuid).where("status_value", "=", "ACTIVE").executeTakeFirst()) !== undefined;
}

async function demandRoomForSidecars(trx: Trx, app: AppRow, type: string, memoryMb: number | undefined): Promise<void> {
  if (memoryMb === undefined) return;
  const sidecars = await trx.selectFrom("sidecars").select(["process_types", "memory_in_mb"]).where("app_guid", "=", app.guid).execute();
  const needed = sidecars.filter(({ process_types }) => process_types.includes(type)).reduce((sum, { memory_in_mb }) => sum + (memory_in_mb ?? 0), 0);
  if (needed > 0 && memoryMb <= needed) throw unprocessable("The requested memory allocation is not large enough to run all of your sidecar processes");
}
