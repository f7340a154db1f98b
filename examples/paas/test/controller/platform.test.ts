import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { recordAudit, systemActor } from "../../controller/api/audit.ts";
import { startTestController, testDomain, type Client, type Reply, type TestController } from "../support/controller.ts";

let platform: TestController;
let admin: Client;
let user: Client;

beforeAll(async () => {
  platform = await startTestController({ systemBuildpacks: [{ name: "staticfile_buildpack" }, { name: "nodejs_buildpack" }, { name: "binary_buildpack" }] });
  admin = platform.admin;
  user = await platform.user("una");
});
afterAll(() => platform[Symbol.asyncDispose]());

const detail = (reply: Reply): string => reply.body.errors?.[0]?.detail ?? "";
const names = (reply: Reply): string[] => reply.body.resources.map(({ name }: { name: string }) => name);

describe("feature flags", () => {
  test("all are listed with their defaults, read by everyone, written by admins", async () => {
    const list = await user.get("/v3/feature_flags?per_page=100");
    expect(names(list)).toContain("diego_docker");
    expect(list.body.resources.find(({ name }: { name: string }) => name === "diego_docker")).toMatchObject({ enabled: false, updated_at: null, custom_error_message: null });
    expect((await user.patch("/v3/feature_flags/diego_docker", { enabled: true })).status).toBe(403);
    expect((await admin.patch("/v3/feature_flags/diego_docker", { enabled: true })).body).toMatchObject({ enabled: true, updated_at: expect.any(String) });
    expect((await admin.patch("/v3/feature_flags/diego_docker", { custom_error_message: "no" })).body).toMatchObject({ enabled: true, custom_error_message: "no" });
    expect(detail(await admin.get("/v3/feature_flags/unknown"))).toBe("Feature flag not found");
  });
});

describe("groups of environment variables", () => {
  test("are merged, null removes, odd names are refused", async () => {
    const path = "/v3/environment_variable_groups/running";
    expect((await admin.patch(path, { var: { A: "1", B: "2" } })).body.var).toEqual({ A: "1", B: "2" });
    expect((await admin.patch(path, { var: { A: null, C: "3" } })).body).toMatchObject({ name: "running", var: { B: "2", C: "3" } });
    expect((await admin.patch(path, { var: { VCAP_X: "1" } })).status).toBe(422);
    expect((await admin.patch(path, { var: { X: 1 } })).status).toBe(422);
    expect((await user.patch(path, { var: {} })).status).toBe(403);
    expect((await admin.get("/v3/environment_variable_groups/other")).status).toBe(404);
    expect((await user.get(path)).status).toBe(404);
  });
});

describe("stacks and buildpacks", () => {
  test("one stack is there; its state can be changed", async () => {
    const list = await user.get("/v3/stacks?names=cflinuxfs4");
    expect(list.body.resources).toMatchObject([{ name: "cflinuxfs4", state: "ACTIVE", default: true }]);
    const { guid } = list.body.resources[0];
    expect((await admin.patch(`/v3/stacks/${guid}`, { state: "DEPRECATED", state_reason: "old" })).body).toMatchObject({ state: "DEPRECATED", state_reason: "old" });
    expect((await admin.get("/v3/stacks?default=maybe")).status).toBe(400);
    expect((await admin.delete(`/v3/stacks/${guid}`)).status).toBe(422);
  });

  test("the stager's buildpacks are listed in order, can be moved and disabled, and nothing can be uploaded", async () => {
    const ordered = async (): Promise<string[]> => names(await user.get("/v3/buildpacks?order_by=position&lifecycle=buildpack"));
    expect(await ordered()).toEqual(["staticfile_buildpack", "nodejs_buildpack", "binary_buildpack"]);
    const [last] = (await user.get("/v3/buildpacks?names=binary_buildpack")).body.resources;
    expect(last).toMatchObject({ state: "READY", filename: "binary_buildpack.zip", enabled: true, stack: "cflinuxfs4", position: 3 });
    expect((await admin.patch(`/v3/buildpacks/${last.guid}`, { position: 1, enabled: false })).body).toMatchObject({ position: 1, enabled: false });
    expect(await ordered()).toEqual(["binary_buildpack", "staticfile_buildpack", "nodejs_buildpack"]);
    const upload = await admin.post("/v3/buildpacks/", { name: "mine", position: 1, enabled: true });
    expect([upload.status, detail(upload)]).toEqual([422, "Uploading buildpacks. Push with '-b URL' to use a buildpack of your own: this platform does not have this feature."]);
    expect((await user.post("/v3/buildpacks/", { name: "mine" })).status).toBe(403);
  });
});

