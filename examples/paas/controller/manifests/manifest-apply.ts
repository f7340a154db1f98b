import { transaction } from "../../database.ts";
import { patchEnvironment } from "../apps/app-env.ts";
import { setFeatures } from "../apps/app-features.ts";
import { changedLifecycle } from "../apps/app-lifecycle.ts";
import { lockApp, recordAppEvent, type AppParts, type PlacedApp, type ProcessRow } from "../apps/app-parts.ts";
import { CfError } from "../api/errors.ts";
import type { AppManifest, HealthCheckChange, ManifestProcess } from "../manifest/message.ts";
import { applyRoutes } from "./manifest-routes.ts";
import { mergedMetadata } from "../api/present.ts";
import { scaleProcess, updateProcess } from "../apps/process-actions.ts";
import { newProcess, type HealthCheckPatch, type ProcessPatch } from "../apps/process-rules.ts";
import type { Caller } from "../routes/route-store.ts";
import { json } from "../data/schema.ts";
import { putSidecar } from "../apps/sidecars.ts";

/**
 * Brings an app to what its manifest says, part by part: features, processes, sidecars, lifecycle and metadata, routes,
 * environment, services. The first error stops it; what was done before stays. Doing it again changes nothing.
 */
export async function applyManifest(parts: AppParts, caller: Caller, appGuid: string, manifest: AppManifest): Promise<void> {
  try {
    await apply(parts, caller, appGuid, manifest);
  } catch (error) {
    const prefix = `For application '${manifest.name}': `;
    throw error instanceof CfError ? new CfError(error.code, error.details.map((text) => prefix + text), { cause: error }) : error;
  }
}

async function apply(parts: AppParts, caller: Caller, guid: string, manifest: AppManifest): Promise<void> {
  const { db, services } = parts;
  if (manifest.features) await setFeatures(db, guid, manifest.features);
  for (const process of manifest.processes) await applyProcess(parts, caller, guid, process);
  await transaction(db, async (trx) => {
    for (const { name, command, processTypes, memoryMb } of manifest.sidecars) await putSidecar(trx, guid, { name, command, processTypes, memoryMb: memoryMb ?? null });
  });
  const found = await applyApp(parts, caller, guid, manifest);
  await applyRoutes(parts, caller, found, manifest);
  if (manifest.env && Object.keys(manifest.env).length > 0) await patchEnvironment(parts, guid, manifest.env, caller);
  for (const { name, bindingName, parameters } of manifest.services ?? []) {
    try {
      await services.bindByName({ appGuid: guid, spaceGuid: found.app.space_guid, name, ...(bindingName !== undefined && { bindingName }), ...(parameters && { parameters }) }, caller.actor);
    } catch (error) {
      if (error instanceof CfError && error.status === 404) throw error;
      throw new CfError("UnprocessableEntity", error instanceof Error && !(error instanceof CfError && error.message.includes(`'${name}'`)) ? `For service '${name}': ${error.message}` : String((error as Error).message), { cause: error });
    }
  }
}

async function applyProcess(parts: AppParts, { actor }: Caller, appGuid: string, wanted: ManifestProcess): Promise<void> {
  const patch: ProcessPatch = {
    ...(wanted.command !== undefined && { command: wanted.command }),
    ...(wanted.user !== undefined && { user: wanted.user }),
    healthCheck: { ...healthPatch(wanted.healthCheck), ...(wanted.timeoutSeconds !== undefined && { timeout: wanted.timeoutSeconds }) },
    readinessHealthCheck: healthPatch(wanted.readinessHealthCheck),
  };
  const existing = await newestProcess(parts, appGuid, wanted.type);
  let process = existing ?? (await createProcess(parts, appGuid, wanted.type, actor));
  const changes = Object.keys(patch).length > 2 || Object.keys(patch.healthCheck).length > 0 || Object.keys(patch.readinessHealthCheck).length > 0;
  if (changes) process = await updateProcess(parts, process, patch, { actor, manifest: true });
  const scale = {
    ...(wanted.instances !== undefined && { instances: wanted.instances }),
    ...(wanted.memoryMb !== undefined && { memory_in_mb: wanted.memoryMb }),
    ...(wanted.diskMb !== undefined && { disk_in_mb: wanted.diskMb }),
    ...(wanted.logRateBytesPerSecond !== undefined && { log_rate_limit_in_bytes_per_second: wanted.logRateBytesPerSecond }),
  };
  if (Object.keys(scale).length > 0) await scaleProcess(parts, process, scale, { actor, manifest: true });
}

const healthPatch = ({ type, endpoint, invocationTimeoutSeconds, intervalSeconds }: HealthCheckChange): HealthCheckPatch => ({
  ...(type !== undefined && { type }),
  ...(endpoint !== undefined && { endpoint }),
  ...(invocationTimeoutSeconds !== undefined && { invocationTimeout: invocationTimeoutSeconds }),
  ...(intervalSeconds !== undefined && { interval: intervalSeconds }),
});

const newestProcess = ({ db }: AppParts, appGuid: string, type: string): Promise<ProcessRow | undefined> =>
  db.selectFrom("processes").selectAll().where("app_guid", "=", appGuid).where("type", "=", type).orderBy("id", "desc").executeTakeFirst();

async function createProcess(parts: AppParts, appGuid: string, type: string, actor: Caller["actor"]): Promise<ProcessRow> {
  const row = await transaction(parts.db, async (trx) => {
    const found = await lockApp(trx, appGuid);
    const row = await trx.insertInto("processes").values(newProcess(found.app, type, parts.limits)).returningAll().executeTakeFirstOrThrow();
    await recordAppEvent(trx, found, actor, { event: "process.create", data: { process_guid: row.guid, process_type: type, manifest_triggered: true } });
    return row;
  });
  parts.runtime.log(appGuid, `Added process: "${type}"`);
  return row;
}

async function applyApp(parts: AppParts, { actor }: Caller, guid: string, { lifecycle: wanted, metadata }: AppManifest): Promise<PlacedApp> {
  return transaction(parts.db, async (trx) => {
    const found = await lockApp(trx, guid);
    if (!wanted && !metadata) return found;
    const { app: before } = found;
    const lifecycle = await changedLifecycle(trx, wanted ?? {}, { type: before.lifecycle_type, buildpacks: before.buildpacks, stack: before.stack });
    const app = await trx
      .updateTable("apps")
      .set({ buildpacks: json(lifecycle.buildpacks), stack: lifecycle.stack, ...mergedMetadata(metadata, before), updated_at: new Date(parts.clock.now()) })
      .where("guid", "=", guid)
      .returningAll()
      .executeTakeFirstOrThrow();
    await recordAppEvent(trx, found, actor, { event: "update", data: {
      manifest_triggered: true, request: { ...(wanted && { lifecycle: { type: lifecycle.type, data: { buildpacks: lifecycle.buildpacks, stack: lifecycle.stack } } }), ...(metadata && { metadata }) },
    } });
    return { ...found, app };
  });
}
