import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Client } from "../support/controller.ts";
import { detail, pushApp, relation, startTestApps, type TestApps } from "../support/apps.ts";

let platform: TestApps;
let admin: Client;
let dev: Client;
let space: string;
let organization: string;

beforeAll(async () => {
  platform = await startTestApps();
  admin = platform.admin;
  ({ space, organization } = await platform.space());
  dev = await member("dev", "space_developer");
});
afterAll(() => platform[Symbol.asyncDispose]());

async function member(name: string, type: string): Promise<Client> {
  const client = await platform.user(name);
  const user = { data: { username: name, origin: "uaa" } };
  await admin.post("/v3/roles", { type: "organization_user", relationships: { user, organization: relation(organization) } });
  const role = await admin.post("/v3/roles", { type, relationships: { user, space: relation(space) } });
  if (role.status !== 201) throw new Error(JSON.stringify(role.body));
  return client;
}
const create = (name: string, more: object = {}) => dev.post("/v3/apps", { name, relationships: { space: relation(space) }, ...more });
const logOf = (app: string): string[] => platform.runtime.lines.filter(({ appGuid }) => appGuid === app).map(({ line }) => line);
const eventsOf = async (app: string): Promise<string[]> =>
  (await platform.controller.context.db.selectFrom("audit_events").select("type").where("target_guid", "=", app).orderBy("id").execute()).map(({ type }) => type);

