import type { Kysely } from "kysely";
import type { AppServices } from "./app-services.ts";
import { runningEnvironment } from "../environment/env.ts";
import { reachOf } from "../organizations/security-group-reach.ts";
import { sharedSegmentGuid } from "../organizations/segment-rules.ts";
import type { DesiredProcess, DesiredSource } from "../runtime/runtime.ts";
import type { ControllerTables } from "../data/schema.ts";
import { vcapApplication, vcapServices } from "../environment/vcap.ts";

export interface DesiredSourceOptions {
  database: Kysely<ControllerTables>;
  services: AppServices;
  /** The API's address as apps see it in `VCAP_APPLICATION.cf_api`. */
  apiUrl: string;
}

const defaultLimit = 500;

/** Reads from the database what should run: the processes of started apps that have a droplet, ordered by guid. */
export function createDesiredSource({ database, services, apiUrl }: DesiredSourceOptions): DesiredSource {
  return {
    async desired({ processGuids, afterGuid, limit = defaultLimit }) {
      if (processGuids?.length === 0) return [];
      let query = database
        .selectFrom("processes")
        .innerJoin("apps", "apps.guid", "processes.app_guid")
        .innerJoin("spaces", "spaces.guid", "apps.space_guid")
        .innerJoin("organizations", "organizations.guid", "spaces.organization_guid")
        .leftJoin("isolation_segments", (join) => join.on((on) => on("isolation_segments.guid", "=", on.fn.coalesce("spaces.isolation_segment_guid", "organizations.default_isolation_segment_guid"))))
        // What runs is what was started: a later change of the app comes with its next start, also for an instance that crashes.
        .leftJoin("revisions", "revisions.guid", "processes.revision_guid")
        .innerJoin("droplets", (join) => join.on((on) => on("droplets.guid", "=", on.fn.coalesce("processes.droplet_guid", "revisions.droplet_guid", "apps.current_droplet_guid"))))
        .selectAll("processes")
        .select([
          "apps.name as app_name", "apps.environment_variables", "apps.lifecycle_type", "apps.space_guid", "apps.stack as app_stack",
          "revisions.environment_variables as revision_environment", "revisions.commands as revision_commands", "revisions.sidecars as revision_sidecars", "apps.updated_at as app_updated_at", "spaces.name as space_name", "spaces.organization_guid", "organizations.name as organization_name",
          "droplets.guid as desired_droplet_guid", "droplets.sha1", "droplets.sha256", "droplets.stack as droplet_stack", "droplets.process_types",
          "isolation_segments.guid as segment_guid", "isolation_segments.name as segment_name",
        ])
        .where("apps.state", "=", "STARTED")
        .where("droplets.state", "=", "STAGED")
        .orderBy("processes.guid")
        .limit(limit);
      if (processGuids) query = query.where("processes.guid", "in", processGuids);
      if (afterGuid !== undefined) query = query.where("processes.guid", ">", afterGuid);
      const rows = await query.execute();
      if (rows.length === 0) return [];
      const appGuids = [...new Set(rows.map((row) => row.app_guid))];
      const [uris, bindings, group, sidecars, reach] = await Promise.all([
        urisOf(database, appGuids), services.bindings(appGuids), environmentGroup(database, "running"),
        database.selectFrom("sidecars").select(["app_guid", "command", "process_types"]).where("app_guid", "in", appGuids).orderBy("id").execute(),
        reachOf(database, [...new Set(rows.map((row) => row.space_guid))]),
      ]);
      return rows.map((row): DesiredProcess => {
        const routes = uris.get(`${row.app_guid} ${row.type}`) ?? [];
        return {
          appGuid: row.app_guid,
          processGuid: row.guid,
          processType: row.type,
          version: row.version,
          instances: row.instances,
          memoryMb: row.memory_in_mb,
          diskMb: row.disk_in_mb,
          startCommand: withSidecars(
            ((row.revision_commands && row.type in row.revision_commands ? row.revision_commands[row.type] : row.command) ?? row.process_types[row.type]) || null,
            (row.revision_sidecars ?? sidecars.filter(({ app_guid }) => app_guid === row.app_guid))
              .filter(({ process_types }) => process_types.includes(row.type)).map(({ command }) => command),
          ),
          dropletGuid: row.desired_droplet_guid,
          dropletSha256: row.sha256,
          dropletSha1: row.sha1,
          stack: row.droplet_stack ?? row.app_stack ?? "",
          // The segment `shared` is the executors of none: a space may ask for it where its organization has another default.
          ...(row.segment_name !== null && row.segment_guid !== sharedSegmentGuid && { isolationSegment: row.segment_name }),
          egress: (reach.get(row.space_guid) ?? []).map(({ protocol, destination, ports, type, code, log }) => ({
            protocol, destination, ...(ports !== undefined && { ports }), ...(type !== undefined && { type }), ...(code !== undefined && { code }), ...(log !== undefined && { log }),
          })),
          name: row.app_name,
          uris: routes,
          env: runningEnvironment(group, row.revision_environment ?? row.environment_variables),
          vcapApplication: vcapApplication({
            apiUrl, appGuid: row.app_guid, appName: row.app_name, spaceGuid: row.space_guid, spaceName: row.space_name,
            organizationGuid: row.organization_guid, organizationName: row.organization_name, uris: routes, version: row.version,
            memoryMb: row.memory_in_mb, diskMb: row.disk_in_mb, process: { guid: row.guid, type: row.type },
          }),
          vcapServices: vcapServices(bindings.get(row.app_guid) ?? []),
          healthCheck: {
            type: row.health_check_type,
            ...(row.health_check_http_endpoint !== null && { endpoint: row.health_check_http_endpoint }),
            ...(row.health_check_timeout !== null && { timeoutSeconds: row.health_check_timeout }),
            ...(row.health_check_invocation_timeout !== null && { invocationTimeoutSeconds: row.health_check_invocation_timeout }),
            ...(row.health_check_interval !== null && { intervalSeconds: row.health_check_interval }),
          },
          readinessCheck: {
            type: row.readiness_health_check_type,
            ...(row.readiness_health_check_http_endpoint !== null && { endpoint: row.readiness_health_check_http_endpoint }),
            ...(row.readiness_health_check_invocation_timeout !== null && { invocationTimeoutSeconds: row.readiness_health_check_invocation_timeout }),
            ...(row.readiness_health_check_interval !== null && { intervalSeconds: row.readiness_health_check_interval }),
          },
          spaceGuid: row.space_guid,
          spaceName: row.space_name,
          orgGuid: row.organization_guid,
          orgName: row.organization_name,
          updatedAtMs: Math.max(row.updated_at.getTime(), row.app_updated_at.getTime()),
        };
      });
    },
  };
}

