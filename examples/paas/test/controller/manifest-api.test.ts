import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { parse } from "yaml";
import type { AppServices } from "../../controller/apps/app-services.ts";
import type { Client, Reply } from "../support/controller.ts";
import { detail, pushApp, relation, startTestApps, type TestApps } from "../support/apps.ts";

let platform: TestApps;
let admin: Client;
let dev: Client;
let organization: string;
let space: string;
const bound: { appGuid: string; name: string; bindingName?: string; parameters?: object }[] = [];

/** The services part, as far as a manifest needs it. */
const services: AppServices = {
  bindings: (guids) => Promise.resolve(new Map(guids.map((guid) => [guid, bound.filter(({ appGuid }) => appGuid === guid).map(({ name }, index) => ({
    bindingGuid: `b${index}`, bindingName: null, instanceGuid: `i-${name}`, instanceName: name, tags: ["t"], credentials: { uri: `postgres://${name}` },
    syslogDrainUrl: null, volumeMounts: [], offering: { label: "postgresql", tags: ["sql"] }, planName: "small",
  }))]))),
  bindByName({ name, ...rest }) {
    if (name === "missing") return Promise.reject(new Error("Service instance 'missing' not found"));
    if (!bound.some((each) => each.appGuid === rest.appGuid && each.name === name)) bound.push({ name, ...rest });
    return Promise.resolve();
  },
  unbindAll: () => Promise.resolve(),
};

beforeAll(async () => {
  platform = await startTestApps({ services });
  admin = platform.admin;
});
afterAll(() => platform[Symbol.asyncDispose]());
beforeEach(async () => {
  bound.length = 0;
  ({ organization, space } = await platform.space());
  dev = await platform.user("dev");
  const user = { data: { username: "dev", origin: "uaa" } };
  await admin.post("/v3/roles", { type: "organization_user", relationships: { user, organization: relation(organization) } });
  await admin.post("/v3/roles", { type: "space_developer", relationships: { user, space: relation(space) } });
});

const yaml = { "content-type": "application/x-yaml" };
const apply = (text: string, client = dev): Promise<Reply> => client.send("POST", `/v3/spaces/${space}/actions/apply_manifest`, text, yaml);
const diff = (text: string): Promise<Reply> => dev.send("POST", `/v3/spaces/${space}/manifest_diff`, text, yaml);
async function applied(text: string): Promise<Reply> {
  const reply = await apply(text);
  if (reply.status !== 202) throw new Error(JSON.stringify(reply.body));
  return dev.job(reply);
}
const appOf = async (name: string) => (await dev.get(`/v3/apps?names=${name}&space_guids=${space}`)).body.resources[0];
const routesOf = async (name: string): Promise<string[]> => (await dev.get(`/v3/apps/${(await appOf(name)).guid}/routes`)).body.resources.map(({ url }: { url: string }) => url);
const codes = (reply: Reply): string[] => reply.body.errors.map((each: { detail: string }) => each.detail);

