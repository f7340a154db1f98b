import { randomUUID } from "node:crypto";
import { transaction } from "../../database.ts";
import { findApp, lockApp, processesOf, recordAppEvent, type AppParts, type AppRow, type PlacedApp, type ProcessRow, type Trx } from "../apps/app-parts.ts";
import { checkQuota, startApp } from "../apps/app-state.ts";
import { recordUsage } from "../apps/app-usage.ts";
import type { Actor } from "../api/audit.ts";
import { nextStep } from "./deployment-plan.ts";
import type { DeploymentOptions, DeploymentRequest } from "./deployment-request.ts";
import { useDroplet } from "../apps/droplet-assign.ts";
import { notFound, unprocessable } from "../api/errors.ts";
import { mergedMetadata, type MetadataPatch } from "../api/present.ts";
import { diskProblem } from "../apps/process-rules.ts";
import { isServing } from "../runtime/runtime.ts";
import { resolveRevision, rollbackRevision, type Revision } from "../apps/revision-store.ts";
import { json, type RowOf } from "../data/schema.ts";

export type Deployment = RowOf<"deployments">;

/** What a deployment remembers beside its public options. */
export interface DeploymentMemory {
  /** Instances the app shall have in the end, and had before. */
  target: number;
  before: number;
  /** Canary: the step it is at, from 1. */
  step: number;
  /** The revision it brings, and the environment to go back to when that is an old one. */
  revision?: { guid: string; version: number };
  environmentBefore?: Record<string, string>;
}
type StoredOptions = DeploymentOptions & { memory?: DeploymentMemory };

export const optionsOf = (row: Deployment): DeploymentOptions & { memory: DeploymentMemory } => {
  const { memory = { target: 1, before: 1, step: 1 }, ...options } = row.options as unknown as StoredOptions;
  return { ...options, memory };
};

const sizesOf = ({ memory_in_mb, disk_in_mb, log_rate_limit_in_bytes_per_second }: DeploymentOptions) => ({
  ...(memory_in_mb !== undefined && { memory_in_mb }), ...(disk_in_mb !== undefined && { disk_in_mb }),
  ...(log_rate_limit_in_bytes_per_second !== undefined && { log_rate_limit_in_bytes_per_second }),
});

