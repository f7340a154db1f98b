import { randomUUID } from "node:crypto";
import { sql } from "kysely";
import { transaction, uniqueViolation } from "../../database.ts";
import { demandActive } from "../api/access.ts";
import { demandApp, demandPart } from "../apps/app-access.ts";
import { decideLifecycle, stackWarnings } from "../apps/app-lifecycle.ts";
import { findApp, processesOf, recordAppEvent, type AppParts } from "../apps/app-parts.ts";
import { presentBuild } from "../apps/app-present.ts";
import { quotaProblem } from "../apps/app-quota.ts";
import { recordUsage } from "../apps/app-usage.ts";
import type { Background } from "../api/background.ts";
import { stageBuild } from "./build-work.ts";
import { checkBody, isPlain } from "../api/checks.ts";
import { environmentProblems } from "../environment/env.ts";
import { CfError, unprocessable } from "../api/errors.ts";
import { created, type Api } from "../api/http.ts";
import type { Lifecycle } from "../apps/lifecycle.ts";
import { mergedMetadata, type MetadataPatch } from "../api/present.ts";
import { anyOf, where } from "../api/query.ts";
import { json } from "../data/schema.ts";
import { longPoll } from "../api/waiting.ts";

const unusable = "Unable to use package. Ensure that the package exists and you have access to it.";

