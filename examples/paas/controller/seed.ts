import { sql } from "kysely";
import { transaction, type Database } from "../database.ts";
import type { SystemBuildpack } from "./api/context.ts";
import { stableGuid } from "./api/present.ts";
import { json, type ControllerTables } from "./data/schema.ts";

export const defaultStack = "cflinuxfs4";
export const defaultQuotaGuid = stableGuid("organization_quota", "default");

/**
 * What every platform has from its first start on: the default quota, the platform's domain, a stack, the groups of
 * environment variables, the system buildpacks. What an operator changed later is left as it is; a domain or a buildpack that is
 * new in the configuration is added.
 */
export async function seed(db: Database<ControllerTables>, { domain, systemBuildpacks }: { domain: string; systemBuildpacks: readonly SystemBuildpack[] }): Promise<void> {
  await transaction(db, async (trx) => {
    // One at a time, where several controllers start on one database.
    await sql`SELECT pg_advisory_xact_lock(7236641119)`.execute(trx);
    const isFirst = (await trx.selectFrom("organization_quotas").select("guid").limit(1).execute()).length === 0;
    if (isFirst) {
      await trx.insertInto("organization_quotas").values({
        guid: defaultQuotaGuid, name: "default", total_memory_in_mb: 10_240, total_service_instances: 100, total_routes: 1_000, total_reserved_ports: 100,
        paid_services_allowed: true,
      }).execute();
      await trx.insertInto("environment_groups").values([{ name: "running", var: json({}) }, { name: "staging", var: json({}) }]).execute();
    }
    await trx.insertInto("domains").values({ guid: stableGuid("domain", domain), name: domain.toLowerCase() }).onConflict((conflict) => conflict.doNothing()).execute();
    await trx.insertInto("stacks").values({
      guid: stableGuid("stack", defaultStack), name: defaultStack, description: "Cloud Foundry Linux-based filesystem, as this machine provides it", is_default: true,
    }).onConflict((conflict) => conflict.doNothing()).execute();
    const known = await trx.selectFrom("buildpacks").select(["guid", "position"]).execute();
    let position = Math.max(0, ...known.map((each) => each.position));
    for (const { name, stack = defaultStack, filename = `${name}.zip` } of systemBuildpacks) {
      const guid = stableGuid("buildpack", name, stack ?? "");
      if (known.some((each) => each.guid === guid)) continue;
      await trx.insertInto("buildpacks").values({ guid, name, stack, filename, state: "READY", position: ++position }).onConflict((conflict) => conflict.doNothing()).execute();
    }
  });
}
