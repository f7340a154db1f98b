import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { recordCrash } from "../../controller/apps/app-crash.ts";
import { noServices } from "../../controller/apps/app-services.ts";
import { canaryInstances, nextStep } from "../../controller/deployments/deployment-plan.ts";
import { createDesiredSource } from "../../controller/apps/desired.ts";
import type { DesiredSource } from "../../controller/runtime/runtime.ts";
import type { Client, Reply } from "../support/controller.ts";
import { buildApp, detail, pushApp, relation, startTestApps, until, type TestApps } from "../support/apps.ts";

describe("the plan", () => {
  const old = (...instances: number[]) => instances.map((count, index) => ({ guid: `o${index}`, instances: count }));
  test.each([
    ["nothing runs yet", { target: 3, maxInFlight: 1, fresh: { instances: 1, running: 0 }, old: old(3) }, [1, [3], false, false]],
    ["the first runs", { target: 3, maxInFlight: 1, fresh: { instances: 1, running: 1 }, old: old(3) }, [2, [2], false, false]],
    ["oldest first", { target: 3, maxInFlight: 1, fresh: { instances: 1, running: 1 }, old: old(1, 2) }, [2, [0, 2], false, false]],
    ["two at a time", { target: 5, maxInFlight: 2, fresh: { instances: 2, running: 2 }, old: old(5) }, [4, [3], false, false]],
    ["one of two is slow", { target: 5, maxInFlight: 2, fresh: { instances: 2, running: 1 }, old: old(5) }, [2, [4], false, false]],
    ["the last", { target: 3, maxInFlight: 1, fresh: { instances: 3, running: 3 }, old: old(1) }, [3, [0], true, false]],
    ["none wanted", { target: 0, maxInFlight: 1, fresh: { instances: 0, running: 0 }, old: old(0) }, [0, [0], true, false]],
    ["more wanted than before", { target: 4, maxInFlight: 4, fresh: { instances: 4, running: 2 }, old: old(1) }, [4, [1], false, false]],
    ["canary starts", { target: 10, maxInFlight: 5, fresh: { instances: 5, running: 0 }, old: old(10), holdAtPercent: 20 }, [2, [10], false, false]],
    ["canary waits", { target: 10, maxInFlight: 5, fresh: { instances: 2, running: 2 }, old: old(10), holdAtPercent: 20 }, [2, [9], false, true]],
    ["canary of all", { target: 2, maxInFlight: 2, fresh: { instances: 2, running: 2 }, old: old(2), holdAtPercent: 100 }, [2, [0], false, true]],
  ] as const)("%s", (_name, rollout, [fresh, left, done, paused]) => {
    const step = nextStep(rollout);
    expect([step.freshInstances, step.old.map(({ instances }) => instances), step.done, step.paused]).toEqual([fresh, left, done, paused]);
  });

  test("a canary has at least one instance and at most all", () =>
    fc.assert(fc.property(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 1, max: 100 }), (target, percent) => {
      expect(canaryInstances(target, percent)).toBeGreaterThanOrEqual(1);
      expect(canaryInstances(target, percent)).toBeLessThanOrEqual(target);
    })));

  test("however the new ones start, the app never runs fewer than it shall, and it ends", () =>
    fc.assert(fc.property(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 5 }), fc.array(fc.nat(3), { minLength: 1, maxLength: 20 }), (target, maxInFlight, starts) => {
      let fresh = Math.min(maxInFlight, target);
      let running = 0;
      let olds = [{ guid: "old", instances: target }];
      for (let pass = 0; pass < 200; pass++) {
        running = Math.min(fresh, running + (starts[pass % starts.length] ?? 0) + (pass % 7 === 0 ? 1 : 0));
        const step = nextStep({ target, maxInFlight, fresh: { instances: fresh, running }, old: olds });
        fresh = step.freshInstances;
        olds = step.old;
        expect(running + (olds[0]?.instances ?? 0)).toBeGreaterThanOrEqual(target);
        expect(fresh - running).toBeLessThanOrEqual(maxInFlight);
        if (step.done) return;
      }
      throw new Error("it does not end");
    })));
});

