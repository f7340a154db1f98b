import { randomUUID } from "node:crypto";
import { sql } from "kysely";
import { transaction, uniqueViolation, type Database } from "../../database.ts";
import type { RouteModule } from "../api/context.ts";
import { notAuthorized, notFound, unprocessable } from "../api/errors.ts";
import { created, noContent, type Call } from "../api/http.ts";
import { links, mergedMetadata, metadataOf, standard } from "../api/present.ts";
import { nameIn, where, type Condition } from "../api/query.ts";
import { metadata, shape, Type } from "../api/validate.ts";
import type { ControllerTables } from "../data/schema.ts";
import { lockSegment, sharedSegmentGuid, type Segment } from "./segment-rules.ts";

export function presentSegment(row: Segment, base: string): object {
  const self = `/v3/isolation_segments/${row.guid}`;
  return { ...standard(row), name: row.name, ...metadataOf(row), links: links(base, { self, organizations: `${self}/organizations` }) };
}

/** Segments of the organizations that the caller may read; undefined: all. */
const visible = ({ access }: Pick<Call, "access">): Condition | undefined => {
  const readable = access.visible("organization.read", { organization: sql.ref("isolation_segment_entitlements.organization_guid") });
  return readable && sql<boolean>`isolation_segments.guid IN (SELECT isolation_segment_guid FROM isolation_segment_entitlements WHERE ${readable})`;
};

/** The segment, if the caller may read it. @throws CfError 404 */
export async function findSegment(db: Database<ControllerTables>, call: Pick<Call, "access" | "guid">): Promise<Segment> {
  const row = await db.selectFrom("isolation_segments").selectAll().where("guid", "=", call.guid).where(visible(call) ?? sql<boolean>`true`).executeTakeFirst();
  if (!row) throw notFound("Isolation segment");
  return row;
}

/** What can be printed, and something of it visible. */
const name = Type.String({ minLength: 1, maxLength: 255 });
const createBody = shape({ name, metadata: Type.Optional(metadata) });
const patchBody = shape({ name: Type.Optional(name), metadata: Type.Optional(metadata) });

function demandName(text: string | undefined): void {
  if (text !== undefined && (text.trim() === "" || /\p{Cc}/u.test(text))) throw unprocessable("Isolation Segment names can only contain non-blank unicode characters");
}
const nameTaken = (error: unknown): never => {
  throw uniqueViolation(error) === "isolation_segments_name" ? unprocessable("Isolation Segment names are case insensitive and must be unique") : error;
};

/** Isolation segments: executors of their own for the apps of some spaces. Everyone reads those of their organizations, admins write them. */
export const segmentRoutes: RouteModule = (api, { db }) => {
  api.list("/v3/isolation_segments", {
    table: "isolation_segments",
    filters: {
      names: nameIn("isolation_segments.name"),
      organization_guids: where((guids) => sql`isolation_segments.guid IN (SELECT isolation_segment_guid FROM isolation_segment_entitlements WHERE organization_guid = ANY(${guids}))`),
    },
    orderBy: ["name"],
    scope: (call) => [visible(call)],
    present: (rows, { urls }) => rows.map((row) => presentSegment(row, urls.api)),
  });

  api.get("/v3/isolation_segments/:guid", async (call) => presentSegment(await findSegment(db, call), call.urls.api));

  api.post("/v3/isolation_segments", { body: createBody }, async ({ access, body, urls }) => {
    if (!access.isAdmin) throw notAuthorized();
    demandName(body.name);
    const row = await db.insertInto("isolation_segments").values({ guid: randomUUID(), name: body.name, ...mergedMetadata(body.metadata) })
      .returningAll().executeTakeFirstOrThrow().catch(nameTaken);
    return created(presentSegment(row, urls.api));
  });

  api.patch("/v3/isolation_segments/:guid", { body: patchBody }, async (call) => {
    const { access, body, urls } = call;
    const row = await findSegment(db, call);
    if (!access.isAdmin) throw notAuthorized();
    if (row.guid === sharedSegmentGuid) throw unprocessable(`Cannot update the ${row.name} Isolation Segment`);
    demandName(body.name);
    const after = await db.updateTable("isolation_segments").set({ ...(body.name !== undefined && { name: body.name }), ...mergedMetadata(body.metadata, row), updated_at: new Date() })
      .where("guid", "=", row.guid).returningAll().executeTakeFirstOrThrow().catch(nameTaken);
    return presentSegment(after, urls.api);
  });

  api.delete("/v3/isolation_segments/:guid", async (call) => {
    const { guid, name: called } = await findSegment(db, call);
    if (!call.access.isAdmin) throw notAuthorized();
    if (guid === sharedSegmentGuid) throw unprocessable(`Cannot delete the ${called} Isolation Segment`);
    await transaction(db, async (trx) => {
      await lockSegment(trx, guid);
      const entitled = await trx.selectFrom("isolation_segment_entitlements").select("organization_guid").where("isolation_segment_guid", "=", guid).limit(1).executeTakeFirst();
      if (entitled) throw unprocessable("Revoke the Organization entitlements for your Isolation Segment.");
      await trx.deleteFrom("isolation_segments").where("guid", "=", guid).execute();
    });
    return noContent();
  });
};