describe("applying", () => {
  test("what cf push sends without a file: an app with a default route", async () => {
    const job = await applied("applications:\n- name: hello\n  default-route: true\n  memory: 64M\n  instances: 2\n");
    expect(job.body).toMatchObject({ operation: "space.apply_manifest", state: "COMPLETE", errors: [] });
    const app = await appOf("hello");
    expect((await dev.get(`/v3/processes/${app.guid}`)).body).toMatchObject({ memory_in_mb: 64, instances: 2, disk_in_mb: 1024 });
    expect(await routesOf("hello")).toEqual(["hello.cf.test"]);
    expect(platform.runtime.converged).toContain(app.guid);
    await applied("applications:\n- name: hello\n  default-route: true\n");
    expect(await routesOf("hello"), "once more changes nothing").toEqual(["hello.cf.test"]);
  });

  test("everything an app can be told", async () => {
    const job = await applied(`
applications:
- name: full
  buildpacks: [ruby_buildpack, https://example.org/x.git]
  stack: cflinuxfs4
  command: ./start
  disk_quota: 512M
  log-rate-limit-per-second: 1K
  timeout: 30
  health-check-type: http
  health-check-http-endpoint: /health
  env: {A: 1, B: {x: 1}}
  features: {ssh: false}
  metadata: {labels: {team: x}, annotations: {note: hi}}
  routes:
  - route: full.cf.test/path
    protocol: http2
  - route: other.cf.test
  services:
  - db
  - {name: cache, parameters: {size: 1}, binding_name: c}
  sidecars:
  - {name: cfg, command: ./cfg, process_types: [web], memory: 32M}
  processes:
  - type: worker
    command: ./work
    instances: 2
    memory: 128M
    health-check-type: none
`);
    expect(job.body.errors).toEqual([]);
    const app = await appOf("full");
    expect(app).toMatchObject({ lifecycle: { data: { buildpacks: ["ruby_buildpack", "https://example.org/x.git"], stack: "cflinuxfs4" } }, metadata: { labels: { team: "x" }, annotations: { note: "hi" } } });
    expect((await dev.get(`/v3/processes/${app.guid}`)).body).toMatchObject({
      command: "./start", disk_in_mb: 512, log_rate_limit_in_bytes_per_second: 1024, health_check: { type: "http", data: { endpoint: "/health", timeout: 30 } },
    });
    expect((await dev.get(`/v3/apps/${app.guid}/processes/worker`)).body).toMatchObject({ command: "./work", instances: 2, memory_in_mb: 128, health_check: { type: "process" } });
    expect((await dev.get(`/v3/apps/${app.guid}/environment_variables`)).body.var).toEqual({ A: "1", B: '{"x":1}' });
    expect((await dev.get(`/v3/apps/${app.guid}/features/ssh`)).body.enabled).toBe(false);
    expect((await dev.get(`/v3/apps/${app.guid}/sidecars`)).body.resources).toMatchObject([{ name: "cfg", command: "./cfg", process_types: ["web"], memory_in_mb: 32, origin: "user" }]);
    expect(await routesOf("full")).toEqual(["full.cf.test/path", "other.cf.test"]);
    expect(bound.map(({ name, bindingName, parameters }) => [name, bindingName, parameters])).toEqual([["db", undefined, undefined], ["cache", "c", { size: 1 }]]);

    const reply = await dev.get(`/v3/apps/${app.guid}/manifest`);
    expect(reply.headers["content-type"]).toContain("application/x-yaml");
    const manifest = parse(reply.body as string).applications[0];
    expect(manifest).toMatchObject({
      name: "full", env: { A: "1" }, services: ["cache", "db"], stack: "cflinuxfs4", features: { ssh: false, revisions: true },
      routes: [{ route: "full.cf.test/path", protocol: "http2" }, { route: "other.cf.test", protocol: "http1" }],
      sidecars: [{ name: "cfg", process_types: ["web"], command: "./cfg", memory: "32M" }],
    });
    expect(manifest.processes.map(({ type, memory }: { type: string; memory: string }) => [type, memory])).toEqual([["web", "1024M"], ["worker", "128M"]]);

    const none = await diff(reply.body as string);
    expect([none.status, none.body], "a manifest that was generated changes nothing").toEqual([201, { diff: [] }]);
    const some = await diff("applications:\n- name: full\n  memory: 2G\n  env: {A: 2, NEW: x}\n- name: unheard\n  instances: 1\n");
    expect(some.body.diff).toEqual([
      { op: "replace", path: "/applications/0/memory", value: "2048M", was: "1024M" },
      { op: "replace", path: "/applications/0/env/A", value: "2", was: "1" },
      { op: "add", path: "/applications/0/env/NEW", value: "x" },
      { op: "add", path: "/applications/1/name", value: "unheard" },
      { op: "add", path: "/applications/1/instances", value: 1 },
    ]);
    expect(await appOf("unheard"), "a diff creates nothing").toBeUndefined();
  });

  test("routes: random, none, in another space, without a domain, with a name that is no host", async () => {
    await applied("applications:\n- name: rand\n  random-route: true\n");
    expect(await routesOf("rand")).toEqual([expect.stringMatching(/^rand-[a-z]+-[a-z]+-[a-z]{2}\.cf\.test$/)]);
    await applied("applications:\n- name: rand\n  no-route: true\n  routes: [{route: x.cf.test}]\n");
    expect(await routesOf("rand")).toEqual([]);
    const nowhere = await applied("applications:\n- name: rand\n  routes: [{route: new.cf.test}, {route: x.example.org}]\n");
    expect(nowhere.body.state).toBe("FAILED");
    expect(nowhere.body.errors[0]).toMatchObject({ code: 10_008, title: "CF-UnprocessableEntity", detail: "For application 'rand': No domains exist for route x.example.org" });
    expect(await routesOf("rand"), "nothing is mapped before all routes are there").toEqual([]);
    const elsewhere = await platform.space();
    const domain = (await admin.get("/v3/domains?names=cf.test")).body.resources[0].guid;
    await admin.post("/v3/routes", { host: "theirs", relationships: { space: relation(elsewhere.space), domain: relation(domain) } });
    const theirs = await applied("applications:\n- name: rand\n  routes: [{route: theirs.cf.test}]\n");
    expect(theirs.body.errors[0].detail).toBe("For application 'rand': For route 'theirs.cf.test': Routes cannot be mapped to destinations in different spaces");
    const odd = await applied("applications:\n- name: 'odd name'\n  default-route: true\n");
    expect(odd.body.errors[0].detail).toBe(`For application 'odd name': Failed to create default route from app name: Host must be either "*" or contain only alphanumeric characters, "_", or "-"`);
    await applied("applications:\n- name: rand\n  routes: [{route: proto.cf.test, protocol: http1}]\n");
    await applied("applications:\n- name: rand\n  routes: [{route: proto.cf.test, protocol: http2}]\n");
    const { guid } = await appOf("rand");
    expect((await dev.get(`/v3/apps/${guid}/routes`)).body.resources.find(({ host }: { host: string }) => host === "proto").destinations[0].protocol).toBe("http2");
  });

  test("errors of the job carry the app's name; what came before them stays", async () => {
    const job = await applied("applications:\n- name: half\n  memory: 128M\n  services: [missing]\n");
    expect(job.body).toMatchObject({ state: "FAILED", errors: [{ detail: expect.stringMatching(/^For application 'half': .*Service instance 'missing' not found$/) }] });
    expect((await dev.get(`/v3/processes/${(await appOf("half")).guid}`)).body.memory_in_mb).toBe(128);
  });

  test("a running app keeps its version when a manifest gives it more instances", async () => {
    const { app } = await pushApp(platform, dev, space, "running");
    await dev.post(`/v3/apps/${app}/actions/start`);
    const { version } = (await dev.get(`/v3/processes/${app}`)).body;
    await applied("applications:\n- name: running\n  instances: 2\n  memory: 512M\n");
    expect((await dev.get(`/v3/processes/${app}`)).body).toMatchObject({ version, instances: 2, memory_in_mb: 512 });
  });
});

