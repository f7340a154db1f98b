import { randomUUID } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { processesOf, recordAppEvent, type AppRow, type PlacedApp, type Trx } from "./app-parts.ts";
import type { Actor } from "../api/audit.ts";
import { unprocessable } from "../api/errors.ts";
import { json, type RowOf } from "../data/schema.ts";

export type Revision = RowOf<"revisions">;

/** What makes one start of an app different from another. */
export interface Deployable {
  droplet_guid: string;
  environment_variables: Record<string, string>;
  commands: Record<string, string | null>;
  sidecars: Revision["sidecars"];
}

/** Revisions kept per app. */
const maxRevisions = 100;

/** What changed between two starts, in the words of a revision's description. */
export function revisionReasons(before: Deployable, after: Deployable): string[] {
  const reasons: string[] = [];
  if (before.droplet_guid !== after.droplet_guid) reasons.push("New droplet deployed.");
  if (!isDeepStrictEqual(sorted(before.environment_variables), sorted(after.environment_variables))) reasons.push("New environment variables deployed.");
  for (const type of new Set([...Object.keys(before.commands), ...Object.keys(after.commands)])) {
    const [old, now] = [before.commands[type], after.commands[type]];
    if (old === now) continue;
    if (old === undefined) reasons.push(`New process type '${type}' added.`);
    else if (now === undefined) reasons.push(`Process type '${type}' removed.`);
    else reasons.push(`Custom start command ${old === null ? "added" : now === null ? "removed" : "updated"} for '${type}' process.`);
  }
  if (!isDeepStrictEqual(byName(before.sidecars), byName(after.sidecars))) reasons.push("Sidecars updated.");
  return reasons.sort();
}

const sorted = (map: Record<string, string>) => Object.entries(map).sort(([a], [b]) => (a < b ? -1 : 1));
const byName = (sidecars: Deployable["sidecars"]) => [...sidecars].map(({ name, command, process_types, memory_in_mb }) => ({ name, command, process_types, memory_in_mb })).sort((a, b) => (a.name < b.name ? -1 : 1));

/** The app as it would be started now. */
async function deployableOf(trx: Trx, app: AppRow, dropletGuid: string): Promise<Deployable> {
  const processes = await processesOf(trx, app.guid);
  const sidecars = await trx.selectFrom("sidecars").select(["name", "command", "process_types", "memory_in_mb"]).where("app_guid", "=", app.guid).orderBy("name").execute();
  return { droplet_guid: dropletGuid, environment_variables: app.environment_variables, commands: Object.fromEntries(processes.map(({ type, command }) => [type, command])), sidecars };
}

export const latestRevision = (trx: Trx, appGuid: string): Promise<Revision | undefined> =>
  trx.selectFrom("revisions").selectAll().where("app_guid", "=", appGuid).orderBy("version", "desc").limit(1).executeTakeFirst();

/** The revision a start of the app belongs to: the latest one when nothing changed since, else a new one. None where they are switched off. */
export async function resolveRevision(trx: Trx, found: PlacedApp, actor: Actor): Promise<Revision | undefined> {
  const { app } = found;
  if (!app.revisions_enabled || app.current_droplet_guid === null) return undefined;
  const now = await deployableOf(trx, app, app.current_droplet_guid);
  const latest = await latestRevision(trx, app.guid);
  const reasons = latest ? revisionReasons(latest, now) : ["Initial revision."];
  return latest && reasons.length === 0 ? latest : createRevision(trx, found, actor, { ...now, version: (latest?.version ?? 0) + 1, description: reasons.join(" ") });
}

/** A new revision that is an old one again. @throws CfError when it is what runs already */
export async function rollbackRevision(trx: Trx, found: PlacedApp, target: Revision, actor: Actor): Promise<Revision> {
  const latest = await latestRevision(trx, found.app.guid);
  const reasons = latest ? revisionReasons(latest, target) : [];
  if (!latest || reasons.length === 0) throw unprocessable("Unable to rollback. The code and configuration you are rolling back to is the same as the deployed revision.");
  const { droplet_guid, environment_variables, commands, sidecars } = target;
  return createRevision(trx, found, actor, { droplet_guid, environment_variables, commands, sidecars, version: latest.version + 1, description: [...reasons, `Rolled back to revision ${target.version}.`].join(" ") });
}

async function createRevision(trx: Trx, found: PlacedApp, actor: Actor, { environment_variables, commands, sidecars, ...rest }: Deployable & { version: number; description: string }): Promise<Revision> {
  const { guid: app_guid } = found.app;
  const row = await trx
    .insertInto("revisions")
    .values({ guid: randomUUID(), app_guid, environment_variables: json(environment_variables), commands: json(commands), sidecars: json(sidecars), ...rest })
    .returningAll()
    .executeTakeFirstOrThrow();
  await trx.deleteFrom("revisions").where("app_guid", "=", app_guid).where("version", "<=", row.version - maxRevisions).execute();
  await recordAppEvent(trx, found, actor, { event: "revision.create", data: { revision_guid: row.guid, revision_version: row.version } });
  return row;
}
