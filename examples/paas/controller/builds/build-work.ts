import { randomUUID } from "node:crypto";
import { sql } from "kysely";
import { transaction } from "../../database.ts";
import { removeBlobs } from "../apps/app-delete.ts";
import { findApp, processesOf, recordAppEvent, type AppParts, type PlacedApp, type Trx } from "../apps/app-parts.ts";
import { recordUsage } from "../apps/app-usage.ts";
import type { Actor } from "../api/audit.ts";
import type { Background } from "../api/background.ts";
import { environmentGroup, urisOf } from "../apps/desired.ts";
import { stagingEnvironment } from "../environment/env.ts";
import { keepTouched, silentMs } from "./keep-touched.ts";
import { isBuildpackUrl, maskUrl } from "../apps/lifecycle.ts";
import { interrupted } from "./package-work.ts";
import { expireOld } from "./retention.ts";
import { StageFailure, type StageResult } from "../runtime/runtime.ts";
import { json, type DropletBuildpack, type RowOf } from "../data/schema.ts";
import { vcapApplication, vcapServices } from "../environment/vcap.ts";

type BuildRow = RowOf<"builds">;

/** Errors a build may end with, and the text each begins with; anything else becomes a StagingError. */
const failureTexts: Readonly<Record<string, string>> = {
  NoAppDetectedError: "An app was not successfully detected by any available buildpack",
  BuildpackCompileFailed: "App staging failed in the buildpack compile phase",
  BuildpackReleaseFailed: "App staging failed in the buildpack release phase",
  NoBuildpacksFound: "There are no buildpacks available",
  InsufficientResources: "Insufficient resources",
  NoCompatibleCell: "Found no compatible cell",
  StagerUnavailable: "Stager is unavailable",
  StagingTimeExpired: "Staging time expired",
  StagerError: "Stager error",
  StagingError: "",
};

export const restarted = "The platform was restarted while this build was running. Push or restage again.";