describe("refusing", () => {
  test.each<[string, number, string[]]>([
    ["applications:\n- name: x\n  memory: 5\n- memory: 1G\n  timeout: 0", 422, [
      `For application 'x': Process "web": Memory must use a supported unit: B, K, KB, M, MB, G, GB, T, or TB`,
      "For application at index 1: Name must not be empty",
      `For application at index 1: Process "web": Timeout must be greater than or equal to 1`,
    ]],
    ["name: x", 422, ["Cannot parse manifest with no 'applications' field."]],
    ["version: 7\napplications: [{name: x}]", 422, ["Unsupported manifest schema version. Currently supported versions: [1]."]],
    ["- a", 400, ["Request invalid due to parse error: invalid request body"]],
    ["a: &x 1\napplications: [{name: *x}]", 400, ["Bad request: Manifest does not support Anchors and Aliases"]],
    ["applications: [{name: x, stack: none}]", 422, ["For application 'x': Stack must be an existing stack"]],
    ["applications: [{name: x, buildpacks: [none]}]", 422, [`For application 'x': Buildpack "none" must be an existing admin buildpack or a valid git URI`]],
  ])("%s", async (text, status, details) => {
    const reply = await apply(text);
    expect([reply.status, codes(reply)]).toEqual([status, details]);
    expect(await appOf("x")).toBeUndefined();
    if (status !== 422 || !details[0]?.includes("existing")) expect((await diff(text)).status).toBe(status);
  });

  test("other content, other people", async () => {
    const json = await dev.post(`/v3/spaces/${space}/actions/apply_manifest`, { applications: [{ name: "x" }] });
    expect([json.status, json.body.errors[0].code, detail(json)]).toEqual([400, 1004, "Bad request: Content-Type must be yaml"]);
    const stranger = await platform.user("stranger");
    expect([(await apply("applications: [{name: x}]", stranger)).status, detail(await apply("applications: [{name: x}]", stranger))]).toEqual([404, "Space not found"]);
    const auditor = await platform.user("auditor");
    const user = { data: { username: "auditor", origin: "uaa" } };
    await admin.post("/v3/roles", { type: "organization_user", relationships: { user, organization: relation(organization) } });
    await admin.post("/v3/roles", { type: "space_auditor", relationships: { user, space: relation(space) } });
    expect((await apply("applications: [{name: x}]", auditor)).status).toBe(403);
    const made = (await dev.post("/v3/apps", { name: "seen", relationships: { space: relation(space) } })).body.guid;
    expect((await auditor.get(`/v3/apps/${made}/manifest`)).status).toBe(403);
  });
});
