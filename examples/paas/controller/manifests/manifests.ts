import { demand, demandActive, placeOfSpace, type SpacePlace } from "../api/access.ts";
import { demandApp } from "../apps/app-access.ts";
import { createApp } from "../apps/app-create.ts";
import { appFeatures, featuresOf } from "../apps/app-features.ts";
import { changedLifecycle } from "../apps/app-lifecycle.ts";
import { processesOf, recordAppEvent, type AppParts, type AppRow } from "../apps/app-parts.ts";
import { CfError, notAuthorized, notFound, unprocessable } from "../api/errors.ts";
import { accepted, Answer, created, type Api, type Call } from "../api/http.ts";
import { maskUrl } from "../apps/lifecycle.ts";
import { applyManifest } from "./manifest-apply.ts";
import { diffManifest } from "../manifest/diff.ts";
import { readManifest } from "../manifest/document.ts";
import { describeApplication, manifestYaml, yamlOf, type AppDescription } from "../manifest/generate.ts";
import { normaliseApplication, readApplication, type AppManifest } from "../manifest/message.ts";
import { validateApplication } from "../manifest/validate.ts";

/** Most of a manifest's YAML that goes into a log line and an audit event. */
const maxAuditText = 8_000;

/** Manifests: the difference one would make, applying it, and the one an app stands for. */
export function manifestRoutes(api: Api, parts: AppParts): void {
  const { db, flags, jobs, runtime } = parts;

  async function demandSpace(call: Call): Promise<SpacePlace> {
    const place = await placeOfSpace(db, call.guid);
    if (!place) throw notFound("Space");
    demand(call.access, { read: "space.read", write: "app.manifest", place, type: "Space" });
    demandActive(call.access, place);
    return place;
  }

  /** The document of a request, every app of it in order. @throws CfError with everything that is wrong */
  async function readBody(call: Call): Promise<{ raw: Record<string, unknown>[]; manifests: AppManifest[] }> {
    if (!/^[a-z]+\/(x-|vnd\.)?ya?ml\b/i.test(call.request.headers["content-type"] ?? "")) throw new CfError("BadRequest", "Bad request: Content-Type must be yaml");
    const document = readManifest(typeof call.body === "string" ? call.body : "");
    if (!document.ok) {
      const { kind, text } = document.problem;
      if (kind === "unprocessable") throw unprocessable(text);
      throw kind === "parse" ? new CfError("MessageParseError", `Request invalid due to parse error: ${text}`) : new CfError("BadRequest", `Bad request: ${text}`);
    }
    const rules = { features: Object.keys(appFeatures), hashBasedRouting: await flags.enabled("hash_based_routing") };
    const fields = document.applications.map(normaliseApplication);
    const problems = fields.flatMap((application, index) => {
      const { name } = application;
      const whose = typeof name === "string" && name !== "" ? `For application '${name}': ` : `For application at index ${index}: `;
      return validateApplication(application, rules).map((text) => whose + text);
    });
    if (problems.length > 0) throw unprocessable(problems);
    return { raw: document.applications, manifests: fields.map((application, index) => readApplication(application, document.applications[index] ?? {})) };
  }

  const appsByName = async (spaceGuid: string, names: readonly string[]): Promise<Map<string, AppRow>> => {
    const rows = names.length === 0 ? [] : await db.selectFrom("apps").selectAll().where("space_guid", "=", spaceGuid).where("name", "in", names).execute();
    return new Map(rows.map((row) => [row.name, row]));
  };

  api.post("/v3/spaces/:guid/manifest_diff", async (call) => {
    const place = await demandSpace(call);
    const { raw, manifests } = await readBody(call);
    const apps = await appsByName(place.spaceGuid, manifests.map(({ name }) => name));
    const described = new Map<string, Record<string, unknown>>();
    for (const [name, app] of apps) described.set(name, describeApplication(await description(app)));
    return created({ diff: diffManifest(raw, (name) => described.get(name)) });
  });

  api.post("/v3/spaces/:guid/actions/apply_manifest", async (call) => {
    const place = await demandSpace(call);
    const { manifests } = await readBody(call);
    const apps = await appsByName(place.spaceGuid, manifests.map(({ name }) => name));
    const targets: { guid: string; manifest: AppManifest }[] = [];
    for (const manifest of manifests) {
      const app = apps.get(manifest.name) ?? (await createSkeleton(call, place, manifest));
      apps.set(manifest.name, app);
      if (app.lifecycle_type !== "docker" && manifest.lifecycle?.type === "docker") throw unprocessable(`For application '${manifest.name}': Docker cannot be configured for a buildpack lifecycle app.`);
      targets.push({ guid: app.guid, manifest });
    }
    for (const { guid, manifest } of targets) {
      const yaml = yamlOf({ applications: [manifest.audit] }).slice(0, maxAuditText);
      const app = apps.get(manifest.name);
      if (app) await recordAppEvent(db, { app, place }, call.actor, { event: "apply_manifest", data: { request: { manifest: `---\n${yaml}` } } });
      runtime.log(guid, `Applied manifest to app with guid ${guid} (---\n${yaml})`);
    }
    const caller = { access: call.access, actor: call.actor };
    const work = async (): Promise<void> => {
      for (const { guid, manifest } of targets) await applyManifest(parts, caller, guid, manifest);
    };
    return accepted(call, await jobs.run({ operation: "space.apply_manifest", resource: { type: "space", guid: place.spaceGuid }, work }));
  });

  /** The app itself is there before the job begins: whoever asked for it can look it up. */
  async function createSkeleton(call: Call, place: SpacePlace, manifest: AppManifest): Promise<AppRow> {
    try {
      const lifecycle = await changedLifecycle(db, manifest.lifecycle ?? {});
      return await createApp(parts, { name: manifest.name, place, lifecycle, request: { name: manifest.name, manifest_triggered: true } }, call.actor);
    } catch (error) {
      throw error instanceof CfError ? new CfError(error.code, error.details.map((text) => `For application '${manifest.name}': ${text}`)) : error;
    }
  }

  api.get("/v3/apps/:guid/manifest", { query: "any" }, async (call) => {
    const { app, place } = await demandApp(db, call, call.guid);
    if (!call.access.can("app.manifest.read", place)) throw notAuthorized();
    const yaml = manifestYaml([describeApplication(await description(app))]);
    return new Answer(200, yaml, { "content-type": "application/x-yaml" });
  });

  async function description(app: AppRow): Promise<AppDescription> {
    const [processes, sidecars, bindings, routes] = await Promise.all([
      processesOf(db, app.guid),
      db.selectFrom("sidecars").selectAll().where("app_guid", "=", app.guid).execute(),
      parts.services.bindings([app.guid]),
      db.selectFrom("route_destinations").innerJoin("routes", "routes.guid", "route_destinations.route_guid").innerJoin("domains", "domains.guid", "routes.domain_guid")
        .select(["routes.host", "routes.path", "routes.port", "routes.options", "domains.name as domain", "route_destinations.protocol"])
        .where("route_destinations.app_guid", "=", app.guid).execute(),
    ]);
    return {
      name: app.name,
      lifecycle: { type: app.lifecycle_type, buildpacks: app.buildpacks.map(maskUrl), stack: app.stack },
      env: app.environment_variables,
      features: featuresOf(app),
      labels: app.labels,
      annotations: app.annotations,
      serviceNames: (bindings.get(app.guid) ?? []).map(({ instanceName }) => instanceName),
      routes: routes.map(({ host, path, port, options, domain, protocol }) => ({
        route: `${host === "" ? "" : `${host}.`}${domain}${port === null ? path : `:${port}`}`, protocol, options,
      })),
      // While a deployment replaces it there are two web processes: the newest one is what the app becomes.
      processes: [...new Map(processes.map((process) => [process.type, process])).values()].map((process) => ({
        type: process.type, instances: process.instances, memoryMb: process.memory_in_mb, diskMb: process.disk_in_mb, logRateBytesPerSecond: process.log_rate_limit_in_bytes_per_second,
        command: process.command, user: process.run_as, timeoutSeconds: process.health_check_timeout,
        healthCheck: {
          type: process.health_check_type, endpoint: process.health_check_http_endpoint,
          invocationTimeoutSeconds: process.health_check_invocation_timeout, intervalSeconds: process.health_check_interval,
        },
        readinessHealthCheck: {
          type: process.readiness_health_check_type, endpoint: process.readiness_health_check_http_endpoint,
          invocationTimeoutSeconds: process.readiness_health_check_invocation_timeout, intervalSeconds: process.readiness_health_check_interval,
        },
      })),
      sidecars: sidecars.map(({ name, command, process_types, memory_in_mb }) => ({ name, command, processTypes: process_types, memoryMb: memory_in_mb })),
    };
  }
}