/** Stages a build in the background; it ends STAGED with a droplet, or FAILED with an id and a text. */
export function stageBuild(parts: AppParts, background: Background, build: BuildRow): void {
  background.run("build", async (signal) => {
    using _touched = keepTouched(parts, "builds", build.guid);
    try {
      const found = await findApp(parts.db, build.app_guid);
      if (!found) return;
      const dropletGuid = randomUUID();
      const result = await requestStaging(parts, build, found, { dropletGuid, signal });
      await completeBuild(parts, build, found, { dropletGuid, result });
    } catch (error) {
      // A platform that stops leaves the build as it is: its next start says what happened.
      if (signal.aborted && !(error instanceof StageFailure)) return await failBuild(parts, build, "StagingError", restarted);
      if (!(error instanceof StageFailure)) parts.log.error("build.failed", { build: build.guid, error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
      const { type, message } = error instanceof StageFailure ? error : { type: "StagingError", message: "The platform could not stage the app. Try again." };
      await failBuild(parts, build, type in failureTexts ? type : "StagingError", failureText(type, message));
    }
  });
}

function failureText(type: string, message: string): string {
  const start = failureTexts[type] ?? "";
  if (start === "" || message.startsWith(start)) return message === "" ? "Staging failed" : message;
  return message === "" ? start : `${start}: ${message}`;
}

async function requestStaging(parts: AppParts, build: BuildRow, { app, place }: PlacedApp, { dropletGuid, signal }: { dropletGuid: string; signal: AbortSignal }): Promise<StageResult> {
  const { db, blobs, limits, runtime, services } = parts;
  const stack = build.stack ?? "";
  const validMs = (limits.stagingTimeoutSeconds + 300) * 1000;
  const cacheKey = `buildpack_cache/${app.guid}/${stack}`;
  const [group, uris, bindings, names, hasCache, buildpacks, web] = await Promise.all([
    environmentGroup(db, "staging"),
    urisOf(db, [app.guid]),
    services.bindings([app.guid]),
    db.selectFrom("spaces").innerJoin("organizations", "organizations.guid", "spaces.organization_guid")
      .select(["spaces.name as spaceName", "organizations.name as organizationName"]).where("spaces.guid", "=", app.space_guid).executeTakeFirstOrThrow(),
    blobs.exists(cacheKey),
    buildpackAddresses(parts, build, validMs),
    db.selectFrom("processes").select("command").where("app_guid", "=", app.guid).where("type", "=", "web").executeTakeFirst(),
  ]);
  const [packageUrl, dropletUploadUrl, cacheUploadUrl] = await Promise.all([
    blobs.url(`packages/${build.package_guid ?? ""}`, "GET", validMs),
    blobs.url(`droplets/${dropletGuid}`, "PUT", validMs, { maxBytes: limits.maxDropletBytes }),
    blobs.url(cacheKey, "PUT", validMs, { maxBytes: limits.maxDropletBytes }),
  ]);
  const result = await runtime.stage({
    buildGuid: build.guid, appGuid: app.guid, appName: app.name, packageUrl, dropletUploadUrl, cacheUploadUrl,
    ...(hasCache && { cacheDownloadUrl: await blobs.url(cacheKey, "GET", validMs) }),
    buildpacks: buildpacks.map(({ address }) => address),
    stack,
    environment: stagingEnvironment({ group, app: app.environment_variables, build: build.environment_variables, stack, memoryMb: build.staging_memory_in_mb }),
    vcapApplication: vcapApplication({
      apiUrl: parts.apiUrl, appGuid: app.guid, appName: app.name, spaceGuid: app.space_guid, ...names, organizationGuid: place.organizationGuid,
      uris: uris.get(`${app.guid} web`) ?? [], version: randomUUID(), memoryMb: build.staging_memory_in_mb, diskMb: build.staging_disk_in_mb,
    }),
    vcapServices: vcapServices(bindings.get(app.guid) ?? []),
    memoryMb: build.staging_memory_in_mb, diskMb: build.staging_disk_in_mb, timeoutSeconds: limits.stagingTimeoutSeconds,
    ...(web?.command && { startCommand: web.command }),
  }, { signal });
  const named = new Map(buildpacks.map(({ address, name }) => [address, name]));
  return { ...result, buildpacks: result.buildpacks.map((buildpack) => ({ ...buildpack, key: named.get(buildpack.key) ?? buildpack.key })) };
}

/** Names and addresses of the buildpacks of a build: an uploaded one is fetched by a signed link, the platform's own by name. */
async function buildpackAddresses({ db, blobs }: AppParts, build: BuildRow, validMs: number): Promise<{ name: string; address: string }[]> {
  if (build.buildpacks.length === 0) return [];
  const rows = await db.selectFrom("buildpacks").selectAll().where("name", "in", build.buildpacks).where("lifecycle", "=", "buildpack").execute();
  return Promise.all(build.buildpacks.map(async (name) => {
    if (isBuildpackUrl(name)) return { name, address: name };
    const row = rows.filter((each) => each.name === name).sort((a, b) => Number(b.stack === build.stack) - Number(a.stack === build.stack))[0];
    const key = row && `buildpacks/${row.guid}.zip`;
    return { name, address: key !== undefined && (await blobs.exists(key)) ? await blobs.url(key, "GET", validMs) : name };
  }));
}

async function completeBuild(parts: AppParts, build: BuildRow, found: PlacedApp, { dropletGuid, result }: { dropletGuid: string; result: StageResult }): Promise<void> {
  const { db, blobs, runtime, clock, waiting } = parts;
  const stored = await blobs.head(`droplets/${dropletGuid}`);
  if (!stored) throw new StageFailure("StagingError", "The stager did not upload a droplet. Push or restage again.");
  if (result.sha256 !== "" && stored.sha256 !== result.sha256) throw new StageFailure("StagingError", "The droplet that was uploaded is not the one that was built. Push or restage again.");
  const web = (await processesOf(db, build.app_guid)).find(({ type }) => type === "web");
  if (Object.keys(result.processTypes).length === 0 && (web?.command ?? null) === null) {
    await removeBlobs(parts, [`droplets/${dropletGuid}`]);
    throw new StageFailure("StagingError", "Start command not specified. Give one with `cf push -c`, in the manifest or in a Procfile.");
  }
  const buildpacks = result.buildpacks.map(({ key, name, version, detectOutput, buildpackName }): DropletBuildpack => ({
    name: maskUrl(key), detect_output: detectOutput, buildpack_name: buildpackName ?? name, version,
  }));
  const written = await transaction(db, async (trx) => {
    const updated_at = new Date(clock.now());
    const now = await trx.updateTable("builds").set({ state: "STAGED", droplet_guid: dropletGuid, updated_at }).where("guid", "=", build.guid).where("state", "=", "STAGING").returningAll().executeTakeFirst();
    if (!now) return false;
    await trx.insertInto("droplets").values({
      guid: dropletGuid, app_guid: build.app_guid, package_guid: build.package_guid, build_guid: build.guid, state: "STAGED", lifecycle_type: build.lifecycle_type,
      sha1: stored.sha1, sha256: stored.sha256, size_bytes: stored.sizeBytes, buildpacks: json(buildpacks), stack: build.stack, process_types: json(result.processTypes),
      sidecars: json(result.sidecars.map(({ name, command, processTypes, memoryMb }) => ({ name, command, process_types: processTypes, memory_in_mb: memoryMb ?? null }))),
    }).execute();
    const actor = creatorOf(build);
    await recordAppEvent(trx, found, actor, { event: "droplet.create", data: { droplet_guid: dropletGuid, package_guid: build.package_guid } });
    await recordAppEvent(trx, found, actor, { event: "build.staged", data: {
      build_guid: build.guid, package_guid: build.package_guid, droplet_guid: dropletGuid,
      buildpacks: buildpacks.map(({ name, buildpack_name, version }) => ({ name, buildpack_name, version })),
    } });
    await recordUsage(trx, found, { state: "STAGING_STOPPED", previousState: "STAGING_STARTED", memoryMb: build.staging_memory_in_mb });
    const last = buildpacks.at(-1);
    if (last) await recordUsage(trx, found, { state: "BUILDPACK_SET", buildpack: { guid: await buildpackGuid(trx, last.name), name: last.name } });
    return true;
  });
  if (!written) return removeBlobs(parts, [`droplets/${dropletGuid}`]);
  waiting.changed(build.guid);
  runtime.log(build.app_guid, `Creating droplet for app with guid ${build.app_guid}`);
  runtime.log(build.app_guid, `Staging complete for build ${build.guid}`);
  await expireOld(parts, build.app_guid);
}

async function buildpackGuid(trx: Trx, name: string): Promise<string | null> {
  return (await trx.selectFrom("buildpacks").select("guid").where("name", "=", name).executeTakeFirst())?.guid ?? null;
}

/** Ends a build that is still STAGING. */
export async function failBuild(parts: AppParts, build: BuildRow, id: string, description: string): Promise<void> {
  const { db, runtime, waiting, clock } = parts;
  const failed = await transaction(db, async (trx) => {
    const row = await trx.updateTable("builds").set({ state: "FAILED", error_id: id, error_description: description.slice(0, 16_000), updated_at: new Date(clock.now()) })
      .where("guid", "=", build.guid).where("state", "=", "STAGING").returning("guid").executeTakeFirst();
    const found = row && (await findApp(trx, build.app_guid));
    if (!found) return false;
    await recordAppEvent(trx, found, creatorOf(build), { event: "build.failed", data: { build_guid: build.guid, package_guid: build.package_guid, error_id: id, error_message: description } });
    await recordUsage(trx, found, { state: "STAGING_STOPPED", previousState: "STAGING_STARTED", memoryMb: build.staging_memory_in_mb });
    return true;
  });
  waiting.changed(build.guid);
  if (!failed) return;
  runtime.log(build.app_guid, `Staging failed for build ${build.guid}: ${id} - ${description}`, { error: true });
}

const creatorOf = (build: BuildRow): Actor => ({ guid: build.created_by_guid ?? "", type: "user", name: build.created_by_name ?? "" });

export interface LeftOver {
  /** Other controllers work on the same database: only what has been silent for a while is left over. */
  shared: boolean;
}

/** Ends builds, packages and droplets that a crash cut off. */
export async function failInterrupted(parts: AppParts, { shared }: LeftOver): Promise<void> {
  const { db, clock } = parts;
  const updated_at = new Date(clock.now());
  // The database's own clock: it wrote the times that are compared.
  const left = shared ? sql<boolean>`updated_at < now() - make_interval(secs => ${silentMs / 1000})` : sql<boolean>`true`;
  const builds = await db.selectFrom("builds").selectAll().where("state", "=", "STAGING").where(left).execute();
  for (const build of builds) await failBuild(parts, build, "StagingError", restarted);
  await db.updateTable("packages").set({ state: "FAILED", error: interrupted, updated_at }).where("state", "in", ["PROCESSING_UPLOAD", "COPYING"]).where(left).execute();
  const error = "StagingError - The platform was restarted while this droplet was being processed. Upload it again.";
  await db.updateTable("droplets").set({ state: "FAILED", error, updated_at }).where("state", "in", ["PROCESSING_UPLOAD", "COPYING"]).where(left).execute();
}