/** Begins to replace the web instances of an app; a stopped one is simply started. */
export async function createDeployment(parts: AppParts, { appGuid, dropletGuid, revisionGuid, strategy, options, metadata }: DeploymentRequest, actor: Actor): Promise<Deployment> {
  const disk = diskProblem(options.disk_in_mb, parts.limits);
  if (disk !== undefined) throw unprocessable(disk);
  const { row, fresh } = await transaction(parts.db, async (trx) => {
    const found = await lockApp(trx, appGuid);
    const { app } = found;
    const goal = revisionGuid === undefined ? undefined : await deployableRevision(trx, app, revisionGuid);
    const wanted = goal?.droplet_guid ?? dropletGuid ?? app.current_droplet_guid;
    if (wanted === null) throw unprocessable("Invalid droplet. Please specify a droplet in the request or set a current droplet for the app.");
    const droplet = await trx.selectFrom("droplets").selectAll().where("guid", "=", wanted).where("app_guid", "=", appGuid).executeTakeFirst();
    if (droplet?.state !== "STAGED") throw unprocessable("Unable to assign current droplet. Ensure the droplet exists and belongs to this app.");
    const started = app.state === "STARTED";
    const memory = await supersede(parts, trx, found);
    const before = await processesOf(trx, appGuid);
    const webs = before.filter(({ type }) => type === "web");
    const newest = webs.at(-1);
    if (!newest) throw unprocessable("The app has no web process to replace.");
    const originally = memory?.target ?? newest.instances;
    const target = options.web_instances ?? originally;
    const fresh = started ? cloneOf(newest, { ...sizesOf(options), instances: Math.min(options.max_in_flight, target) }) : undefined;
    if (started) {
      // What runs stays on the droplet it runs with, although the app's current one changes now.
      for (const { guid, droplet_guid } of before) await trx.updateTable("processes").set({ droplet_guid: droplet_guid ?? app.current_droplet_guid }).where("guid", "=", guid).execute();
    } else {
      await trx.updateTable("processes").set({ ...sizesOf(options), instances: target }).where("guid", "=", newest.guid).execute();
    }
    await useDroplet(parts, trx, found, { droplet, actor });
    const revision = goal ? await goBack(trx, found, goal, actor) : started ? await resolveRevision(trx, await lockApp(trx, appGuid), actor) : undefined;
    if (fresh && revision) Object.assign(fresh, { revision_guid: revision.guid, ...("web" in revision.commands && { command: revision.commands["web"] }) });
    if (fresh) {
      const process = await trx.insertInto("processes").values(fresh).returningAll().executeTakeFirstOrThrow();
      await checkRoom(trx, found, process, await processesOf(trx, appGuid));
      await recordUsage(trx, found, { state: "STARTED", previousState: "STOPPED", process });
    }
    const row = await trx
      .insertInto("deployments")
      .values({
        guid: randomUUID(), app_guid: appGuid, strategy, droplet_guid: droplet.guid, previous_droplet_guid: app.current_droplet_guid,
        ...(started ? { state: strategy === "canary" ? "PREPAUSED" as const : "DEPLOYING" as const, status_value: "ACTIVE" as const, status_reason: "DEPLOYING" as const }
          : { state: "DEPLOYED" as const, status_value: "FINALIZED" as const, status_reason: "DEPLOYED" as const }),
        options: json({
          ...options,
          memory: { target, before: originally, step: 1, ...(revision && { revision: { guid: revision.guid, version: revision.version } }), ...(goal && { environmentBefore: app.environment_variables }) },
        }),
        new_processes: json(fresh ? [{ guid: fresh.guid, type: "web" }] : []), ...mergedMetadata(metadata as MetadataPatch | undefined),
      })
      .returningAll()
      .executeTakeFirstOrThrow();
    await recordAppEvent(trx, found, actor, { event: "deployment.create", data: { deployment_guid: row.guid, droplet_guid: droplet.guid, strategy } });
    return { row, fresh };
  });
  parts.runtime.log(appGuid, `Creating deployment for app with guid ${appGuid}`);
  if (fresh) parts.runtime.converge([fresh.guid]);
  else await startApp(parts, appGuid, actor);
  return row;
}

/** Ends the deployment that is under way, if there is one: a newer one takes its place. */
async function supersede({ clock }: AppParts, trx: Trx, { app }: PlacedApp): Promise<DeploymentMemory | undefined> {
  const active = await trx.selectFrom("deployments").selectAll().where("app_guid", "=", app.guid).where("status_value", "=", "ACTIVE").executeTakeFirst();
  if (!active) return undefined;
  const now = new Date(clock.now());
  await trx.updateTable("deployments").set({ state: "DEPLOYED", status_value: "FINALIZED", status_reason: "SUPERSEDED", status_changed_at: now, updated_at: now }).where("guid", "=", active.guid).execute();
  return optionsOf(active).memory;
}

function cloneOf({ id: _id, created_at: _created, updated_at: _updated, labels, annotations, ...process }: ProcessRow, changes: object) {
  return { ...process, labels: json(labels), annotations: json(annotations), ...changes, guid: randomUUID(), version: randomUUID(), droplet_guid: null };
}

async function deployableRevision(trx: Trx, app: AppRow, guid: string): Promise<Revision> {
  if (!app.revisions_enabled) throw unprocessable("Cannot create deployment from a revision for an app without revisions enabled");
  const revision = await trx.selectFrom("revisions").selectAll().where("guid", "=", guid).where("app_guid", "=", app.guid).executeTakeFirst();
  if (!revision) throw unprocessable("The revision does not exist");
  return revision;
}

/** The app takes over environment and commands of the revision it goes back to. */
async function goBack(trx: Trx, found: PlacedApp, target: Revision, actor: Actor): Promise<Revision> {
  const revision = await rollbackRevision(trx, found, target, actor);
  const { guid } = found.app;
  await trx.updateTable("apps").set({ environment_variables: json(target.environment_variables) }).where("guid", "=", guid).execute();
  for (const [type, command] of Object.entries(target.commands)) await trx.updateTable("processes").set({ command }).where("app_guid", "=", guid).where("type", "=", type).execute();
  return revision;
}

