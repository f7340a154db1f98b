import { demand, type Access, type Permission } from "../api/access.ts";
import { findApp, type PlacedApp, type Trx } from "./app-parts.ts";
import { notFound } from "../api/errors.ts";

interface Caller {
  readonly access: Access;
}

/** The app, when the caller may read it and (given `write`) do that to it. @throws CfError 404 or 403 */
export async function demandApp(db: Trx, { access }: Caller, guid: string, { write, type = "App" }: { write?: Permission | undefined; type?: string } = {}): Promise<PlacedApp> {
  const found = await findApp(db, guid);
  if (!found) throw notFound(type);
  demand(access, { read: "app.read", ...(write && { write }), place: found.place, type });
  return found;
}

/** The same for something that belongs to an app, with the thing's own name in the 404. */
export async function demandPart<Row extends { app_guid: string }>(
  db: Trx, caller: Caller, { row, type, write }: { row: Row | undefined; type: string; write?: Permission | undefined },
): Promise<{ row: Row; found: PlacedApp }> {
  if (!row) throw notFound(type);
  return { row, found: await demandApp(db, caller, row.app_guid, { write, type }) };
}