let platform: TestApps;
let admin: Client;
let space: string;
let desired: DesiredSource;
/** Droplets whose instances start; all others crash. */
const bad = new Set<string>();

/** One after the other, as the real one does: an old answer must not overwrite a newer one. */
let obeyed: Promise<void> = Promise.resolve();

/** A world that does at once what the database wants. */
async function obey(guids: readonly string[]): Promise<void> {
  const wanted = new Map((await desired.desired({ processGuids: guids })).map((process) => [process.processGuid, process]));
  for (const guid of guids) {
    const process = wanted.get(guid);
    platform.runtime.actual.set(guid, !process ? [] : Array.from({ length: process.instances }, (_, index) => ({
      index, instanceGuid: `${guid}-${index}`, version: process.version, state: bad.has(process.dropletGuid) ? "CRASHED" as const : "RUNNING" as const, sinceSeconds: 0, deaId: "d",
    })));
  }
}

beforeAll(async () => {
  platform = await startTestApps({ updater: { intervalMs: 20 } });
  admin = platform.admin;
  ({ space } = await platform.space());
  await platform.controller.context.db.updateTable("organization_quotas").set({ total_memory_in_mb: 1_000_000 }).execute();
  desired = createDesiredSource({ database: platform.controller.context.db, services: noServices, apiUrl: "http://api.cf.test" });
  platform.runtime.converge = (guids) => void (obeyed = obeyed.then(() => obey(guids)));
});
afterAll(async () => {
  await obeyed;
  await platform[Symbol.asyncDispose]();
});

let app: string;
let droplet: string;
let count = 0;
beforeEach(async () => {
  bad.clear();
  ({ app, droplet } = await pushApp(platform, admin, space, `rolling-${count++}`));
  await admin.post(`/v3/apps/${app}/processes/web/actions/scale`, { instances: 3, memory_in_mb: 128 });
  await admin.post(`/v3/apps/${app}/actions/start`);
});

const deploy = (body: object = {}): Promise<Reply> => admin.post("/v3/deployments", { relationships: { app: relation(app) }, strategy: "rolling", ...body });
const ended = (guid: string) => until(() => admin.get(`/v3/deployments/${guid}`), ({ body }) => body.status.value === "FINALIZED");
const webs = async (): Promise<{ guid: string; instances: number; version: string }[]> => (await admin.get(`/v3/apps/${app}/processes?types=web`)).body.resources;
const dropletsOf = async () => (await desired.desired({})).filter(({ appGuid }) => appGuid === app).map(({ dropletGuid, instances }) => [dropletGuid, instances]);