/**
 * The command of a process with its sidecars beside it, in one container: whichever of them ends first ends the instance,
 * so that it is restarted as a whole.
 */
export function withSidecars(command: string | null, sidecars: readonly string[]): string | null {
  if (command === null || sidecars.length === 0) return command;
  const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
  return `${[...sidecars, command].map((each) => `bash -c ${quoted(each)} &`).join(" ")} wait -n; exit $?`;
}

/** HTTP routes of apps by `<app guid> <process type>`, as `host.domain/path`. TCP routes have no name to register. */
export async function urisOf(database: Kysely<ControllerTables>, appGuids: readonly string[]): Promise<Map<string, string[]>> {
  const found = new Map<string, string[]>();
  if (appGuids.length === 0) return found;
  const rows = await database
    .selectFrom("route_destinations")
    .innerJoin("routes", "routes.guid", "route_destinations.route_guid")
    .innerJoin("domains", "domains.guid", "routes.domain_guid")
    .select(["route_destinations.app_guid", "route_destinations.process_type", "routes.host", "routes.path", "routes.port", "domains.name as domain"])
    .where("route_destinations.app_guid", "in", appGuids)
    .orderBy("routes.id")
    .execute();
  for (const { app_guid, process_type, host, path, port, domain } of rows) {
    if (port !== null) continue;
    const key = `${app_guid} ${process_type}`;
    const uri = `${host === "" ? "" : `${host}.`}${domain}${path}`;
    const list = found.get(key) ?? [];
    if (!list.includes(uri)) found.set(key, [...list, uri]);
  }
  return found;
}

/** Variables the operator gives to every app (`running`) or every build (`staging`). */
export async function environmentGroup(database: Kysely<ControllerTables>, name: "running" | "staging"): Promise<Record<string, string>> {
  const row = await database.selectFrom("environment_groups").select("var").where("name", "=", name).executeTakeFirst();
  return row?.var ?? {};
}
