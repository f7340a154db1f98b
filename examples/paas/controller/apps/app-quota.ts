import { sql, type Kysely } from "kysely";
import type { ControllerTables } from "../data/schema.ts";

/** What a process would use after a change, in the app it belongs to. */
export interface WantedProcess {
  guid: string;
  instances: number;
  memoryMb: number;
  logRateBytesPerSecond: number;
}

interface Limits {
  memory: number | null;
  perProcess: number | null;
  instances: number | null;
  logRate: number | null;
}

/** Where the limits come from, with the words of each text. */
const scopes = [
  { scope: "organization", memory: "quota_exceeded", perProcess: "instance_memory_limit_exceeded", instances: "app_instance_limit_exceeded" },
  { scope: "space", memory: "space_quota_exceeded", perProcess: "space_instance_memory_limit_exceeded", instances: "space_app_instance_limit_exceeded" },
] as const;

/**
 * Says why the processes of an app may not run with these numbers, or nothing. Counts what everything else that is
 * started in the same organization and space uses: instances times memory, running tasks, and builds under way.
 * With `only: "memory"` nothing but memory is looked at: for builds.
 */
export async function quotaProblem(database: Kysely<ControllerTables>, spaceGuid: string, wanted: readonly WantedProcess[], { only }: { only?: "memory" } = {}): Promise<string | undefined> {
  const space = await database
    .selectFrom("spaces")
    .innerJoin("organizations", "organizations.guid", "spaces.organization_guid")
    .innerJoin("organization_quotas", "organization_quotas.guid", "organizations.quota_guid")
    .leftJoin("space_quotas", "space_quotas.guid", "spaces.quota_guid")
    .where("spaces.guid", "=", spaceGuid)
    .select([
      "organizations.guid as organization_guid", "organizations.name as organization_name", "spaces.name as space_name",
      "organization_quotas.total_memory_in_mb as o_memory", "organization_quotas.per_process_memory_in_mb as o_process",
      "organization_quotas.total_instances as o_instances", "organization_quotas.log_rate_limit_in_bytes_per_second as o_log",
      "space_quotas.total_memory_in_mb as s_memory", "space_quotas.per_process_memory_in_mb as s_process",
      "space_quotas.total_instances as s_instances", "space_quotas.log_rate_limit_in_bytes_per_second as s_log",
    ])
    .executeTakeFirst();
  if (!space) return undefined;
  const limits: Record<"organization" | "space", Limits> = {
    organization: { memory: count(space.o_memory), perProcess: count(space.o_process), instances: count(space.o_instances), logRate: count(space.o_log) },
    space: { memory: count(space.s_memory), perProcess: count(space.s_process), instances: count(space.s_instances), logRate: count(space.s_log) },
  };
  const asked = {
    memory: sum(wanted, ({ instances, memoryMb }) => instances * memoryMb),
    instances: sum(wanted, ({ instances }) => instances),
    logRate: sum(wanted, ({ instances, logRateBytesPerSecond }) => instances * Math.max(0, logRateBytesPerSecond)),
  };
  const largest = Math.max(0, ...wanted.map(({ memoryMb }) => memoryMb));
  for (const { scope, memory, perProcess, instances } of scopes) {
    const limit = limits[scope];
    if (limit.memory === null && limit.perProcess === null && limit.instances === null && limit.logRate === null) continue;
    const used = await usage(database, scope === "space" ? { spaceGuid } : { organizationGuid: space.organization_guid }, wanted.map(({ guid }) => guid));
    const name = scope === "space" ? space.space_name : space.organization_name;
    if (limit.memory !== null && used.memory + asked.memory > limit.memory)
      return `memory ${memory} (used ${used.memory} MB, asked for ${asked.memory} MB, limit ${limit.memory} MB in ${scope} '${name}')`;
    if (limit.perProcess !== null && largest > limit.perProcess) return `memory ${perProcess} (asked for ${largest} MB, limit ${limit.perProcess} MB in ${scope} '${name}')`;
    if (only === "memory") continue;
    if (limit.instances !== null && used.instances + asked.instances > limit.instances)
      return `app_instance_limit ${instances} (used ${used.instances}, asked for ${asked.instances}, limit ${limit.instances} in ${scope} '${name}')`;
    if (limit.logRate === null) continue;
    if (wanted.some(({ logRateBytesPerSecond }) => logRateBytesPerSecond === -1)) return `log_rate_limit cannot be unlimited in ${scope} '${name}'.`;
    if (used.logRate + asked.logRate > limit.logRate) return `log_rate_limit exceeds ${scope} log rate quota`;
  }
  return undefined;
}

interface Usage {
  memory: number;
  instances: number;
  logRate: number;
}

async function usage(database: Kysely<ControllerTables>, within: { spaceGuid?: string; organizationGuid?: string }, exceptProcesses: readonly string[]): Promise<Usage> {
  let processes = database
    .selectFrom("processes")
    .innerJoin("apps", "apps.guid", "processes.app_guid")
    .innerJoin("spaces", "spaces.guid", "apps.space_guid")
    .where("apps.state", "=", "STARTED")
    .select([
      sql<string>`coalesce(sum(processes.instances::bigint * processes.memory_in_mb), 0)`.as("memory"),
      sql<string>`coalesce(sum(processes.instances), 0)`.as("instances"),
      sql<string>`coalesce(sum(processes.instances * greatest(0, processes.log_rate_limit_in_bytes_per_second)), 0)`.as("log_rate"),
    ]);
  let builds = database
    .selectFrom("builds")
    .innerJoin("apps", "apps.guid", "builds.app_guid")
    .innerJoin("spaces", "spaces.guid", "apps.space_guid")
    .where("builds.state", "=", "STAGING")
    .select(sql<string>`coalesce(sum(builds.staging_memory_in_mb), 0)`.as("memory"));
  let tasks = database
    .selectFrom("tasks")
    .innerJoin("apps", "apps.guid", "tasks.app_guid")
    .innerJoin("spaces", "spaces.guid", "apps.space_guid")
    .where("tasks.state", "in", ["PENDING", "RUNNING", "CANCELING"])
    .select([sql<string>`coalesce(sum(tasks.memory_in_mb), 0)`.as("memory"), sql<string>`coalesce(sum(greatest(0, tasks.log_rate_limit_in_bytes_per_second)), 0)`.as("log_rate")]);
  if (exceptProcesses.length > 0) processes = processes.where("processes.guid", "not in", exceptProcesses);
  const column = within.spaceGuid === undefined ? "spaces.organization_guid" : "spaces.guid";
  const guid = within.spaceGuid ?? within.organizationGuid ?? "";
  processes = processes.where(column, "=", guid);
  builds = builds.where(column, "=", guid);
  tasks = tasks.where(column, "=", guid);
  const [running, staging, tasked] = await Promise.all([processes.executeTakeFirstOrThrow(), builds.executeTakeFirstOrThrow(), tasks.executeTakeFirstOrThrow()]);
  return {
    memory: Number(running.memory) + Number(staging.memory) + Number(tasked.memory),
    instances: Number(running.instances),
    logRate: Number(running.log_rate) + Number(tasked.log_rate),
  };
}

const count = (value: number | null): number | null => (value === null ? null : Number(value));
const sum = <T>(items: readonly T[], of: (item: T) => number): number => items.reduce((total, item) => total + of(item), 0);
