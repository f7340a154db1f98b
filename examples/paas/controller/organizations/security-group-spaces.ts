import { sql } from "kysely";
import { transaction } from "../../database.ts";
import { demandActive, placeOfSpace } from "../api/access.ts";
import type { RouteModule } from "../api/context.ts";
import { notAuthorized, notFound, unprocessable } from "../api/errors.ts";
import { noContent } from "../api/http.ts";
import { links, toManyData } from "../api/present.ts";
import { nameIn } from "../api/query.ts";
import { toMany } from "../api/validate.ts";
import { startedIn } from "./security-group-reach.ts";
import { findGroup, lifecycles, presentGroups } from "./security-groups.ts";

/** Which groups hold in which spaces. Who may change a space may bind groups to it that they may read. */
export const securityGroupSpaceRoutes: RouteModule = (api, { db, hooks }) => {
  for (const lifecycle of lifecycles) {
    const path = `/v3/security_groups/:guid/relationships/${lifecycle}_spaces`;
    const changed = async (spaceGuids: readonly string[]): Promise<void> => {
      if (lifecycle === "running") hooks.onRoutesChanged(await startedIn(db, spaceGuids));
    };

    api.list(`/v3/spaces/:guid/${lifecycle}_security_groups`, {
      table: "security_groups",
      labels: false,
      filters: { names: nameIn("security_groups.name") },
      orderBy: ["name"],
      scope: async ({ access, guid }) => {
        const place = await placeOfSpace(db, guid);
        if (!place || !access.can("space.read", place)) throw notFound("Space");
        return [sql<boolean>`(${sql.ref(`security_groups.${lifecycle}_default`)} OR security_groups.guid IN (SELECT security_group_guid FROM security_group_spaces WHERE lifecycle = ${lifecycle} AND space_guid = ${guid}))`];
      },
      present: (rows, call) => presentGroups(db, rows, call),
    });

    api.post(path, { body: toMany }, async (call) => {
      const group = await findGroup(db, call);
      const guids = [...new Set(call.body.data.map(({ guid }) => guid))];
      const unknown: string[] = [];
      for (const guid of guids) {
        const place = await placeOfSpace(db, guid);
        if (!place || !call.access.can("space.read", place)) unknown.push(guid);
        else if (!call.access.can("space.update", place)) throw notAuthorized();
        else demandActive(call.access, place);
      }
      if (unknown.length > 0) throw unprocessable(`Spaces with guids ${JSON.stringify(unknown)} do not exist, or you do not have access to them.`);
      await transaction(db, async (trx) => {
        for (const guid of guids)
          await trx.insertInto("security_group_spaces").values({ security_group_guid: group.guid, space_guid: guid, lifecycle }).onConflict((conflict) => conflict.doNothing()).execute();
      });
      await changed(guids);
      const bound = await db.selectFrom("security_group_spaces").innerJoin("spaces", "spaces.guid", "security_group_spaces.space_guid").select(["spaces.guid", "spaces.organization_guid"])
        .where("security_group_guid", "=", group.guid).where("lifecycle", "=", lifecycle).orderBy("spaces.id").execute();
      const readable = bound.filter((each) => call.access.can("space.read", { organizationGuid: each.organization_guid, spaceGuid: each.guid }));
      return { ...toManyData(readable.map(({ guid }) => guid)), links: links(call.urls.api, { self: `/v3/security_groups/${group.guid}/relationships/${lifecycle}_spaces` }) };
    });

    api.delete(`${path}/:space`, async (call) => {
      const group = await findGroup(db, call);
      const space = call.param("space");
      const place = await placeOfSpace(db, space);
      const gone = !place || !call.access.can("space.read", place) ? [] : await (async () => {
        if (!call.access.can("space.update", place)) throw notAuthorized();
        demandActive(call.access, place);
        return db.deleteFrom("security_group_spaces").where("security_group_guid", "=", group.guid).where("space_guid", "=", space).where("lifecycle", "=", lifecycle).returning("space_guid").execute();
      })();
      if (gone.length === 0) throw unprocessable(`Unable to unbind security group from space with guid '${space}'. Ensure the space exists and the security group is bound to this space.`);
      await changed([space]);
      return noContent();
    });
  }
};
