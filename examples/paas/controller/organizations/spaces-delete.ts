import { transaction } from "../../database.ts";
import { recordAudit, type Actor } from "../api/audit.ts";
import type { Context } from "../api/context.ts";
import { CfError } from "../api/errors.ts";
import type { RowOf } from "../data/schema.ts";

/** Removes a space with all that is in it: apps first, so that nothing of them goes on running, then services, then the rest. */
export async function deleteSpace({ db, hooks }: Context, space: RowOf<"spaces">, actor: Actor): Promise<void> {
  await db.updateTable("spaces").set({ deleting: true }).where("guid", "=", space.guid).execute();
  try {
    const apps = await db.selectFrom("apps").selectAll().where("space_guid", "=", space.guid).orderBy("id").execute();
    for (const app of apps) await hooks.deleteApp(app, actor);
    await hooks.deleteSpaceServices(space.guid, actor);
    await transaction(db, async (trx) => {
      await trx.deleteFrom("spaces").where("guid", "=", space.guid).execute();
      await recordAudit(trx, {
        type: "audit.space.delete-request", actor, target: { guid: space.guid, type: "space", name: space.name }, data: { request: { recursive: true } },
        spaceGuid: space.guid, organizationGuid: space.organization_guid,
      });
    });
  } catch (error) {
    await db.updateTable("spaces").set({ deleting: false }).where("guid", "=", space.guid).execute();
    throw new CfError("SpaceDeletionFailed", `Deletion of space ${space.name} failed: ${error instanceof CfError ? error.message : "an unknown error occurred"}`, { cause: error });
  }
}
