import { randomUUID } from "node:crypto";
import type { PlacedApp, ProcessRow, Trx } from "./app-parts.ts";

export interface UsageChange {
  state: "STARTED" | "STOPPED" | "BUILDPACK_SET" | "TASK_STARTED" | "TASK_STOPPED" | "STAGING_STARTED" | "STAGING_STOPPED";
  previousState?: string;
  process?: ProcessRow;
  /** The process as it was, when its numbers changed. */
  before?: ProcessRow;
  buildpack?: { guid: string | null; name: string | null };
  task?: { guid: string; name: string; memoryMb: number };
  memoryMb?: number;
}

/** Writes a line of the billing record: what was used, by whom, from when on. */
export async function recordUsage(trx: Trx, { app, place }: PlacedApp, { state, previousState, process, before, buildpack, task, memoryMb }: UsageChange): Promise<void> {
  const space = await trx.selectFrom("spaces").select("name").where("guid", "=", app.space_guid).executeTakeFirst();
  const memory = memoryMb ?? task?.memoryMb ?? process?.memory_in_mb ?? null;
  await trx.insertInto("app_usage_events").values({
    guid: randomUUID(), state, previous_state: previousState ?? null,
    app_guid: app.guid, app_name: app.name, process_guid: process?.guid ?? null, process_type: process?.type ?? null,
    space_guid: app.space_guid, space_name: space?.name ?? null, organization_guid: place.organizationGuid,
    buildpack_guid: buildpack?.guid ?? null, buildpack_name: buildpack?.name ?? null,
    task_guid: task?.guid ?? null, task_name: task?.name ?? null,
    memory_in_mb: memory, previous_memory_in_mb: before?.memory_in_mb ?? memory,
    instances: process?.instances ?? 1, previous_instances: before?.instances ?? process?.instances ?? 1,
  }).execute();
}