/** `/v3/builds`: from a package to a droplet. */
export function buildRoutes(api: Api, parts: AppParts, background: Background): void {
  const { db, limits, runtime } = parts;
  const filters = {
    states: anyOf("builds.state"),
    app_guids: anyOf("builds.app_guid"),
    package_guids: anyOf("builds.package_guid"),
    space_guids: where((guids) => sql`builds.app_guid IN (SELECT guid FROM apps WHERE space_guid = ANY(${guids}))`),
    organization_guids: where((guids) => sql`builds.app_guid IN (SELECT apps.guid FROM apps JOIN spaces ON spaces.guid = apps.space_guid WHERE spaces.organization_guid = ANY(${guids}))`),
  };
  api.list("/v3/builds", {
    table: "builds", filters,
    scope: (call) => [call.access.visible("app.read", { space: sql`(SELECT space_guid FROM apps WHERE apps.guid = builds.app_guid)` })],
    present: (rows, call) => rows.map((row) => presentBuild(row, call.urls.api)),
  });
  api.list("/v3/apps/:guid/builds", {
    table: "builds", filters: { states: filters.states },
    scope: async (call) => {
      await demandApp(db, call, call.guid);
      return [sql<boolean>`builds.app_guid = ${call.guid}`];
    },
    present: (rows, call) => rows.map((row) => presentBuild(row, call.urls.api)),
  });

  const read = (guid: string) => db.selectFrom("builds").selectAll().where("guid", "=", guid).executeTakeFirst();
  api.get("/v3/builds/:guid", async (call) => {
    const { row } = await demandPart(db, call, { row: await read(call.guid), type: "Build" });
    const now = await longPoll(parts.waiting, row.guid, { read: () => read(row.guid), finished: (build) => build?.state !== "STAGING", timeoutMs: limits.longPollMs, signal: call.signal });
    return presentBuild(now ?? row, call.urls.api);
  });

  api.post("/v3/builds", async (call) => {
    const checks = checkBody(call.body, ["staging_memory_in_mb", "staging_disk_in_mb", "staging_log_rate_limit_bytes_per_second", "environment_variables", "lifecycle", "package", "metadata"]);
    const body = (isPlain(call.body) ? call.body : {}) as { package?: unknown; lifecycle?: unknown; environment_variables?: unknown };
    const memory = checks.integer("staging_memory_in_mb", { min: 1 });
    const disk = checks.integer("staging_disk_in_mb", { min: 1 });
    const logRate = checks.integer("staging_log_rate_limit_bytes_per_second", { min: -1, max: Number.MAX_SAFE_INTEGER });
    const metadata = checks.object("metadata");
    if (body.environment_variables !== undefined && body.environment_variables !== null) checks.add(...environmentProblems(body.environment_variables, "Environment variables"));
    const packageGuid = isPlain(body.package) ? body.package["guid"] : undefined;
    if (typeof packageGuid !== "string") checks.add("Package guid can't be blank");
    if (checks.problems.length > 0 || typeof packageGuid !== "string") throw unprocessable(checks.problems.join(", "));

    const pkg = await db.selectFrom("packages").selectAll().where("guid", "=", packageGuid).executeTakeFirst();
    const found = pkg && (await findApp(db, pkg.app_guid));
    if (!pkg || !found || !call.access.can("app.operate", found.place)) throw unprocessable(unusable);
    demandActive(call.access, found.place);
    const { app } = found;
    const current: Lifecycle = { type: app.lifecycle_type, buildpacks: app.buildpacks, stack: app.stack };
    const lifecycle = await decideLifecycle(db, body.lifecycle, current);
    await demandEnabledBuildpacks(lifecycle.buildpacks);
    const firstBuild = (await db.selectFrom("builds").select("guid").where("app_guid", "=", app.guid).limit(1).executeTakeFirst()) === undefined;
    for (const warning of await stackWarnings(db, lifecycle.stack, { firstBuild })) call.warn(warning);
    if (pkg.state !== "READY") throw new CfError("BadRequest", "Bad request: Cannot stage package whose state is not ready.");

    const web = (await processesOf(db, app.guid)).filter(({ type }) => type === "web").at(-1);
    const memoryMb = Math.max(limits.minStagingMemoryMb, memory ?? web?.memory_in_mb ?? 0);
    const diskMb = Math.max(limits.minStagingDiskMb, disk ?? web?.disk_in_mb ?? 0);
    if (disk !== undefined && disk !== null && disk > Math.max(limits.minStagingDiskMb, limits.maxDiskMb)) throw unprocessable("disk limit exceeded");
    const row = await transaction(db, async (trx) => {
      await demandMemory(app.space_guid, memoryMb);
      const row = await trx
        .insertInto("builds")
        .values({
          guid: randomUUID(), app_guid: app.guid, package_guid: pkg.guid, state: "STAGING", lifecycle_type: lifecycle.type, buildpacks: json(lifecycle.buildpacks), stack: lifecycle.stack,
          environment_variables: json(body.environment_variables ?? {}), staging_memory_in_mb: memoryMb, staging_disk_in_mb: diskMb,
          staging_log_rate_limit_bytes_per_second: logRate ?? web?.log_rate_limit_in_bytes_per_second ?? -1,
          created_by_guid: call.actor.guid, created_by_name: call.actor.name, created_by_email: call.holder?.email ?? null, ...mergedMetadata(metadata as MetadataPatch | undefined),
        })
        .returningAll()
        .executeTakeFirstOrThrow();
      await recordUsage(trx, found, { state: "STAGING_STARTED", memoryMb });
      await recordAppEvent(trx, found, call.actor, { event: "build.create", data: { build_guid: row.guid, package_guid: pkg.guid } });
      return row;

      async function demandMemory(spaceGuid: string, megabytes: number): Promise<void> {
        const problem = await quotaProblem(trx, spaceGuid, [{ guid: "", instances: 1, memoryMb: megabytes, logRateBytesPerSecond: 0 }], { only: "memory" });
        if (problem === undefined) return;
        throw unprocessable(problem.includes("space_") ? `space's memory limit exceeded: ${problem}` : `organization's memory limit exceeded: ${problem}`);
      }
    }).catch((error: unknown) => {
      throw uniqueViolation(error) === "builds_one_staging" ? new CfError("StagingInProgress") : error;
    });
    runtime.log(app.guid, `Creating build for app with guid ${app.guid}`);
    stageBuild(parts, background, row);
    return created(presentBuild(row, call.urls.api));
  });

  async function demandEnabledBuildpacks(names: readonly string[]): Promise<void> {
    if (names.length === 0) return;
    const disabled = await db.selectFrom("buildpacks").select("name").where("name", "in", names).where("enabled", "=", false).execute();
    const enabled = new Set((await db.selectFrom("buildpacks").select("name").where("name", "in", names).where("enabled", "=", true).execute()).map(({ name }) => name));
    const off = disabled.filter(({ name }) => !enabled.has(name));
    if (off.length > 0) throw new CfError("BuildpackInvalid", `Buildpack is invalid: Requested buildpack(s) ${off.map(({ name }) => `'${name}'`).join(", ")} are disabled and cannot be used for staging`);
  }

  api.patch("/v3/builds/:guid", async (call) => {
    const checks = checkBody(call.body, ["metadata"]);
    const metadata = checks.object("metadata");
    if (checks.problems.length > 0) throw unprocessable(checks.problems.join(", "));
    const { row } = await demandPart(db, call, { row: await read(call.guid), type: "Build", write: "app.write" });
    const updated = await db.updateTable("builds").set({ ...mergedMetadata(metadata as MetadataPatch | undefined, row), updated_at: new Date(parts.clock.now()) }).where("guid", "=", row.guid).returningAll().executeTakeFirstOrThrow();
    return presentBuild(updated, call.urls.api);
  });
}