describe("rolling", () => {
  test("a new droplet takes the place of the old one", async () => {
    const { droplet: next } = await buildApp(platform, admin, app);
    const made = await deploy({ droplet: { guid: next }, options: { max_in_flight: 2, memory_in_mb: null } });
    expect(made.status).toBe(201);
    expect(made.body).toMatchObject({
      status: { value: "ACTIVE", reason: "DEPLOYING" }, strategy: "rolling", options: { max_in_flight: 2 }, droplet: { guid: next }, previous_droplet: { guid: droplet },
      new_processes: [{ type: "web", guid: expect.any(String) }], revision: { version: 2 }, relationships: { app: relation(app) },
    });
    expect(made.body.options).toEqual({ max_in_flight: 2 });
    const done = await ended(made.body.guid);
    expect(done.body.status).toMatchObject({ value: "FINALIZED", reason: "DEPLOYED", details: { last_successful_healthcheck: expect.any(String) } });
    expect(await webs()).toMatchObject([{ guid: made.body.new_processes[0].guid, instances: 3 }]);
    expect(await dropletsOf()).toEqual([[next, 3]]);
    expect((await admin.get(`/v3/processes/${app}`)).status, "the old web process is gone").toBe(404);
    expect((await admin.get(`/v3/apps/${app}/processes/web/stats`)).body.resources).toHaveLength(3);
  });

  test("while it is under way nothing else may change the web process; cancelling goes back", async () => {
    const { droplet: next } = await buildApp(platform, admin, app);
    bad.add(next);
    const made = await deploy({ droplet: { guid: next } });
    await until(dropletsOf, (list) => list.length === 2);
    expect(await dropletsOf(), "old instances stay on their droplet").toEqual(expect.arrayContaining([[droplet, 3], [next, 1]]));
    const refused = async (reply: Promise<Reply>) => [(await reply).status, (await reply).body.errors[0].code, detail(await reply)];
    expect(await refused(admin.post(`/v3/apps/${app}/processes/web/actions/scale`, { instances: 1 }))).toEqual([422, 390_016, "Cannot scale this process while a deployment is in flight."]);
    expect(await refused(admin.patch(`/v3/apps/${app}/processes/web`, { command: "x" }))).toEqual([422, 390_017, "Cannot update this process while a deployment is in flight."]);
    expect(await refused(admin.post(`/v3/apps/${app}/actions/stop`))).toEqual([422, 390_024, "Cannot stop the app while it is deploying, please cancel the deployment before stopping the app."]);
    expect((await admin.patch(`/v3/apps/${app}/relationships/current_droplet`, relation(droplet))).status).toBe(422);
    const fresh = made.body.new_processes[0].guid;
    const { version } = (await admin.get(`/v3/processes/${fresh}`)).body;
    await recordCrash({ db: platform.controller.context.db, runtime: platform.runtime }, { processGuid: fresh, version, index: 0, instanceGuid: "i", exitStatus: 7, exitDescription: "out of luck" });
    expect((await admin.get(`/v3/deployments/${made.body.guid}`)).body.status.details.error).toBe("Instance 0 of the new process crashed: out of luck (exit status 7)");
    const events = await platform.controller.context.db.selectFrom("audit_events").select(["type", "data"]).where("target_guid", "=", app).where("type", "in", ["app.crash", "audit.app.process.crash"]).execute();
    expect(events).toHaveLength(2);
    expect(events[0]?.data).toMatchObject({ index: 0, exit_status: 7, exit_description: "out of luck", reason: "CRASHED" });

    expect((await admin.get(`/v3/deployments?app_guids=${app}&status_values=ACTIVE`)).body.resources).toHaveLength(1);
    expect((await admin.post(`/v3/deployments/${made.body.guid}/actions/cancel`)).status).toBe(200);
    expect((await ended(made.body.guid)).body.status).toMatchObject({ value: "FINALIZED", reason: "CANCELED" });
    expect(await dropletsOf()).toEqual([[droplet, 3]]);
    expect(await webs()).toMatchObject([{ guid: app, instances: 3 }]);
    expect((await admin.get(`/v3/apps/${app}/droplets/current`)).body.guid).toBe(droplet);
    const again = await admin.post(`/v3/deployments/${made.body.guid}/actions/cancel`);
    expect([again.status, detail(again)]).toEqual([422, "Cannot cancel a CANCELED deployment"]);
    expect((await admin.post(`/v3/apps/${app}/actions/stop`)).status).toBe(200);
  });

  test("a newer deployment supersedes one that hangs", async () => {
    const { droplet: broken } = await buildApp(platform, admin, app);
    bad.add(broken);
    const hanging = await deploy({ droplet: { guid: broken } });
    const { droplet: good } = await buildApp(platform, admin, app);
    const next = await deploy({ droplet: { guid: good }, options: { web_instances: 2 } });
    expect(next.status).toBe(201);
    expect((await admin.get(`/v3/deployments/${hanging.body.guid}`)).body.status).toMatchObject({ value: "FINALIZED", reason: "SUPERSEDED" });
    expect((await ended(next.body.guid)).body.status.reason).toBe("DEPLOYED");
    expect(await dropletsOf()).toEqual([[good, 2]]);
  });

  test("a stopped app is started with it", async () => {
    await admin.post(`/v3/apps/${app}/actions/stop`);
    const made = await deploy({ options: { web_instances: 1, memory_in_mb: 64 } });
    expect(made.body).toMatchObject({ status: { value: "FINALIZED", reason: "DEPLOYED" }, new_processes: [] });
    expect((await admin.get(`/v3/apps/${app}`)).body.state).toBe("STARTED");
    expect((await admin.get(`/v3/processes/${app}`)).body).toMatchObject({ instances: 1, memory_in_mb: 64 });
  });

  test("no room for both is said", async () => {
    const { db } = platform.controller.context;
    await db.updateTable("organization_quotas").set({ total_instances: 3 }).execute();
    const made = await deploy();
    await db.updateTable("organization_quotas").set({ total_instances: null }).execute();
    expect([made.status, detail(made)]).toEqual([422, expect.stringMatching(/^app_instance_limit app_instance_limit_exceeded .*A deployment runs old and new instances side by side/)]);
    expect(await webs(), "nothing is left of it").toHaveLength(1);
  });

  test.each<[object, string]>([
    [{ strategy: "sudden" }, "Strategy 'sudden' is not a supported deployment strategy"],
    [{ options: { max_in_flight: 0 } }, "Max in flight must be an integer greater than 0"],
    [{ options: { bogus: 1 } }, "Options has unsupported key(s): bogus"],
    [{ options: { canary: { steps: [] } } }, "Options.canary are only valid for Canary deployments"],
    [{ strategy: "canary", options: { canary: { steps: [{ instance_weight: 50 }, { instance_weight: 20 }] } } }, "Options.canary.steps.instance weight must be sorted in ascending order"],
    [{ droplet: { guid: "x" }, revision: { guid: "y" } }, "Droplet Cannot set both fields 'droplet' and 'revision'"],
    [{ droplet: { guid: "nope" } }, "Unable to assign current droplet. Ensure the droplet exists and belongs to this app."],
    [{ relationships: { app: relation("nope") } }, "Unable to use app. Ensure that the app exists and you have access to it."],
  ])("refused: %j", async (body, text) => {
    const reply = await deploy(body);
    expect([reply.status, detail(reply)]).toEqual([422, text]);
  });
});

