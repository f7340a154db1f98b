import type { Kysely } from "kysely";
import type { ControllerTables, SecurityGroupRule } from "../data/schema.ts";

/** What apps may reach, by the guid of their space: the rules of all groups that hold for it, in the order in which the groups were made. */
export async function reachOf(db: Kysely<ControllerTables>, spaceGuids: readonly string[]): Promise<Map<string, SecurityGroupRule[]>> {
  const reach = new Map<string, SecurityGroupRule[]>(spaceGuids.map((guid) => [guid, []]));
  if (reach.size === 0) return reach;
  const [groups, bindings] = await Promise.all([
    db.selectFrom("security_groups").select(["guid", "rules", "running_default"]).orderBy("id").execute(),
    db.selectFrom("security_group_spaces").select(["security_group_guid", "space_guid"]).where("lifecycle", "=", "running").where("space_guid", "in", [...reach.keys()]).execute(),
  ]);
  const bound = new Set(bindings.map(({ security_group_guid, space_guid }) => `${security_group_guid} ${space_guid}`));
  for (const { guid, rules, running_default } of groups)
    for (const [space, list] of reach) if (running_default || bound.has(`${guid} ${space}`)) list.push(...rules);
  return reach;
}

/** Processes of started apps in these spaces, or in all: what they may reach has changed. */
export async function startedIn(db: Kysely<ControllerTables>, spaceGuids?: readonly string[]): Promise<string[]> {
  if (spaceGuids?.length === 0) return [];
  let query = db.selectFrom("processes").innerJoin("apps", "apps.guid", "processes.app_guid").select("processes.guid").where("apps.state", "=", "STARTED").where("processes.instances", ">", 0);
  if (spaceGuids) query = query.where("apps.space_guid", "in", [...spaceGuids]);
  return (await query.execute()).map(({ guid }) => guid);
}
