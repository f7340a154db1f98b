import { randomUUID } from "node:crypto";
import type { Kysely, Transaction } from "kysely";
import { json, type ControllerTables } from "../data/schema.ts";

/** Who did it. */
export interface Actor {
  readonly guid: string;
  readonly type: "user" | "process" | "system";
  readonly name: string;
}

export const systemActor: Actor = { guid: "system", type: "system", name: "system" };

export interface AuditEvent {
  /** `audit.app.create`, `audit.app.process.crash`, ... */
  type: string;
  actor: Actor;
  target: { guid: string; type: string; name: string };
  /** Shown by `cf events`; no secrets. */
  data?: Record<string, unknown>;
  spaceGuid?: string | null | undefined;
  organizationGuid?: string | null | undefined;
}

/** Writes an audit event; hand in the transaction of the change itself, so that both happen or neither. */
export async function recordAudit(trx: Transaction<ControllerTables> | Kysely<ControllerTables>, event: AuditEvent): Promise<void> {
  const { type, actor, target, data = {}, spaceGuid = null, organizationGuid = null } = event;
  await trx.insertInto("audit_events").values({
    guid: randomUUID(), type,
    actor_guid: actor.guid, actor_type: actor.type, actor_name: actor.name,
    target_guid: target.guid, target_type: target.type, target_name: target.name,
    data: json(data), space_guid: spaceGuid, organization_guid: organizationGuid,
  }).execute();
}

const hidden = "[PRIVATE DATA HIDDEN]";
const secretKeys = new Set(["environment_variables", "credentials", "docker_password", "password", "data"]);

/** A request's body for an event's `data.request`, without what must not be read later. */
export function redacted(body: unknown): Record<string, unknown> {
  if (typeof body !== "object" || body === null) return {};
  return Object.fromEntries(Object.entries(body).map(([key, value]) => [key, secretKeys.has(key) ? hidden : value]));
}