describe("canary", () => {
  test("waits at each step until it is told to go on", async () => {
    const made = await deploy({ strategy: "canary", options: { max_in_flight: 3, canary: { steps: [{ instance_weight: 33 }, { instance_weight: 66 }] } } });
    expect(made.body).toMatchObject({ status: { canary: { steps: { current: 1, total: 2 } } }, options: { canary: { steps: [{ instance_weight: 33 }, { instance_weight: 66 }] } } });
    const paused = () => until(() => admin.get(`/v3/deployments/${made.body.guid}`), ({ body }) => body.status.reason === "PAUSED");
    expect((await paused()).body.links.continue.href).toMatch(/continue$/);
    expect((await webs()).map(({ instances }) => instances)).toEqual([3, 1]);
    expect((await admin.post(`/v3/deployments/${made.body.guid}/actions/continue`)).status).toBe(200);
    expect((await paused()).body.status.canary.steps.current).toBe(2);
    expect((await webs()).map(({ instances }) => instances)).toEqual([2, 2]);
    await admin.post(`/v3/deployments/${made.body.guid}/actions/continue`);
    expect((await ended(made.body.guid)).body.status.reason).toBe("DEPLOYED");
    expect((await webs()).map(({ instances }) => instances)).toEqual([3]);
  });

  test("a rolling one cannot be told to go on", async () => {
    const { droplet: next } = await buildApp(platform, admin, app);
    bad.add(next);
    const made = await deploy({ droplet: { guid: next } });
    const reply = await admin.post(`/v3/deployments/${made.body.guid}/actions/continue`);
    expect([reply.status, detail(reply)]).toEqual([422, "Cannot continue a deployment with status: ACTIVE and reason: DEPLOYING"]);
    await admin.post(`/v3/deployments/${made.body.guid}/actions/cancel`);
  });
});

