import { randomUUID } from "node:crypto";
import { sql } from "kysely";
import { transaction } from "../../database.ts";
import { demandActive, type Permission } from "../api/access.ts";
import { demandApp, demandPart } from "../apps/app-access.ts";
import { removeBlobs } from "../apps/app-delete.ts";
import { findApp, recordAppEvent, type AppParts } from "../apps/app-parts.ts";
import { presentDroplet, presentPackage, hiddenInLists } from "../apps/app-present.ts";
import type { Background } from "../api/background.ts";
import { BitsProblem } from "./bits/problem.ts";
import { readResources, type Resource } from "./bits/resources.ts";
import { checkBody } from "../api/checks.ts";
import { CfError, notAuthorized, unprocessable } from "../api/errors.ts";
import type { FeatureFlags } from "../api/flags.ts";
import { accepted, created, type Api, type Call } from "../api/http.ts";
import { copyPackage, processPackage } from "./package-work.ts";
import { mergedMetadata, type MetadataPatch } from "../api/present.ts";
import { anyOf, where } from "../api/query.ts";
import { download, drainUpload, receiveUpload } from "./uploads.ts";
import { longPoll } from "../api/waiting.ts";

const invalidApp = "App is invalid. Ensure it exists and you have access to it.";

/** `/v3/packages`: what is pushed. */
export function packageRoutes(api: Api, parts: AppParts, flags: FeatureFlags, background: Background): void {
  const { db, runtime, blobs, limits } = parts;
  const filters = {
    states: anyOf("packages.state"),
    types: anyOf("packages.type"),
    app_guids: anyOf("packages.app_guid"),
    space_guids: where((guids) => sql`packages.app_guid IN (SELECT guid FROM apps WHERE space_guid = ANY(${guids}))`),
    organization_guids: where((guids) => sql`packages.app_guid IN (SELECT apps.guid FROM apps JOIN spaces ON spaces.guid = apps.space_guid WHERE spaces.organization_guid = ANY(${guids}))`),
  };
  api.list("/v3/packages", {
    table: "packages", filters, orderBy: ["state"],
    scope: (call) => [call.access.visible("app.read", { space: sql`(SELECT space_guid FROM apps WHERE apps.guid = packages.app_guid)` })],
    present: (rows, call) => rows.map((row) => presentPackage(row, call.urls.api)),
  });
  api.list("/v3/apps/:guid/packages", {
    table: "packages", filters: { states: filters.states, types: filters.types }, orderBy: ["state"],
    scope: async (call) => {
      await demandApp(db, call, call.guid);
      return [sql<boolean>`packages.app_guid = ${call.guid}`];
    },
    present: (rows, call) => rows.map((row) => presentPackage(row, call.urls.api)),
  });

  const read = (guid: string) => db.selectFrom("packages").selectAll().where("guid", "=", guid).executeTakeFirst();
  const find = async (call: Call, write?: Permission) => demandPart(db, call, { row: await read(call.guid), type: "Package", write });

  api.get("/v3/packages/:guid", async (call) => {
    const { row } = await find(call);
    const row2 = await longPoll(parts.waiting, row.guid, {
      read: () => read(row.guid), finished: (now) => now?.state !== "PROCESSING_UPLOAD" && now?.state !== "COPYING", timeoutMs: limits.longPollMs, signal: call.signal,
    });
    return presentPackage(row2 ?? row, call.urls.api);
  });

  /** The app a package is made for, with the texts of a body that names it. */
  async function demandOwner(call: Call, appGuid: string) {
    const found = await findApp(db, appGuid);
    if (!found || !call.access.can("app.read", found.place)) throw unprocessable(invalidApp);
    if (!call.access.can("app.write", found.place)) throw notAuthorized();
    demandActive(call.access, found.place);
    return found;
  }

  api.post("/v3/packages", { query: ["source_guid"] }, async (call) => {
    const sourceGuid = call.query["source_guid"];
    const checks = checkBody(call.body, ["relationships", "type", "data", "metadata"]);
    const type = sourceGuid === undefined ? checks.oneOf("type", ["bits", "docker"], "Type must be one of 'bits, docker'") : "bits";
    const appGuid = checks.relationship("app");
    const metadata = checks.object("metadata");
    if (checks.problems.length > 0 || appGuid === undefined) throw unprocessable(checks.problems.join(", "));
    const found = await demandOwner(call, appGuid);
    if (type === "docker") throw unprocessable("Cannot create Docker package for a buildpack app.");
    const source = sourceGuid === undefined ? undefined : await copySource(call, sourceGuid, appGuid);
    const row = await transaction(db, async (trx) => {
      const row = await trx
        .insertInto("packages")
        .values({ guid: randomUUID(), app_guid: appGuid, type: "bits", state: source ? "COPYING" : "AWAITING_UPLOAD", ...mergedMetadata(metadata as MetadataPatch | undefined) })
        .returningAll()
        .executeTakeFirstOrThrow();
      const request = source ? { source_package_guid: source } : { type: "bits" };
      await recordAppEvent(trx, found, call.actor, { event: "package.create", data: { package_guid: row.guid, request } });
      return row;
    });
    runtime.log(appGuid, `Adding app package for app with guid ${appGuid}${source ? ` copied from package with guid ${source}` : ""}`);
    if (source) copyPackage(parts, background, source, row);
    return created(presentPackage(row, call.urls.api));
  });

  async function copySource(call: Call, guid: string, appGuid: string): Promise<string> {
    const source = await read(guid);
    const owner = source && (await findApp(db, source.app_guid));
    if (!source || !owner || !call.access.can("app.read", owner.place)) throw unprocessable("Source package is invalid. Ensure it exists and you have access to it.");
    if (!call.access.can("app.write", owner.place)) throw notAuthorized();
    if (source.app_guid === appGuid) throw unprocessable("Source and destination app cannot be the same");
    if (source.state !== "READY") throw unprocessable("Source package is not ready. Ensure it has bits and try again.");
    return source.guid;
  }

  api.post("/v3/packages/:guid/upload", async (call) => {
    const { row, found } = await refusing(call, async () => {
      const { row, found } = await find(call, "app.write");
      await flags.require("app_bits_upload", call.access);
      if (row.type !== "bits") throw unprocessable("Package type must be bits.");
      if (row.state !== "AWAITING_UPLOAD") throw new CfError("PackageBitsAlreadyUploaded");
      return { row, found };
    });
    const upload = await receiveUpload(call, { tempDir: parts.tempDir, maxBytes: limits.maxUploadBytes });
    try {
      const resources = readResourceField(upload.field("resources"));
      if (upload.file("bits") === undefined && resources.length === 0) throw unprocessable("Upload must include either resources or bits");
      const taken = await transaction(db, async (trx) => {
        const taken = await trx.updateTable("packages").set({ state: "PROCESSING_UPLOAD", updated_at: new Date(parts.clock.now()) })
          .where("guid", "=", row.guid).where("state", "=", "AWAITING_UPLOAD").returningAll().executeTakeFirst();
        if (taken) await recordAppEvent(trx, found, call.actor, { event: "package.upload", data: { package_guid: row.guid } });
        return taken;
      });
      if (!taken) throw new CfError("PackageBitsAlreadyUploaded");
      runtime.log(row.app_guid, `Uploading app package for app with guid ${row.app_guid}`);
      processPackage(parts, background, taken, { upload, resources, fillPool: await flags.enabled("resource_matching") });
      return presentPackage(taken, call.urls.api);
    } catch (error) {
      await upload[Symbol.asyncDispose]();
      throw error;
    }
  });

  api.get("/v3/packages/:guid/download", async (call) => {
    const { row, found } = await find(call);
    if (!call.access.can("package.download", found.place)) throw notAuthorized();
    if (row.type !== "bits") throw unprocessable("Package type must be bits.");
    if (row.state !== "READY") throw unprocessable("Package has no bits to download.");
    const { stream, sizeBytes } = await blobs.get(`packages/${row.guid}`, { signal: call.signal });
    await recordAppEvent(db, found, call.actor, { event: "package.download", data: { package_guid: row.guid } });
    runtime.log(row.app_guid, `Downloading app package for app with guid ${row.app_guid}`);
    return download(stream, { type: "application/zip", sizeBytes, name: `${row.guid}.zip` });
  });

  api.patch("/v3/packages/:guid", async (call) => {
    const checks = checkBody(call.body, ["metadata", "username", "password"]);
    const metadata = checks.object("metadata");
    if (checks.problems.length > 0) throw unprocessable(checks.problems.join(", "));
    const { row } = await find(call, "app.write");
    if (checks.has("username") || checks.has("password")) throw unprocessable("Cannot update Docker credentials for a buildpack app.");
    const updated = await db.updateTable("packages").set({ ...mergedMetadata(metadata as MetadataPatch | undefined, row), updated_at: new Date(parts.clock.now()) }).where("guid", "=", row.guid).returningAll().executeTakeFirstOrThrow();
    return presentPackage(updated, call.urls.api);
  });

  api.delete("/v3/packages/:guid", async (call) => {
    const { row, found } = await find(call, "app.write");
    const work = async (): Promise<void> => {
      await transaction(db, async (trx) => {
        await recordAppEvent(trx, found, call.actor, { event: "package.delete", data: { package_guid: row.guid } });
        await trx.deleteFrom("packages").where("guid", "=", row.guid).execute();
      });
      runtime.log(row.app_guid, `Deleting app package for app with guid ${row.app_guid}`);
      await removeBlobs(parts, [`packages/${row.guid}`]);
    };
    return accepted(call, await parts.jobs.run({ operation: "package.delete", resource: { type: "package", guid: row.guid }, work }));
  });

  api.list("/v3/packages/:guid/droplets", {
    table: "droplets", filters: { states: anyOf("droplets.state") },
    scope: async (call) => {
      await find(call);
      return [sql<boolean>`droplets.package_guid = ${call.guid}`];
    },
    present: (rows, call) => rows.map((row) => presentDroplet(row, call.urls.api, hiddenInLists)),
  });
}

/** Runs the checks that come before an upload is taken; when they refuse it, its body is read to its end first. */
export async function refusing<T>(call: Call, check: () => Promise<T>): Promise<T> {
  try {
    return await check();
  } catch (error) {
    await drainUpload(call);
    throw error;
  }
}

function readResourceField(text: string | undefined): Resource[] {
  if (text === undefined || text.trim() === "") return [];
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch {
    throw unprocessable("Resources must be valid JSON.");
  }
  try {
    const resources = readResources(list);
    if (!resources) throw unprocessable("Resources must be valid JSON.");
    return resources;
  } catch (error) {
    throw error instanceof BitsProblem ? new CfError(error.type === "AppResourcesFileModeInvalid" ? "AppResourcesFileModeInvalid" : "AppResourcesFilePathInvalid", error.message) : error;
  }
}