async function checkRoom(trx: Trx, { app }: PlacedApp, fresh: ProcessRow, processes: readonly ProcessRow[]): Promise<void> {
  try {
    await checkQuota(trx, app, processes);
  } catch (error) {
    throw unprocessable(`${error instanceof Error ? error.message : ""}. A deployment runs old and new instances side by side and needs room for ${fresh.instances} more.`);
  }
}

/** One pass over a deployment under way; answers whether it is still under way. */
export async function advance(parts: AppParts, guid: string): Promise<boolean> {
  const { db, runtime, clock } = parts;
  const changed: string[] = [];
  const active = await transaction(db, async (trx) => {
    changed.length = 0;
    const found = await lockOwner(trx, guid);
    const row = await trx.selectFrom("deployments").selectAll().where("guid", "=", guid).where("status_value", "=", "ACTIVE").executeTakeFirst();
    if (!found || !row || row.state === "PAUSED") return false;
    const processes = await processesOf(trx, row.app_guid);
    const fresh = processes.find((process) => process.guid === row.new_processes[0]?.guid);
    const now = new Date(clock.now());
    if (!fresh) return false;
    const { memory, max_in_flight, canary } = optionsOf(row);
    const running = new Set(runtime.instances(fresh.guid).filter((each) => isServing(each) && each.version === fresh.version && each.index < fresh.instances).map(({ index }) => index)).size;
    const old = processes.filter(({ type, guid: other }) => type === "web" && other !== fresh.guid);
    const step = nextStep({
      target: memory.target, maxInFlight: max_in_flight, fresh: { instances: fresh.instances, running }, old,
      holdAtPercent: row.state === "PREPAUSED" ? (canary?.steps[memory.step - 1]?.instance_weight ?? 1) : undefined,
    });
    if (step.freshInstances !== fresh.instances) changed.push(await resize(trx, fresh.guid, step.freshInstances, now));
    for (const process of old) {
      const instances = step.old.find((each) => each.guid === process.guid)?.instances ?? 0;
      if (instances !== process.instances) changed.push(await resize(trx, process.guid, instances, now));
    }
    if (running > 0) await trx.updateTable("deployments").set({ last_healthy_at: now }).where("guid", "=", guid).execute();
    if (step.paused) await trx.updateTable("deployments").set({ state: "PAUSED", status_reason: "PAUSED", status_changed_at: now, updated_at: now }).where("guid", "=", guid).execute();
    if (!step.done) return true;
    changed.push(...(await finish(trx, found, processes, { fresh, updated_at: now })));
    await trx.updateTable("deployments").set({ state: "DEPLOYED", status_value: "FINALIZED", status_reason: "DEPLOYED", error: null, status_changed_at: now, updated_at: now }).where("guid", "=", guid).execute();
    return false;
  });
  if (changed.length > 0) runtime.converge(changed);
  return active;
}

async function resize(trx: Trx, guid: string, instances: number, updated_at: Date): Promise<string> {
  await trx.updateTable("processes").set({ instances, updated_at }).where("guid", "=", guid).execute();
  return guid;
}

/** The new web process is the only one now; the others of the app take up the new droplet. Answers whose state changed. */
async function finish(trx: Trx, found: PlacedApp, processes: readonly ProcessRow[], { fresh, updated_at }: { fresh: ProcessRow; updated_at: Date }): Promise<string[]> {
  const changed: string[] = [];
  for (const process of processes) {
    if (process.guid === fresh.guid) continue;
    changed.push(process.guid);
    if (process.type === "web") {
      await trx.deleteFrom("processes").where("guid", "=", process.guid).execute();
      await recordUsage(trx, found, { state: "STOPPED", previousState: "STARTED", process });
    } else await trx.updateTable("processes").set({ droplet_guid: null, revision_guid: fresh.revision_guid, version: randomUUID(), updated_at }).where("guid", "=", process.guid).execute();
  }
  return changed;
}