describe("revisions", () => {
  const list = async (query = "") => (await admin.get(`/v3/apps/${app}/revisions?order_by=-version${query}`)).body.resources;
  const env = (variables: object) => admin.patch(`/v3/apps/${app}/environment_variables`, { var: variables });

  test("a start that changes something makes one, with the reasons; one that does not, none", async () => {
    expect((await list())[0]).toMatchObject({ version: 1, description: "Initial revision.", deployable: true, droplet: { guid: droplet }, processes: { web: { command: null } }, sidecars: [] });
    await admin.post(`/v3/apps/${app}/actions/restart`);
    expect(await list()).toHaveLength(1);
    await env({ A: "1" });
    await admin.patch(`/v3/apps/${app}/processes/web`, { command: "./other" });
    await admin.post(`/v3/apps/${app}/actions/restart`);
    const [second, first] = await list();
    expect(second).toMatchObject({ version: 2, description: "Custom start command added for 'web' process. New environment variables deployed." });
    expect((await admin.get(`/v3/apps/${app}/revisions/deployed`)).body.resources.map(({ guid }: { guid: string }) => guid)).toEqual([second.guid]);
    expect((await admin.get(second.links.environment_variables.href)).body.var).toEqual({ A: "1" });
    expect((await admin.get(`/v3/processes/${app}`)).body.relationships.revision).toEqual({ data: { guid: second.guid } });
    expect((await list("&versions=1")).map(({ guid }: { guid: string }) => guid)).toEqual([first.guid]);
    expect(await list("&deployable=false")).toEqual([]);
    await admin.patch(`/v3/apps/${app}/features/revisions`, { enabled: false });
    await env({ A: "2" });
    await admin.post(`/v3/apps/${app}/actions/restart`);
    expect(await list()).toHaveLength(2);
    expect((await desired.desired({ processGuids: [app] }))[0]?.env).toEqual({ A: "2" });
  });

  test("going back brings droplet, environment and command again", async () => {
    const [first] = await list();
    const { droplet: next } = await buildApp(platform, admin, app);
    await env({ NEW: "x" });
    await ended((await deploy({ droplet: { guid: next } })).body.guid);
    expect((await list())[0].description).toBe("New droplet deployed. New environment variables deployed.");
    const back = await deploy({ revision: { guid: first.guid } });
    expect([back.status, back.body.revision.version, back.body.droplet.guid]).toEqual([201, 3, droplet]);
    await ended(back.body.guid);
    expect((await list())[0]).toMatchObject({ version: 3, description: "New droplet deployed. New environment variables deployed. Rolled back to revision 1." });
    const [process] = (await desired.desired({})).filter(({ appGuid }) => appGuid === app);
    expect(process).toMatchObject({ dropletGuid: droplet, env: {} });
    expect((await admin.get(`/v3/apps/${app}/environment_variables`)).body.var).toEqual({});
    const again = await deploy({ revision: { guid: first.guid } });
    expect([again.status, detail(again)]).toEqual([422, "Unable to rollback. The code and configuration you are rolling back to is the same as the deployed revision."]);
    expect(detail(await deploy({ revision: { guid: "nope" } }))).toBe("The revision does not exist");
  });

  test("a rollback that is cancelled leaves the environment as it was", async () => {
    const [first] = await list();
    await env({ KEPT: "x" });
    await admin.post(`/v3/apps/${app}/actions/restart`);
    bad.add(droplet);
    const back = await deploy({ revision: { guid: first.guid } });
    expect((await admin.post(`/v3/deployments/${back.body.guid}/actions/cancel`)).status).toBe(200);
    expect((await admin.get(`/v3/apps/${app}/environment_variables`)).body.var).toEqual({ KEPT: "x" });
    expect((await desired.desired({ processGuids: [app] }))[0]?.env).toEqual({ KEPT: "x" });
  });
});

