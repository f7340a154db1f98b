import { randomUUID } from "node:crypto";
import { transaction, uniqueViolation } from "../../database.ts";
import type { SpacePlace } from "../api/access.ts";
import { recordAppEvent, type AppParts, type AppRow } from "./app-parts.ts";
import type { Actor } from "../api/audit.ts";
import { taken } from "../api/errors.ts";
import type { Lifecycle } from "./lifecycle.ts";
import { mergedMetadata, type MetadataPatch } from "../api/present.ts";
import { newProcess } from "./process-rules.ts";
import { json } from "../data/schema.ts";

export interface NewApp {
  name: string;
  place: SpacePlace;
  lifecycle: Lifecycle;
  environment?: Record<string, string>;
  metadata?: MetadataPatch | undefined;
  /** The body as audit events may show it. */
  request: Record<string, unknown>;
}

/** Creates an app and its web process, whose guid is the app's. @throws CfError when the name is taken in the space */
export async function createApp(parts: AppParts, { name, place, lifecycle, environment = {}, metadata, request }: NewApp, actor: Actor): Promise<AppRow> {
  const guid = randomUUID();
  const app = await transaction(parts.db, async (trx) => {
    const app = await trx
      .insertInto("apps")
      .values({
        guid, name, space_guid: place.spaceGuid, state: "STOPPED", lifecycle_type: lifecycle.type, buildpacks: json(lifecycle.buildpacks), stack: lifecycle.stack,
        environment_variables: json(environment), ...mergedMetadata(metadata),
      })
      .returningAll()
      .executeTakeFirstOrThrow();
    await trx.insertInto("processes").values(newProcess(app, "web", parts.limits)).execute();
    await recordAppEvent(trx, { app, place }, actor, { event: "create", data: { request } });
    return app;
  }).catch((error: unknown) => {
    throw uniqueViolation(error) === "apps_name" ? taken(`App with the name '${name}' already exists.`) : error;
  });
  parts.runtime.log(guid, `Created app with guid ${guid}`);
  return app;
}