describe("apps", () => {
  test("are created with a web process of the same guid and the platform's defaults", async () => {
    const made = await create("fresh", { environment_variables: { A: "1" }, metadata: { labels: { team: "x" } } });
    expect(made.status).toBe(201);
    expect(made.body).toMatchObject({
      name: "fresh", state: "STOPPED", lifecycle: { type: "buildpack", data: { buildpacks: [], stack: "cflinuxfs4" } },
      relationships: { space: relation(space), current_droplet: { data: null } }, metadata: { labels: { team: "x" }, annotations: {} },
    });
    const { guid } = made.body;
    const process = await dev.get(`/v3/apps/${guid}/processes/web`);
    expect(process.body).toMatchObject({
      guid, type: "web", instances: 1, memory_in_mb: 1024, disk_in_mb: 1024, log_rate_limit_in_bytes_per_second: 1_048_576, command: "", user: "vcap",
      health_check: { type: "port", data: { timeout: null, invocation_timeout: null, interval: null } }, readiness_health_check: { type: "process" },
      relationships: { app: relation(guid), revision: null },
    });
    expect(logOf(guid)).toEqual([`Created app with guid ${guid}`]);
    expect(await eventsOf(guid)).toEqual(["audit.app.create"]);
    expect((await dev.get(`/v3/apps?names=fresh&space_guids=${space}`)).body.resources.map((app: { guid: string }) => app.guid)).toEqual([guid]);
  });

  test.each<[object, string]>([
    [{ name: "x" }, "Relationships 'relationships' is not an object"],
    [{ relationships: { space: relation("s") } }, "Name must be a string"],
    [{ name: "", relationships: { space: relation("s") } }, "Name must not be empty"],
    [{ name: "x", bogus: 1, relationships: { space: relation("s") } }, "Unknown field(s): 'bogus'"],
    [{ name: "x", relationships: {} }, "Relationships 'relationships' must include one or more valid relationships"],
    [{ name: "x", relationships: { space: { guid: "s" } } }, 'Relationships Space must be structured like this: "space: {"data": {"guid": "valid-guid"}}"'],
    [{ name: "x", relationships: { space: relation("nowhere") } }, "Invalid space. Ensure that the space exists and you have access to it."],
    [{ name: "y".repeat(256), relationships: { space: relation("s") } }, "Name is too long (maximum is 255 characters)"],
  ])("a body that is wrong: %j", async (body, text) => {
    const reply = await dev.post("/v3/apps", body);
    expect([reply.status, detail(reply), reply.body.errors[0].code]).toEqual([422, text, 10008]);
  });

  test.each<[object, number, string]>([
    [{ lifecycle: { type: "buildpack", data: { stack: "none" } } }, 422, "Stack must be an existing stack"],
    [{ lifecycle: { type: "buildpack", data: { buildpacks: ["nope"] } } }, 422, 'Buildpack "nope" must be an existing admin buildpack or a valid git URI'],
    [{ lifecycle: { type: "buildpack", data: { buildpacks: [1] } } }, 422, "Lifecycle Buildpacks can only contain strings"],
    [{ lifecycle: { type: "docker", data: {} } }, 403, "Feature Disabled: diego_docker"],
    [{ lifecycle: { type: "other", data: {} } }, 422, "Lifecycle type is not included in the list: buildpack, docker, cnb"],
    [{ environment_variables: { VCAP_X: "1" } }, 422, "Environment variables cannot start with VCAP_"],
  ])("what an app may not be made with: %j", async (more, status, text) => {
    const reply = await create("refused", more);
    expect([reply.status, detail(reply)]).toEqual([status, text]);
  });

  test("the password in a buildpack's address is not shown", async () => {
    const made = await create("secret-buildpack", { lifecycle: { type: "buildpack", data: { buildpacks: ["https://me:pw@example.org/b.git#v1", "binary_buildpack"] } } });
    expect(made.body.lifecycle.data.buildpacks).toEqual(["https://***:***@example.org/b.git#v1", "binary_buildpack"]);
  });

  test("a taken name is said in the words clients match", async () => {
    await create("taken");
    const again = await create("TAKEN");
    expect([again.status, detail(again), again.body.errors[0].title]).toEqual([422, "App with the name 'TAKEN' already exists.", "CF-UniquenessError"]);
    const other = await create("other-name");
    const renamed = await dev.patch(`/v3/apps/${other.body.guid}`, { name: "taken" });
    expect([renamed.status, detail(renamed)]).toEqual([422, "App with the name 'taken' already exists."]);
  });

  test("roles: who may see, who may change", async () => {
    const { guid } = (await create("guarded")).body;
    const auditor = await member("auditor", "space_auditor");
    const stranger = await platform.user("stranger");
    expect((await stranger.get(`/v3/apps/${guid}`)).status).toBe(404);
    expect(detail(await stranger.delete(`/v3/apps/${guid}`))).toBe("App not found");
    expect((await auditor.get(`/v3/apps/${guid}`)).status).toBe(200);
    expect((await auditor.patch(`/v3/apps/${guid}`, { name: "mine" })).status).toBe(403);
    expect((await auditor.get(`/v3/apps/${guid}/env`)).status).toBe(403);
    expect((await auditor.get(`/v3/apps/${guid}/permissions`)).body).toEqual({ read_basic_data: true, read_sensitive_data: false });
    expect((await dev.get(`/v3/apps/${guid}/permissions`)).body).toEqual({ read_basic_data: true, read_sensitive_data: true });
    expect((await auditor.get(`/v3/processes/${guid}`)).body.command).toBe("[PRIVATE DATA HIDDEN]");
    const supporter = await member("supporter", "space_supporter");
    expect((await supporter.delete(`/v3/apps/${guid}`)).status).toBe(403);
    expect((await supporter.post(`/v3/apps/${guid}/actions/stop`)).status).toBe(200);
    expect((await stranger.get("/v3/apps")).body.resources).toEqual([]);
  });

  test("environment: set, replaced, removed; names and values that are refused", async () => {
    const { guid } = (await create("env", { environment_variables: { A: "1", B: "2" } })).body;
    const patched = await dev.patch(`/v3/apps/${guid}/environment_variables`, { var: { A: null, C: "3" } });
    expect(patched.body.var).toEqual({ B: "2", C: "3" });
    for (const [patch, text] of [[{ PORT: "1" }, "Var cannot set PORT"], [{ vmc_x: "1" }, "Var cannot start with VMC_"], [{ N: 1 }, "Non-string value in environment variable for key 'N', value '1'"]] as const) {
      const refused = await dev.patch(`/v3/apps/${guid}/environment_variables`, { var: patch });
      expect([refused.status, detail(refused)]).toEqual([422, text]);
    }
    const env = await dev.get(`/v3/apps/${guid}/env`);
    expect(env.body).toMatchObject({
      staging_env_json: {}, running_env_json: {}, environment_variables: { B: "2", C: "3" }, system_env_json: { VCAP_SERVICES: {} },
      application_env_json: { VCAP_APPLICATION: { application_id: guid, application_name: "env", space_id: space, organization_id: organization, process_type: "web", limits: { mem: 1024, disk: 1024, fds: 16_384 }, users: null } },
    });
    expect(await eventsOf(guid)).toEqual(["audit.app.create", "audit.app.update", "audit.app.environment.show"]);
  });

  test("features and ssh", async () => {
    const { guid } = (await create("features")).body;
    expect((await dev.get(`/v3/apps/${guid}/features`)).body.resources.map((feature: { name: string }) => feature.name)).toEqual(["ssh", "revisions", "service-binding-k8s", "file-based-vcap-services"]);
    expect((await dev.patch(`/v3/apps/${guid}/features/ssh`, { enabled: false })).body).toMatchObject({ name: "ssh", enabled: false });
    expect((await dev.get(`/v3/apps/${guid}/ssh_enabled`)).body).toEqual({ enabled: false, reason: "Disabled for app" });
    const missing = await dev.patch(`/v3/apps/${guid}/features/file-based-vcap-services`, { enabled: true });
    expect([missing.status, detail(missing)]).toEqual([422, "This platform does not write VCAP_SERVICES to a file; use the variable."]);
    expect((await dev.get(`/v3/apps/${guid}/features/fly`)).status).toBe(404);
  });
});

