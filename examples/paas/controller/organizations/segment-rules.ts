import { transaction, type Database } from "../../database.ts";
import { notFound, unprocessable } from "../api/errors.ts";
import type { ControllerTables, RowOf } from "../data/schema.ts";

export type Segment = RowOf<"isolation_segments">;

/** The segment that every Cloud Foundry has, with the same guid everywhere: the executors that belong to none. */
export const sharedSegmentGuid = "933b4c58-120b-499a-b85d-4b6fc9e2903b";

/** The segment, held until the transaction ends, so that it is not given away and taken back at the same time. @throws CfError 404 */
export async function lockSegment(trx: Database<ControllerTables>, guid: string): Promise<Segment> {
  const row = await trx.selectFrom("isolation_segments").selectAll().where("guid", "=", guid).forUpdate().executeTakeFirst();
  if (!row) throw notFound("Isolation segment");
  return row;
}

interface Assignment {
  organizationGuid: string;
  /** Null: none any more. */
  segmentGuid: string | null;
  /** Which organization it must be entitled to, in words. */
  owner: string;
}

/** Writes a segment to an organization or a space, if the organization may use it. @throws CfError 422 */
export async function assignSegment(db: Database<ControllerTables>, { organizationGuid, segmentGuid, owner }: Assignment, write: (trx: Database<ControllerTables>) => Promise<unknown>): Promise<void> {
  await transaction(db, async (trx) => {
    if (segmentGuid !== null) {
      const refusal = unprocessable(`Unable to assign isolation segment with guid '${segmentGuid}'. Ensure it has been entitled to ${owner}.`);
      await lockSegment(trx, segmentGuid).catch(() => { throw refusal; });
      const entitled = await trx.selectFrom("isolation_segment_entitlements").select("organization_guid")
        .where("isolation_segment_guid", "=", segmentGuid).where("organization_guid", "=", organizationGuid).executeTakeFirst();
      if (!entitled) throw refusal;
    }
    await write(trx);
  });
}
