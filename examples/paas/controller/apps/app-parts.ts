import type { Kysely, Transaction } from "kysely";
import type { BlobClient } from "../../blobstore/client.ts";
import { placeOfSpace, type SpacePlace } from "../api/access.ts";
import type { AppLimits } from "./app-limits.ts";
import type { AppServices } from "./app-services.ts";
import { recordAudit, type Actor } from "../api/audit.ts";
import type { Context } from "../api/context.ts";
import { notFound } from "../api/errors.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { ControllerTables, RowOf } from "../data/schema.ts";
import type { Waiting } from "../api/waiting.ts";

/** Everything the app side of the controller works with. */
export interface AppParts extends Context {
  readonly runtime: Runtime;
  readonly blobs: BlobClient;
  readonly services: AppServices;
  readonly waiting: Waiting;
  readonly limits: AppLimits;
  /** Folder for uploads under way. Emptied at the start. */
  readonly tempDir: string;
  /** The API's address as apps see it. */
  readonly apiUrl: string;
}

export type Trx = Transaction<ControllerTables> | Kysely<ControllerTables>;
export type AppRow = RowOf<"apps">;
export type ProcessRow = RowOf<"processes">;

/** An app with where it lives. */
export interface PlacedApp {
  readonly app: AppRow;
  readonly place: SpacePlace;
}

/** Reads an app and its place; with `lock`, nobody else changes the app until the transaction ends. */
export async function findApp(db: Trx, guid: string, { lock = false } = {}): Promise<PlacedApp | undefined> {
  let query = db.selectFrom("apps").selectAll().where("guid", "=", guid);
  if (lock) query = query.forUpdate();
  const app = await query.executeTakeFirst();
  if (!app) return undefined;
  const place = await placeOfSpace(db, app.space_guid);
  return place && { app, place };
}

/** The app, locked until the transaction ends. @throws CfError `App not found` */
export async function lockApp(trx: Trx, guid: string): Promise<PlacedApp> {
  const found = await findApp(trx, guid, { lock: true });
  if (!found) throw notFound("App");
  return found;
}

/** Processes of an app, oldest first. */
export const processesOf = (db: Trx, appGuid: string): Promise<ProcessRow[]> =>
  db.selectFrom("processes").selectAll().where("app_guid", "=", appGuid).orderBy("id").execute();

export interface AppEvent {
  /** The part after `audit.app.`. */
  event: string;
  data?: Record<string, unknown>;
}

/** Writes an event of an app. */
export function recordAppEvent(db: Trx, { app, place }: PlacedApp, actor: Actor, { event, data = {} }: AppEvent): Promise<void> {
  return recordAudit(db, {
    type: `audit.app.${event}`, actor, target: { guid: app.guid, type: "app", name: app.name }, data,
    spaceGuid: app.space_guid, organizationGuid: place.organizationGuid,
  });
}
