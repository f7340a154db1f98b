import { sql } from "kysely";
import type { Database } from "../../database.ts";
import type { ControllerTables } from "./schema.ts";

/** What runs and is held in some spaces; the domains of an organization beside it. */
export async function usageOf(db: Database<ControllerTables>, spaces: ReturnType<typeof sql>, organizationGuid?: string): Promise<Record<string, number>> {
  const { rows } = await sql<{ instances: number; memory: number; routes: number; ports: number; tasks: number; domains: number }>`
    SELECT
      coalesce((SELECT sum(p.instances) FROM processes p JOIN apps a ON a.guid = p.app_guid WHERE a.state = 'STARTED' AND a.space_guid IN ${spaces}), 0)::int AS instances,
      coalesce((SELECT sum(p.instances::bigint * p.memory_in_mb) FROM processes p JOIN apps a ON a.guid = p.app_guid WHERE a.state = 'STARTED' AND a.space_guid IN ${spaces}), 0)::bigint AS memory,
      (SELECT count(*) FROM routes WHERE space_guid IN ${spaces})::int AS routes,
      (SELECT count(*) FROM routes WHERE port IS NOT NULL AND space_guid IN ${spaces})::int AS ports,
      (SELECT count(*) FROM tasks t JOIN apps a ON a.guid = t.app_guid WHERE t.state IN ('PENDING', 'RUNNING') AND a.space_guid IN ${spaces})::int AS tasks,
      (SELECT count(*) FROM domains WHERE organization_guid = ${organizationGuid ?? null}::text)::int AS domains`.execute(db);
  const found = rows[0] ?? { instances: 0, memory: 0, routes: 0, ports: 0, tasks: 0, domains: 0 };
  const services = await serviceUsageOf(db, spaces);
  return {
    started_instances: found.instances, memory_in_mb: Number(found.memory), routes: found.routes, ...services,
    reserved_ports: found.ports, domains: found.domains, per_app_tasks: found.tasks,
  };
}

/** The services part keeps tables of its own, which need not be there. */
async function serviceUsageOf(db: Database<ControllerTables>, spaces: ReturnType<typeof sql>): Promise<{ service_instances: number; service_keys: number }> {
  const there = await sql<{ name: string | null }>`SELECT to_regclass('service_instances')::text AS name`.execute(db);
  if (there.rows[0]?.name == null) return { service_instances: 0, service_keys: 0 };
  const { rows } = await sql<{ n: number }>`SELECT count(*)::int AS n FROM service_instances WHERE space_guid IN ${spaces}`.execute(db);
  return { service_instances: rows[0]?.n ?? 0, service_keys: 0 };
}