describe("what should run", () => {
  test("carries routes, environment, and the version of the process", async () => {
    await admin.patch("/v3/environment_variable_groups/running", { var: { GROUP: "g", BOTH: "g" } });
    await admin.patch(`/v3/apps/${app}/environment_variables`, { var: { BOTH: "a" } });
    expect((await desired.desired({ processGuids: [app] }))[0]?.env, "what runs is what was started").toEqual({ GROUP: "g", BOTH: "g" });
    await admin.post(`/v3/apps/${app}/actions/restart`);
    const domain = (await admin.get("/v3/domains?names=cf.test")).body.resources[0].guid;
    const route = await admin.post("/v3/routes", { host: `r${count}`, path: "/p", relationships: { space: relation(space), domain: relation(domain) } });
    await admin.post(`/v3/routes/${route.body.guid}/destinations`, { destinations: [{ app: { guid: app } }] });
    const [process] = await desired.desired({ processGuids: [app] });
    expect(process).toMatchObject({
      appGuid: app, processGuid: app, processType: "web", instances: 3, memoryMb: 128, startCommand: "./run", dropletGuid: droplet, stack: "cflinuxfs4",
      uris: [`r${count}.cf.test/p`], env: { GROUP: "g", BOTH: "a" }, healthCheck: { type: "port" }, readinessCheck: { type: "process" }, vcapServices: {},
      vcapApplication: { application_id: app, process_id: app, uris: [`r${count}.cf.test/p`], limits: { mem: 128 } },
    });
    expect(process?.vcapApplication["version"]).toBe(process?.version);
    expect(process?.dropletSha256).toMatch(/^[0-9a-f]{64}$/);
    await admin.patch(`/v3/processes/${app}`, { readiness_health_check: { type: "http", data: { endpoint: "/ready", interval: 7, invocation_timeout: 3 } } });
    expect((await desired.desired({ processGuids: [app] }))[0]?.readinessCheck).toEqual({ type: "http", endpoint: "/ready", intervalSeconds: 7, invocationTimeoutSeconds: 3 });
    await admin.patch(`/v3/processes/${app}`, { readiness_health_check: { type: "process" } });
    await admin.post(`/v3/apps/${app}/actions/stop`);
    expect(await desired.desired({ processGuids: [app] }), "a stopped app has nothing that should run").toEqual([]);
    expect(await desired.desired({ processGuids: [] })).toEqual([]);
    await admin.patch("/v3/environment_variable_groups/running", { var: { GROUP: null, BOTH: null } });
  });

  test("pages by guid cover everything once", async () => {
    const all = (await desired.desired({})).map(({ processGuid }) => processGuid);
    const paged: string[] = [];
    for (;;) {
      const page = await desired.desired({ limit: 2, ...(paged.length > 0 && { afterGuid: paged.at(-1)! }) });
      if (page.length === 0) break;
      paged.push(...page.map(({ processGuid }) => processGuid));
    }
    expect(paged).toEqual(all);
    expect(new Set(paged).size).toBe(paged.length);
  });

  test("user sidecars run beside the process they name", async () => {
    await admin.post(`/v3/apps/${app}/sidecars`, { name: "cfg", command: "./cfg 'x'", process_types: ["web"] });
    await admin.post(`/v3/apps/${app}/actions/restart`);
    const [process] = await desired.desired({ processGuids: [app] });
    expect(process?.startCommand).toBe(`bash -c './cfg '\\''x'\\''' & bash -c './run' & wait -n; exit $?`);
  });
});
