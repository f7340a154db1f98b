import { sql } from "kysely";
import { transaction } from "../../database.ts";
import type { RouteModule } from "../api/context.ts";
import { notAuthorized, unprocessable } from "../api/errors.ts";
import { noContent, type Call } from "../api/http.ts";
import { links, toManyData } from "../api/present.ts";
import { nameIn } from "../api/query.ts";
import { toMany } from "../api/validate.ts";
import { presentOrganization } from "./orgs.ts";
import { lockSegment } from "./segment-rules.ts";
import { findSegment } from "./segments.ts";

/** Which organizations may use a segment, and which spaces do. */
export const segmentEntitlementRoutes: RouteModule = (api, { db }) => {
  const linksOf = (call: Call, what: "organizations" | "spaces"): object => {
    const self = `/v3/isolation_segments/${call.guid}`;
    return { links: links(call.urls.api, { self: `${self}/relationships/${what}`, ...(what === "organizations" && { related: `${self}/organizations` }) }) };
  };
  const organizationGuids = async ({ access, guid }: Call): Promise<string[]> => {
    const rows = await db.selectFrom("isolation_segment_entitlements").select("organization_guid").where("isolation_segment_guid", "=", guid).orderBy("organization_guid").execute();
    return rows.map((row) => row.organization_guid).filter((organizationGuid) => access.can("organization.read", { organizationGuid }));
  };

  api.list("/v3/isolation_segments/:guid/organizations", {
    table: "organizations",
    filters: { names: nameIn("organizations.name") },
    orderBy: ["name"],
    scope: async (call) => {
      const { guid } = await findSegment(db, call);
      return [
        sql<boolean>`organizations.guid IN (SELECT organization_guid FROM isolation_segment_entitlements WHERE isolation_segment_guid = ${guid})`,
        call.access.visible("organization.read", { organization: sql.ref("organizations.guid") }),
      ];
    },
    present: (rows, { urls }) => rows.map((row) => presentOrganization(row, urls.api)),
  });

  api.get("/v3/isolation_segments/:guid/relationships/organizations", async (call) => {
    await findSegment(db, call);
    return { ...toManyData(await organizationGuids(call)), ...linksOf(call, "organizations") };
  });

  api.get("/v3/isolation_segments/:guid/relationships/spaces", async (call) => {
    const { guid } = await findSegment(db, call);
    const rows = await db.selectFrom("spaces").select(["guid", "organization_guid"]).where("isolation_segment_guid", "=", guid).orderBy("id").execute();
    const readable = rows.filter((row) => call.access.can("space.read", { organizationGuid: row.organization_guid, spaceGuid: row.guid }));
    return { ...toManyData(readable.map((row) => row.guid)), ...linksOf(call, "spaces") };
  });

  api.post("/v3/isolation_segments/:guid/relationships/organizations", { body: toMany }, async (call) => {
    await findSegment(db, call);
    if (!call.access.isAdmin) throw notAuthorized();
    const guids = [...new Set(call.body.data.map(({ guid }) => guid))];
    await transaction(db, async (trx) => {
      await lockSegment(trx, call.guid);
      const known = guids.length === 0 ? [] : await trx.selectFrom("organizations").select("guid").where("guid", "in", guids).forUpdate().execute();
      const missing = guids.filter((guid) => !known.some((each) => each.guid === guid));
      if (missing.length > 0) throw unprocessable(`Unable to entitle organizations [${missing.join(", ")}] for isolation segment. Ensure the organizations exist.`);
      for (const guid of guids)
        await trx.insertInto("isolation_segment_entitlements").values({ isolation_segment_guid: call.guid, organization_guid: guid }).onConflict((conflict) => conflict.doNothing()).execute();
    });
    return { ...toManyData(await organizationGuids(call)), ...linksOf(call, "organizations") };
  });

  api.delete("/v3/isolation_segments/:guid/relationships/organizations/:organization", async (call) => {
    await findSegment(db, call);
    if (!call.access.isAdmin) throw notAuthorized();
    const organizationGuid = call.param("organization");
    await transaction(db, async (trx) => {
      const segment = await lockSegment(trx, call.guid);
      const organization = await trx.selectFrom("organizations").select("default_isolation_segment_guid").where("guid", "=", organizationGuid).executeTakeFirst();
      if (!organization) throw unprocessable(`Unable to remove the entitlement of organization '${organizationGuid}'. Ensure the organization exists.`);
      if (organization.default_isolation_segment_guid === segment.guid)
        throw unprocessable("Cannot remove the entitlement while this Isolation Segment is assigned as the Default Isolation Segment for the Organization.");
      const spaces = await trx.selectFrom("spaces").select("name").where("organization_guid", "=", organizationGuid).where("isolation_segment_guid", "=", segment.guid).orderBy("name").execute();
      if (spaces.length > 0)
        throw unprocessable(`Cannot remove the entitlement while this Isolation Segment is assigned to any Spaces. Currently assigned to: [${spaces.map(({ name }) => `'${name}'`).join(", ")}]`);
      await trx.deleteFrom("isolation_segment_entitlements").where("isolation_segment_guid", "=", segment.guid).where("organization_guid", "=", organizationGuid).execute();
    });
    return noContent();
  });
};