describe("quotas", () => {
  test("the default one, made by names and limits, changed in part, applied, deleted", async () => {
    const [byDefault] = (await admin.get("/v3/organization_quotas?names=DEFAULT")).body.resources;
    expect(byDefault).toMatchObject({ name: "default", apps: { total_memory_in_mb: 10_240, per_process_memory_in_mb: null }, services: { paid_services_allowed: true, total_service_instances: 100 }, routes: { total_routes: 1_000 } });
    const body = { name: "big", apps: { total_memory_in_mb: 3_000_000_000, total_instances: null }, services: { paid_services_allowed: false }, domains: { total_domains: 1 } };
    const made = await admin.post("/v3/organization_quotas", body);
    expect(made.body).toMatchObject(body);
    expect(detail(await admin.post("/v3/organization_quotas", { name: "BIG" }))).toBe("Organization Quota 'BIG' already exists.");
    expect((await admin.patch(`/v3/organization_quotas/${made.body.guid}`, { apps: { per_process_memory_in_mb: 512 } })).body.apps).toMatchObject({ total_memory_in_mb: 3_000_000_000, per_process_memory_in_mb: 512 });
    expect((await admin.post("/v3/organization_quotas", { name: "x", apps: { total_memory_in_mb: -1 } })).status).toBe(422);
    const { organization } = await platform.space();
    expect((await user.get(`/v3/organization_quotas/${made.body.guid}`)).status).toBe(404);
    expect((await admin.post(`/v3/organization_quotas/${made.body.guid}/relationships/organizations`, { data: [{ guid: organization }] })).body.data).toEqual([{ guid: organization }]);
    expect((await admin.get(`/v3/organizations/${organization}`)).body.relationships.quota.data.guid).toBe(made.body.guid);
    expect((await admin.post("/v3/domains", { name: "one.example", relationships: { organization: { data: { guid: organization } } } })).status).toBe(201);
    expect(detail(await admin.post("/v3/domains", { name: "two.example", relationships: { organization: { data: { guid: organization } } } }))).toMatch(/^The number of private domains exceeds the quota for organization "org-/);
    expect((await admin.delete(`/v3/organization_quotas/${made.body.guid}`)).status).toBe(422);
    await admin.post(`/v3/organization_quotas/${byDefault.guid}/relationships/organizations`, { data: [{ guid: organization }] });
    expect((await admin.job(await admin.delete(`/v3/organization_quotas/${made.body.guid}`))).body).toMatchObject({ state: "COMPLETE", operation: "organization_quota.delete" });
  });
});

describe("events", () => {
  test("are seen by those who may, newest first, and without what others may not read", async () => {
    const { organization, space } = await platform.space();
    const target = randomUUID();
    const { db } = platform.controller.context;
    for (const type of ["audit.app.create", "audit.app.start"])
      await recordAudit(db, { type, actor: systemActor, target: { guid: target, type: "app", name: "a" }, data: { index: 0 }, spaceGuid: space, organizationGuid: organization });
    const query = `/v3/audit_events?target_guids=${target}&order_by=-created_at&page=1`;
    const list = await admin.get(query);
    expect(list.body.resources).toMatchObject([{ type: "audit.app.start", actor: { name: "system" }, data: { index: 0 }, space: { guid: space } }, { type: "audit.app.create" }]);
    expect((await user.get(query)).body.resources).toEqual([]);
    expect((await user.get(`/v3/audit_events/${list.body.resources[0].guid}`)).status).toBe(404);
    expect((await admin.get(`/v3/audit_events?types=audit.app.start&target_guids[not]=${target}`)).body.resources).toEqual([]);
    expect((await admin.get("/v3/app_usage_events?after_guid=x")).body.resources).toEqual([]);
    const own = await admin.get(`/v3/audit_events?types=audit.space.create&space_guids=${space}`);
    expect(own.body.resources[0].data.request).toMatchObject({ name: "dev" });
  });
});

describe("what is not there", () => {
  test("lists are empty and valid, writes are refused in words", async () => {
    for (const path of ["/v3/service_instances?space_guids=x&fields[service_plan]=guid", "/v3/service_route_bindings?route_guids=x&include=service_instance", "/v3/service_credential_bindings", "/v3/service_plans?available=true&include=service_offering&fields[service_offering.service_broker]=name,guid"]) {
      const reply = await admin.get(path);
      expect([path, reply.status, reply.body.resources, reply.body.pagination?.next]).toEqual([path, 200, [], null]);
    }
    for (const path of ["/v3/service_brokers", "/networking/v1/external/policies"]) expect([path, (await admin.post(path, {})).body.errors[0].title]).toEqual([path, "CF-NotImplemented"]);
    expect((await platform.anonymous.get("/v3/service_plans")).status).toBe(200);
    expect((await platform.anonymous.get("/v3/service_instances")).status).toBe(401);
  });
});

describe("the first start and the second", () => {
  test("seeding again changes nothing an operator chose", async () => {
    const { db } = platform.controller.context;
    const second = await startTestController({ db, systemBuildpacks: [{ name: "staticfile_buildpack" }, { name: "nodejs_buildpack" }, { name: "binary_buildpack" }, { name: "new_buildpack" }] });
    expect(names(await second.admin.get("/v3/buildpacks?order_by=position"))).toEqual(["binary_buildpack", "staticfile_buildpack", "nodejs_buildpack", "new_buildpack"]);
    expect((await second.admin.get("/v3/buildpacks?names=binary_buildpack")).body.resources[0].enabled).toBe(false);
    expect(names(await second.admin.get("/v3/domains"))).toContain(testDomain);
    await second[Symbol.asyncDispose]();
  });

  test("usage of an organization and of a space", async () => {
    const { organization, space } = await platform.space();
    const { db } = platform.controller.context;
    await db.insertInto("apps").values({ guid: `u-${space}`, name: "a", space_guid: space, state: "STARTED" }).execute();
    await db.insertInto("processes").values({ guid: `u-${space}`, app_guid: `u-${space}`, type: "web", version: "1", instances: 3, memory_in_mb: 100, disk_in_mb: 1, health_check_type: "port" }).execute();
    expect((await admin.get(`/v3/organizations/${organization}/usage_summary`)).body.usage_summary).toMatchObject({ started_instances: 3, memory_in_mb: 300, routes: 0, domains: 0 });
    expect((await admin.get(`/v3/spaces/${space}/usage_summary`)).body.usage_summary).toMatchObject({ started_instances: 3, memory_in_mb: 300 });
    expect((await admin.get("/v3/info/usage_summary")).body.usage_summary).toMatchObject({ started_instances: 3, memory_in_mb: 300, service_instances: 0 });
    expect((await user.get("/v3/info/usage_summary")).status).toBe(403);
  });
});
