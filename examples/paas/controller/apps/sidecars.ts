import { randomUUID } from "node:crypto";
import { sql } from "kysely";
import { transaction, uniqueViolation } from "../../database.ts";
import type { Permission } from "../api/access.ts";
import { demandApp, demandPart } from "./app-access.ts";
import { lockApp, type AppParts, type Trx } from "./app-parts.ts";
import { presentSidecar } from "./app-present.ts";
import { checkBody } from "../api/checks.ts";
import { taken, unprocessable } from "../api/errors.ts";
import { created, noContent, type Api, type Call } from "../api/http.ts";
import { json, type RowOf } from "../data/schema.ts";

export interface SidecarChange {
  name?: string;
  command?: string;
  processTypes?: string[];
  memoryMb?: number | null;
}

function readSidecar(body: unknown, { required }: { required: boolean }): SidecarChange {
  const checks = checkBody(body, ["name", "command", "process_types", "memory_in_mb"]);
  const name = checks.text("name", { required, max: 255 });
  const command = checks.text("command", { required, max: 4096 });
  if (name === "") checks.add("Name can't be blank");
  if (command === "") checks.add("Command can't be blank");
  const memoryMb = checks.integer("memory_in_mb", { min: 1 });
  const types = (body as { process_types?: unknown } | undefined)?.process_types;
  if (types !== undefined || required) {
    if (!Array.isArray(types)) checks.add("Process types must be an array");
    else if (types.length === 0 || types.some((type) => typeof type !== "string")) checks.add("Process types must have at least 1 process_type");
  }
  if (checks.problems.length > 0) throw unprocessable(checks.problems.join(", "));
  return {
    ...(typeof name === "string" && { name }), ...(typeof command === "string" && { command }),
    ...(Array.isArray(types) && { processTypes: types as string[] }), ...(memoryMb !== undefined && { memoryMb }),
  };
}

/** Creates a sidecar of an app, or changes the one of that name. @throws CfError when its processes have no room for it */
export async function putSidecar(trx: Trx, appGuid: string, { name, command, processTypes, memoryMb = null }: Required<Omit<SidecarChange, "memoryMb">> & SidecarChange): Promise<RowOf<"sidecars">> {
  await demandRoom(trx, appGuid, { name, processTypes, memoryMb });
  return trx
    .insertInto("sidecars")
    .values({ guid: randomUUID(), app_guid: appGuid, name, command, process_types: json(processTypes), memory_in_mb: memoryMb, origin: "user" })
    .onConflict((conflict) => conflict.columns(["app_guid", "name"]).doUpdateSet({ command, process_types: json(processTypes), memory_in_mb: memoryMb, origin: "user", updated_at: sql`now()` }))
    .returningAll()
    .executeTakeFirstOrThrow();
}

async function demandRoom(trx: Trx, appGuid: string, { name, processTypes: types, memoryMb }: { name: string; processTypes: readonly string[]; memoryMb: number | null }): Promise<void> {
  const others = await trx.selectFrom("sidecars").selectAll().where("app_guid", "=", appGuid).where("name", "!=", name).execute();
  const processes = await trx.selectFrom("processes").select(["type", "memory_in_mb"]).where("app_guid", "=", appGuid).where("type", "in", [...types, ""]).execute();
  for (const process of processes) {
    const used = others.filter(({ process_types }) => process_types.includes(process.type)).reduce((sum, { memory_in_mb }) => sum + (memory_in_mb ?? 0), 0);
    if (memoryMb !== null && used + memoryMb >= process.memory_in_mb)
      throw unprocessable(`The memory allocation defined is too large to run with the dependent "${process.type}" process`);
  }
}

/** `/v3/sidecars` and `/v3/apps/:guid/sidecars`. */
export function sidecarRoutes(api: Api, { db }: AppParts): void {
  api.list("/v3/apps/:guid/sidecars", {
    table: "sidecars",
    labels: false,
    scope: async (call) => {
      await demandApp(db, call, call.guid);
      return [sql<boolean>`sidecars.app_guid = ${call.guid}`];
    },
    present: (rows) => rows.map(presentSidecar),
  });

  api.post("/v3/apps/:guid/sidecars", async (call) => {
    await demandApp(db, call, call.guid, { write: "app.write" });
    const { name = "", command = "", processTypes = [], memoryMb = null } = readSidecar(call.body, { required: true });
    const row = await transaction(db, async (trx) => {
      await lockApp(trx, call.guid);
      const existing = await trx.selectFrom("sidecars").select("guid").where("app_guid", "=", call.guid).where("name", "=", name).executeTakeFirst();
      if (existing) throw unprocessable(`Sidecar with name '${name}' already exists for given app`);
      return putSidecar(trx, call.guid, { name, command, processTypes, memoryMb });
    });
    return created(presentSidecar(row));
  });

  const find = async (call: Call, write?: Permission) => (await demandPart(db, call, { row: await db.selectFrom("sidecars").selectAll().where("guid", "=", call.guid).executeTakeFirst(), type: "Sidecar", write })).row;
  api.get("/v3/sidecars/:guid", async (call) => presentSidecar(await find(call)));
  api.patch("/v3/sidecars/:guid", async (call) => {
    const before = await find(call, "app.write");
    const { name = before.name, command = before.command, processTypes = before.process_types, memoryMb = before.memory_in_mb } = readSidecar(call.body, { required: false });
    const row = await transaction(db, async (trx) => {
      await demandRoom(trx, before.app_guid, { name: before.name, processTypes, memoryMb });
      return trx.updateTable("sidecars").set({ name, command, process_types: json(processTypes), memory_in_mb: memoryMb, updated_at: sql`now()` }).where("guid", "=", before.guid).returningAll().executeTakeFirstOrThrow();
    }).catch((error: unknown) => {
      throw uniqueViolation(error) === undefined ? error : taken(`Sidecar with name '${name}' already exists for given app`);
    });
    return presentSidecar(row);
  });
  api.delete("/v3/sidecars/:guid", async (call) => {
    const { guid } = await find(call, "app.write");
    await db.deleteFrom("sidecars").where("guid", "=", guid).execute();
    return noContent();
  });
}