describe("start and stop", () => {
  test("without a droplet an app does not start", async () => {
    const { guid } = (await create("no-droplet")).body;
    for (const action of ["start", "restart"]) {
      const reply = await dev.post(`/v3/apps/${guid}/actions/${action}`);
      expect([reply.status, detail(reply)]).toEqual([422, "Assign a droplet before starting this app."]);
    }
    expect((await dev.post(`/v3/apps/${guid}/actions/stop`)).status).toBe(200);
  });

  test("start, scale, restart and stop: versions, events, log lines, usage, and what the runtime is told", async () => {
    const { app } = await pushApp(platform, dev, space, "alive");
    const version = async () => (await dev.get(`/v3/processes/${app}`)).body.version as string;
    const before = await version();
    expect((await dev.post(`/v3/apps/${app}/actions/start`)).body.state).toBe("STARTED");
    const started = await version();
    expect(started).not.toBe(before);
    expect(platform.runtime.converged).toContain(app);
    expect((await dev.post(`/v3/apps/${app}/actions/start`)).status).toBe(200);
    expect(await version(), "starting what is started changes nothing").toBe(started);

    platform.runtime.converged.length = 0;
    const scaled = await dev.post(`/v3/apps/${app}/processes/web/actions/scale`, { instances: 3 });
    expect([scaled.status, scaled.body.instances]).toEqual([202, 3]);
    expect(platform.runtime.converged).toEqual([app]);
    expect(await version(), "a number of instances is no new version").toBe(started);

    await dev.post(`/v3/apps/${app}/actions/restart`);
    expect(await version()).not.toBe(started);
    expect((await dev.post(`/v3/apps/${app}/actions/stop`)).body.state).toBe("STOPPED");
    expect(await eventsOf(app)).toEqual([
      "audit.app.create", "audit.app.package.create", "audit.app.package.upload", "audit.app.build.create", "audit.app.droplet.create", "audit.app.build.staged",
      "audit.app.droplet.mapped", "audit.app.revision.create", "audit.app.start", "audit.app.start", "audit.app.process.scale", "audit.app.restart", "audit.app.stop",
    ]);
    expect(logOf(app)).toContain(`Starting app with guid ${app}`);
    expect(logOf(app)).toContain(`Stopping app with guid ${app}`);
    const usage = await platform.controller.context.db.selectFrom("app_usage_events").select(["state", "instances", "previous_instances", "buildpack_name"]).where("app_guid", "=", app).orderBy("id").execute();
    expect(usage.map(({ state }) => state)).toEqual(["STAGING_STARTED", "STAGING_STOPPED", "BUILDPACK_SET", "STARTED", "STARTED", "STOPPED"]);
    expect(usage[2]?.buildpack_name).toBe("binary_buildpack");
    expect(usage[4]).toMatchObject({ instances: 3, previous_instances: 1 });
  });

  test("quotas stand in the way of a start and of a scale", async () => {
    const small = await platform.space({ organization: "small-org" });
    await platform.controller.context.db.updateTable("organization_quotas").set({ total_memory_in_mb: 2500 }).execute();
    try {
      const { app } = await pushApp(platform, admin, small.space, "big");
      await admin.post(`/v3/apps/${app}/actions/start`);
      const refused = await admin.post(`/v3/apps/${app}/processes/web/actions/scale`, { instances: 3 });
      expect([refused.status, refused.body.errors[0].code]).toEqual([422, 10008]);
      expect(detail(refused)).toMatch(/^memory quota_exceeded \(used 0 MB, asked for 3072 MB, limit 2500 MB in organization 'small-org'\)$/);
      expect((await admin.get(`/v3/processes/${app}`)).body.instances, "nothing was changed").toBe(1);
      expect((await admin.post(`/v3/apps/${app}/actions/stop`)).status).toBe(200);
      expect((await admin.post(`/v3/apps/${app}/processes/web/actions/scale`, { instances: 3 })).status, "a stopped app may be set to anything").toBe(202);
      expect(detail(await admin.post(`/v3/apps/${app}/actions/start`))).toMatch(/^memory quota_exceeded/);
    } finally {
      await platform.controller.context.db.updateTable("organization_quotas").set({ total_memory_in_mb: 10_240 }).execute();
    }
  });

  test("deleting an app removes rows, instances and blobs", async () => {
    const { app, pkg, droplet } = await pushApp(platform, dev, space, "doomed");
    await dev.post(`/v3/apps/${app}/actions/start`);
    platform.runtime.converged.length = 0;
    const job = await dev.job(await dev.delete(`/v3/apps/${app}`));
    expect(job.body).toMatchObject({ operation: "app.delete", state: "COMPLETE", errors: [] });
    expect(platform.runtime.converged).toContain(app);
    expect((await dev.get(`/v3/apps/${app}`)).status).toBe(404);
    expect((await dev.get(`/v3/processes/${app}`)).status).toBe(404);
    expect(await platform.blobs.exists(`packages/${pkg}`)).toBe(false);
    expect(await platform.blobs.exists(`droplets/${droplet}`)).toBe(false);
  });
});

