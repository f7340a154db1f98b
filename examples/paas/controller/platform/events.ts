import { sql } from "kysely";
import type { Access } from "../api/access.ts";
import type { RouteModule } from "../api/context.ts";
import { notFound } from "../api/errors.ts";
import { links, standard } from "../api/present.ts";
import { anyOf, type Condition } from "../api/query.ts";
import type { RowOf } from "../data/schema.ts";

function presentAuditEvent(row: RowOf<"audit_events">, base: string): object {
  return {
    ...standard(row),
    type: row.type,
    actor: { guid: row.actor_guid, type: row.actor_type, name: row.actor_name },
    target: { guid: row.target_guid, type: row.target_type, name: row.target_name },
    data: row.data,
    space: row.space_guid === null ? null : { guid: row.space_guid },
    organization: row.organization_guid === null ? null : { guid: row.organization_guid },
    links: links(base, { self: `/v3/audit_events/${row.guid}` }),
  };
}

function presentUsageEvent(row: RowOf<"app_usage_events">, base: string): object {
  return {
    ...standard(row),
    state: { current: row.state, previous: row.previous_state },
    app: { guid: row.app_guid, name: row.app_name },
    process: { guid: row.process_guid, type: row.process_type },
    space: { guid: row.space_guid, name: row.space_name },
    organization: { guid: row.organization_guid },
    buildpack: { guid: row.buildpack_guid, name: row.buildpack_name },
    task: { guid: row.task_guid, name: row.task_name },
    memory_in_mb_per_instance: { current: row.memory_in_mb, previous: row.previous_memory_in_mb },
    instance_count: { current: row.instances, previous: row.previous_instances },
    links: links(base, { self: `/v3/app_usage_events/${row.guid}` }),
  };
}

/** Who did what, and what ran: read only. */
export const eventRoutes: RouteModule = (api, { db }) => {
  api.list("/v3/audit_events", {
    table: "audit_events",
    labels: false,
    filters: {
      types: anyOf("audit_events.type"), target_guids: anyOf("audit_events.target_guid"),
      "target_guids[not]": (values) => sql<boolean>`NOT audit_events.target_guid = ANY(${[...values]})`,
      space_guids: anyOf("audit_events.space_guid"), organization_guids: anyOf("audit_events.organization_guid"),
    },
    scope: ({ access }) => [visibleEvents(access)],
    present: (rows, { urls }) => rows.map((row) => presentAuditEvent(row, urls.api)),
  });

  api.get("/v3/audit_events/:guid", async ({ access, guid, urls }) => {
    const row = await db.selectFrom("audit_events").selectAll().where("guid", "=", guid).where(visibleEvents(access) ?? sql<boolean>`true`).executeTakeFirst();
    if (!row) throw notFound("Event");
    return presentAuditEvent(row, urls.api);
  });

  api.list("/v3/app_usage_events", {
    table: "app_usage_events",
    labels: false,
    filters: { after_guid: (values) => sql<boolean>`app_usage_events.id > coalesce((SELECT id FROM app_usage_events e WHERE e.guid = ${values[0]}), 0)` },
    scope: ({ access }) => [access.can("platform.read") ? undefined : sql<boolean>`false`],
    present: (rows, { urls }) => rows.map((row) => presentUsageEvent(row, urls.api)),
  });

  api.get("/v3/app_usage_events/:guid", async ({ access, guid, urls }) => {
    const row = access.can("platform.read") ? await db.selectFrom("app_usage_events").selectAll().where("guid", "=", guid).executeTakeFirst() : undefined;
    if (!row) throw notFound("App usage event");
    return presentUsageEvent(row, urls.api);
  });
};

const visibleEvents = (access: Access): Condition | undefined =>
  access.visible("audit_event.read", { space: sql.ref("audit_events.space_guid"), organization: sql.ref("audit_events.organization_guid") });
