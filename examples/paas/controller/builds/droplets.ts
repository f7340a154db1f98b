import { randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { sql } from "kysely";
import { transaction } from "../../database.ts";
import { demandActive, type Permission } from "../api/access.ts";
import { demandApp, demandPart } from "../apps/app-access.ts";
import { removeBlobs } from "../apps/app-delete.ts";
import { findApp, recordAppEvent, type AppParts } from "../apps/app-parts.ts";
import { hiddenData, hiddenInLists, presentDroplet } from "../apps/app-present.ts";
import type { Background } from "../api/background.ts";
import { checkBody } from "../api/checks.ts";
import { CfError, notAuthorized, notFound, unprocessable } from "../api/errors.ts";
import { accepted, created, type Api, type Call } from "../api/http.ts";
import { keepTouched } from "./keep-touched.ts";
import { refusing } from "./packages.ts";
import { mergedMetadata, type MetadataPatch } from "../api/present.ts";
import { anyOf, where, type Condition } from "../api/query.ts";
import { expireOld } from "./retention.ts";
import { json } from "../data/schema.ts";
import { download, looksLikeDroplet, receiveUpload } from "./uploads.ts";

/** `/v3/droplets`: what runs. */
export function dropletRoutes(api: Api, parts: AppParts, background: Background): void {
  const { db, runtime, blobs, limits, clock } = parts;
  const filters = {
    states: anyOf("droplets.state"),
    app_guids: anyOf("droplets.app_guid"),
    space_guids: where((guids) => sql`droplets.app_guid IN (SELECT guid FROM apps WHERE space_guid = ANY(${guids}))`),
    organization_guids: where((guids) => sql`droplets.app_guid IN (SELECT apps.guid FROM apps JOIN spaces ON spaces.guid = apps.space_guid WHERE spaces.organization_guid = ANY(${guids}))`),
  };
  api.list("/v3/droplets", {
    table: "droplets", filters,
    scope: (call) => [call.access.visible("app.read", { space: sql`(SELECT space_guid FROM apps WHERE apps.guid = droplets.app_guid)` })],
    present: (rows, call) => rows.map((row) => presentDroplet(row, call.urls.api, hiddenInLists)),
  });
  api.list("/v3/apps/:guid/droplets", {
    table: "droplets", filters: { states: filters.states }, otherKeys: ["current"],
    scope: async (call): Promise<Condition[]> => {
      const { app } = await demandApp(db, call, call.guid);
      const own = sql<boolean>`droplets.app_guid = ${app.guid}`;
      return call.query["current"] === "true" ? [own, sql<boolean>`droplets.guid = ${app.current_droplet_guid ?? ""}`] : [own];
    },
    present: (rows, call) => rows.map((row) => presentDroplet(row, call.urls.api, hiddenInLists)),
  });

  const read = (guid: string) => db.selectFrom("droplets").selectAll().where("guid", "=", guid).executeTakeFirst();
  const find = async (call: Call, write?: Permission) => demandPart(db, call, { row: await read(call.guid), type: "Droplet", write });

  api.get("/v3/droplets/:guid", async (call) => {
    const { row, found } = await find(call);
    return presentDroplet(row, call.urls.api, call.access.can("app.secrets.read", found.place) ? undefined : hiddenData);
  });
  api.get("/v3/apps/:guid/droplets/current", { query: "any" }, async (call) => {
    const { app, place } = await demandApp(db, call, call.guid);
    const row = app.current_droplet_guid === null ? undefined : await read(app.current_droplet_guid);
    if (!row) throw notFound("Droplet");
    return presentDroplet(row, call.urls.api, call.access.can("app.secrets.read", place) ? undefined : hiddenData);
  });

  api.post("/v3/droplets", { query: ["source_guid"] }, async (call) => {
    const sourceGuid = call.query["source_guid"];
    const checks = checkBody(call.body, sourceGuid === undefined ? ["relationships", "process_types"] : ["relationships"]);
    const appGuid = checks.relationship("app");
    const processTypes = checks.object("process_types");
    for (const [type, command] of Object.entries(processTypes ?? {})) if (type === "" || typeof command !== "string") checks.add("Process types must be a map of types to commands");
    if (checks.problems.length > 0 || appGuid === undefined) throw unprocessable(checks.problems.join(", "));
    const found = await findApp(db, appGuid);
    if (!found || !call.access.can("app.read", found.place)) {
      if (sourceGuid !== undefined) throw notFound("App");
      throw unprocessable(`App with guid "${appGuid}" does not exist, or you do not have access to it.`);
    }
    if (!call.access.can("app.write", found.place)) throw notAuthorized();
    demandActive(call.access, found.place);
    if (sourceGuid !== undefined) return created(await copyDroplet(call, sourceGuid, found.app.guid));
    const row = await transaction(db, async (trx) => {
      const row = await trx
        .insertInto("droplets")
        .values({ guid: randomUUID(), app_guid: appGuid, state: "AWAITING_UPLOAD", stack: found.app.stack, process_types: json(processTypes ?? { web: "" }) })
        .returningAll()
        .executeTakeFirstOrThrow();
      await recordAppEvent(trx, found, call.actor, { event: "droplet.create", data: { droplet_guid: row.guid } });
      return row;
    });
    runtime.log(appGuid, `Creating droplet for app with guid ${appGuid}`);
    return created(presentDroplet(row, call.urls.api));
  });

  async function copyDroplet(call: Call, sourceGuid: string, appGuid: string): Promise<object> {
    const { row: source } = await demandPart(db, call, { row: await read(sourceGuid), type: "Droplet" });
    if (source.state !== "STAGED") throw unprocessable("source droplet is not staged");
    const found = await demandApp(db, call, appGuid);
    const row = await transaction(db, async (trx) => {
      const { id: _id, created_at: _created, updated_at: _updated, ...columns } = source;
      const row = await trx
        .insertInto("droplets")
        .values({
          ...columns, guid: randomUUID(), app_guid: appGuid, package_guid: null, build_guid: null, state: "COPYING", buildpacks: json(columns.buildpacks),
          process_types: json(columns.process_types), sidecars: json(columns.sidecars), labels: json({}), annotations: json({}),
        })
        .returningAll()
        .executeTakeFirstOrThrow();
      await recordAppEvent(trx, found, call.actor, { event: "droplet.create", data: { droplet_guid: row.guid, request: { source_droplet_guid: sourceGuid } } });
      return row;
    });
    background.run("droplet copy", async () => {
      using _touched = keepTouched(parts, "droplets", row.guid);
      const done = await blobs.copy(`droplets/${sourceGuid}`, `droplets/${row.guid}`).then(() => true, () => false);
      await db.updateTable("droplets").set({ state: done ? "STAGED" : "FAILED", error: done ? null : "StagingError - The droplet could not be copied.", updated_at: new Date(clock.now()) }).where("guid", "=", row.guid).execute();
      await expireOld(parts, appGuid);
    });
    return presentDroplet(row, call.urls.api);
  }

  api.post("/v3/droplets/:guid/upload", async (call) => {
    const { row, found } = await refusing(call, async () => {
      const { row, found } = await find(call, "app.write");
      if (row.state !== "AWAITING_UPLOAD") throw unprocessable("Droplet may be uploaded only once. Create a new droplet to upload bits.");
      return { row, found };
    });
    const upload = await receiveUpload(call, { tempDir: parts.tempDir, maxBytes: limits.maxDropletBytes });
    try {
      const path = upload.file("bits");
      if (path === undefined) throw unprocessable("Uploaded droplet file is invalid: A droplet tgz file must be uploaded as 'bits'");
      if (!(await looksLikeDroplet(path))) throw unprocessable("Uploaded droplet file is invalid: it is no gzip-compressed tar archive");
      const taken = await db.updateTable("droplets").set({ state: "PROCESSING_UPLOAD", updated_at: new Date(clock.now()) }).where("guid", "=", row.guid).where("state", "=", "AWAITING_UPLOAD").returningAll().executeTakeFirst();
      if (!taken) throw unprocessable("Droplet may be uploaded only once. Create a new droplet to upload bits.");
      await recordAppEvent(db, found, call.actor, { event: "droplet.upload", data: { droplet_guid: row.guid } });
      runtime.log(row.app_guid, `Uploading droplet for app with guid ${row.app_guid}`);
      const work = async (): Promise<void> => {
        await using _upload = upload;
        using _touched = keepTouched(parts, "droplets", row.guid);
        try {
          const stored = await blobs.put(`droplets/${row.guid}`, createReadStream(path));
          await db.updateTable("droplets").set({ state: "STAGED", sha1: stored.sha1, sha256: stored.sha256, size_bytes: stored.sizeBytes, updated_at: new Date(clock.now()) }).where("guid", "=", row.guid).execute();
        } catch (error) {
          await db.updateTable("droplets").set({ state: "FAILED", error: "StagingError - The droplet could not be stored.", updated_at: new Date(clock.now()) }).where("guid", "=", row.guid).execute();
          throw new CfError("ServiceUnavailable", "The droplet could not be stored. Try again.", { cause: error });
        }
        await expireOld(parts, row.app_guid);
      };
      const job = await parts.jobs.run({ operation: "droplet.upload", resource: { type: "droplet", guid: row.guid }, work });
      return accepted(call, job, presentDroplet(taken, call.urls.api));
    } catch (error) {
      await upload[Symbol.asyncDispose]();
      throw error;
    }
  });

  api.get("/v3/droplets/:guid/download", async (call) => {
    const { row, found } = await find(call);
    if (!call.access.can("droplet.download", found.place)) throw notAuthorized();
    if (row.state !== "STAGED") throw unprocessable("Only staged droplets can be downloaded.");
    const { stream, sizeBytes } = await blobs.get(`droplets/${row.guid}`, { signal: call.signal });
    await recordAppEvent(db, found, call.actor, { event: "droplet.download", data: { droplet_guid: row.guid } });
    runtime.log(row.app_guid, `Downloading droplet for app with guid ${row.app_guid}`);
    return download(stream, { type: "application/octet-stream", sizeBytes, name: `${row.guid}.tgz` });
  });

  api.patch("/v3/droplets/:guid", async (call) => {
    const checks = checkBody(call.body, ["metadata"]);
    const metadata = checks.object("metadata");
    if (checks.problems.length > 0) throw unprocessable(checks.problems.join(", "));
    const { row } = await find(call, "app.write");
    const updated = await db.updateTable("droplets").set({ ...mergedMetadata(metadata as MetadataPatch | undefined, row), updated_at: new Date(clock.now()) }).where("guid", "=", row.guid).returningAll().executeTakeFirstOrThrow();
    return presentDroplet(updated, call.urls.api);
  });

  api.delete("/v3/droplets/:guid", async (call) => {
    const { row, found } = await find(call, "app.write");
    if (found.app.current_droplet_guid === row.guid) throw unprocessable(`The droplet is currently used by app with guid "${row.app_guid}".`);
    const work = async (): Promise<void> => {
      await transaction(db, async (trx) => {
        await recordAppEvent(trx, found, call.actor, { event: "droplet.delete", data: { droplet_guid: row.guid } });
        await trx.deleteFrom("droplets").where("guid", "=", row.guid).execute();
      });
      runtime.log(row.app_guid, `Deleting droplet for app with guid ${row.app_guid}`);
      await removeBlobs(parts, [`droplets/${row.guid}`]);
    };
    return accepted(call, await parts.jobs.run({ operation: "droplet.delete", resource: { type: "droplet", guid: row.guid }, work }));
  });
}