/** Goes back: the old web process gets its instances and the app its droplet again. @throws CfError when it has ended */
export async function cancelDeployment(parts: AppParts, guid: string, actor: Actor): Promise<void> {
  const { db, runtime, clock } = parts;
  const { changed, appGuid } = await transaction(db, async (trx) => {
    const { row, found } = await lockActive(trx, guid, "cancel");
    const now = new Date(clock.now());
    const { memory } = optionsOf(row);
    const freshGuid = row.new_processes[0]?.guid;
    const processes = await processesOf(trx, row.app_guid);
    const back = processes.filter(({ type, guid: other }) => type === "web" && other !== freshGuid).at(-1);
    for (const process of processes) {
      if (process.type === "web" && process.guid !== back?.guid) {
        await trx.deleteFrom("processes").where("guid", "=", process.guid).execute();
        await recordUsage(trx, found, { state: "STOPPED", previousState: "STARTED", process });
      } else await trx.updateTable("processes").set({ droplet_guid: null, ...(process.guid === back?.guid && { instances: memory.before }), updated_at: now }).where("guid", "=", process.guid).execute();
    }
    // Where a superseded deployment was half done, its own droplet is what its process runs.
    const droplet = back?.droplet_guid ?? row.previous_droplet_guid;
    await trx.updateTable("apps").set({ current_droplet_guid: droplet, ...(memory.environmentBefore && { environment_variables: json(memory.environmentBefore) }), updated_at: now }).where("guid", "=", row.app_guid).execute();
    await trx.updateTable("deployments").set({ state: "CANCELED", status_value: "FINALIZED", status_reason: "CANCELED", status_changed_at: now, updated_at: now }).where("guid", "=", guid).execute();
    await recordAppEvent(trx, found, actor, { event: "deployment.cancel", data: { deployment_guid: guid, droplet_guid: droplet } });
    return { changed: processes.map((process) => process.guid), appGuid: row.app_guid };
  });
  runtime.log(appGuid, `Cancelling deployment for app with guid ${appGuid}`);
  runtime.converge(changed);
}

/** Lets a paused canary deployment go to its next step, or to the end. @throws CfError when it is not paused */
export async function continueDeployment(parts: AppParts, guid: string, actor: Actor): Promise<void> {
  const appGuid = await transaction(parts.db, async (trx) => {
    const { row, found } = await lockActive(trx, guid, "continue");
    if (row.state !== "PAUSED") throw unprocessable(`Cannot continue a deployment with status: ${row.status_value} and reason: ${row.status_reason}`);
    const { memory, canary, ...options } = optionsOf(row);
    const more = memory.step < (canary?.steps.length ?? 0);
    const now = new Date(parts.clock.now());
    await trx
      .updateTable("deployments")
      .set({ state: more ? "PREPAUSED" : "DEPLOYING", status_reason: "DEPLOYING", status_changed_at: now, updated_at: now, options: json({ ...options, canary, memory: { ...memory, step: more ? memory.step + 1 : memory.step } }) })
      .where("guid", "=", guid)
      .execute();
    await recordAppEvent(trx, found, actor, { event: "deployment.continue", data: { deployment_guid: guid } });
    return row.app_guid;
  });
  parts.runtime.log(appGuid, `Continuing deployment for app with guid ${appGuid}`);
}

/** Every change of a deployment happens under the lock of its app: one lock, one order. */
async function lockOwner(trx: Trx, guid: string): Promise<PlacedApp | undefined> {
  const row = await trx.selectFrom("deployments").select("app_guid").where("guid", "=", guid).executeTakeFirst();
  return row && (await findApp(trx, row.app_guid, { lock: true }));
}

async function lockActive(trx: Trx, guid: string, verb: string): Promise<{ row: Deployment; found: PlacedApp }> {
  const found = await lockOwner(trx, guid);
  if (!found) throw notFound("Deployment");
  const row = await trx.selectFrom("deployments").selectAll().where("guid", "=", guid).executeTakeFirstOrThrow();
  if (row.status_value !== "ACTIVE") throw unprocessable(`Cannot ${verb} a ${row.status_reason} deployment`);
  return { row, found };
}