describe("processes", () => {
  test("stats: whole numbers, one entry per instance, DOWN where there is none", async () => {
    const { app } = await pushApp(platform, dev, space, "watched");
    await dev.post(`/v3/apps/${app}/processes/web/actions/scale`, { instances: 3 });
    expect((await dev.get(`/v3/processes/${app}/stats`)).body.resources.map((stat: { state: string }) => stat.state), "a stopped app").toEqual(["DOWN", "DOWN", "DOWN"]);
    await dev.post(`/v3/apps/${app}/actions/start`);
    const { version } = (await dev.get(`/v3/processes/${app}`)).body;
    const sinceSeconds = Math.floor(Date.now() / 1000) - 12;
    platform.runtime.actual.set(app, [
      { index: 0, instanceGuid: "i0", version, state: "RUNNING", sinceSeconds, deaId: "d", host: "10.0.0.1", port: 61_001 },
      { index: 1, instanceGuid: "i1", version: "old", state: "RUNNING", sinceSeconds, deaId: "d" },
      { index: 2, instanceGuid: "", version, state: "DOWN", sinceSeconds, deaId: "", details: "insufficient resources: memory" },
    ]);
    const { resources } = (await dev.get(`/v3/processes/${app}/stats`)).body;
    expect(resources[0]).toEqual({
      type: "web", index: 0, instance_guid: "i0", state: "RUNNING", routable: true, host: "10.0.0.1", instance_internal_ip: "10.0.0.1",
      instance_ports: [{ external: 61_001, internal: 61_001, external_tls_proxy_port: null, internal_tls_proxy_port: null }],
      uptime: 13, mem_quota: 1_073_741_824, disk_quota: 1_073_741_824, log_rate_limit: 1_048_576, fds_quota: 16_384, isolation_segment: null, details: null,
      usage: { time: "2024-05-01T10:00:00Z", cpu: 0.25, cpu_entitlement: 0.25, mem: 1_000_000, disk: 2_000_000, log_rate: 4 },
    });
    expect(resources[1].state, "what runs with an old version is not yet what was asked for").toBe("STARTING");
    expect(resources[2]).toEqual({ type: "web", index: 2, state: "DOWN", routable: null, uptime: 0, isolation_segment: null, details: "insufficient resources: memory" });
    const listed = await dev.get(`/v3/processes?space_guids=${space}&embed=process_instances&per_page=5000`);
    const mine = listed.body.resources.find((process: { guid: string }) => process.guid === app);
    expect(mine.process_instances.map(({ state }: { state: string }) => state)).toEqual(["RUNNING", "STARTING", "DOWN"]);
    expect(mine.process_instances[0].since).toBeGreaterThanOrEqual(12);
    expect(mine.command).toBe("[PRIVATE DATA HIDDEN IN LISTS]");
    expect((await dev.get(`/v3/processes/${app}`)).body.command, "what the droplet says").toBe("./run");
    expect((await dev.get("/v3/processes?embed=bogus")).status).toBe(400);
  });

  test.each<[object, string]>([
    [{ instances: -1 }, "Instances must be greater than or equal to 0"],
    [{ instances: "2" }, "Instances is not a number"],
    [{ instances: 1.5 }, "Instances must be an integer"],
    [{ memory_in_mb: 0 }, "Memory in mb must be greater than 0"],
    [{ disk_in_mb: 0 }, "Disk in mb must be greater than 0"],
    [{ log_rate_limit_in_bytes_per_second: -2 }, "Log rate limit in bytes per second must be greater than or equal to -1"],
    [{ bogus: 1 }, "Unknown field(s): 'bogus'"],
    [{ disk_in_mb: 4096 }, "disk_quota too much disk requested (requested 4096 MB - must be less than 2048 MB)"],
  ])("scale %j is refused", async (body, text) => {
    const { guid } = (await create(`scale-${Math.random()}`)).body;
    const reply = await dev.post(`/v3/processes/${guid}/actions/scale`, body);
    expect([reply.status, detail(reply)]).toEqual([422, text]);
  });

  test("health checks and commands are changed; an endpoint goes with its type", async () => {
    const { guid } = (await create("healthy")).body;
    const http = await dev.patch(`/v3/processes/${guid}`, { command: "./x", health_check: { type: "http", data: { endpoint: "/ok", timeout: 5, interval: 2 } } });
    expect(http.body).toMatchObject({ command: "./x", health_check: { type: "http", data: { endpoint: "/ok", timeout: 5, interval: 2, invocation_timeout: null } } });
    const port = await dev.patch(`/v3/processes/${guid}`, { command: null, health_check: { type: "port" } });
    expect(port.body.health_check).toEqual({ type: "port", data: { timeout: 5, interval: 2, invocation_timeout: null } });
    for (const [body, text] of [
      [{ health_check: { type: "tcp" } }, 'Health check type must be "port", "process", or "http"'],
      [{ health_check: { type: "http", data: { endpoint: "x" } } }, "Health check endpoint must be a valid URI path"],
      [{ health_check: { type: "port", data: { timeout: 0 } } }, "Health check timeout must be greater than 0"],
      [{ command: "" }, "Command must be between 1 and 4096 characters"],
    ] as const) {
      const reply = await dev.patch(`/v3/processes/${guid}`, body);
      expect([reply.status, detail(reply)]).toEqual([422, text]);
    }
  });

  test("an instance is ended, one that is not there is not found", async () => {
    const { app } = await pushApp(platform, dev, space, "ended");
    expect((await dev.delete(`/v3/apps/${app}/processes/web/instances/0`)).status).toBe(204);
    expect(platform.runtime.stopped).toContainEqual({ processGuid: app, index: 0 });
    for (const index of ["1", "-1", "x"]) expect(detail(await dev.delete(`/v3/apps/${app}/processes/web/instances/${index}`))).toBe("Instance not found");
    expect(detail(await dev.get(`/v3/apps/${app}/processes/none`))).toBe("Process not found");
  });

  test("lists that are empty answer, and what is not done is refused clearly", async () => {
    const { guid } = (await create("lists")).body;
    for (const path of [`processes/${guid}/sidecars`, `apps/${guid}/sidecars`, `apps/${guid}/tasks`, `apps/${guid}/revisions?order_by=-created_at`, `apps/${guid}/revisions/deployed`,
      `deployments?app_guids=${guid}&status_values=ACTIVE&order_by=-created_at&per_page=1&page=1`, `apps/${guid}/builds`, `apps/${guid}/packages`, `apps/${guid}/droplets`, "tasks"]) {
      const reply = await dev.get(`/v3/${path}`);
      expect([path, reply.status, reply.body.resources]).toEqual([path, 200, []]);
    }
    const task = await dev.post(`/v3/apps/${guid}/tasks`, { command: "x" });
    expect([task.status, task.body.errors[0].title]).toEqual([503, "CF-TaskWorkersUnavailable"]);
    expect(detail(await dev.get(`/v3/apps/${guid}/droplets/current`))).toBe("Droplet not found");
  });
});
