import { describe, expect, test } from "vitest";
import { BrokerError, type BrokerErrorCode } from "../src/errors.ts";
import { memoryStore } from "../src/store.ts";
import { gate, logger, testCatalog, until, world } from "./fixtures/world.ts";

describe("provision", () => {
  test("201, then 200 for the same, 409 for another", async () => {
    const w = world();
    const parameters = { size: 5, name: "x" };
    expect(await w.provision("i", { parameters })).toMatchObject({ status: 201, body: { dashboard_url: "https://dash.example/i" } });
    expect(await w.provision("i", { parameters: { name: "x", size: 5 }, context: { platform: "cloudfoundry", instance_name: "renamed" } })).toMatchObject({ status: 200, body: { dashboard_url: "https://dash.example/i" } });
    expect((await w.provision("i", { parameters: { size: 6 } })).status).toBe(409);
    expect((await w.provision("i", { plan_id: "p2" })).status).toBe(409);
    expect((await w.provision("i")).status).toBe(409);
    expect(w.verbs()).toEqual(["provision"]);
    expect(w.calls[0]).toMatchObject({ instanceId: "i", parameters, organizationGuid: "o", spaceGuid: "s", context: {}, plan: { name: "tiny", metadata: { keys: 10 }, bindable: true }, service: { name: "kv" } });
  });

  test("absent, null and empty parameters are the same", async () => {
    const w = world();
    expect((await w.provision("i")).status).toBe(201);
    expect((await w.provision("i", { parameters: {} })).status).toBe(200);
    expect((await w.provision("i", { parameters: null })).status).toBe(200);
  });

  for (const [name, more, words] of [
    ["no service_id", { service_id: undefined }, /service_id/], ["empty plan_id", { plan_id: "" }, /plan_id/], ["no organization_guid", { organization_guid: undefined }, /organization_guid/],
    ["empty space_guid", { space_guid: "" }, /space_guid/], ["service_id that is no text", { service_id: 7 }, /service_id/], ["unknown service", { service_id: "s9" }, /service_id/],
    ["unknown plan", { plan_id: "p9" }, /plan_id/], ["plan of another service", { plan_id: "q1" }, /plan_id/], ["parameters as a list", { parameters: [] }, /parameters/],
    ["parameters as text", { parameters: "x" }, /parameters/], ["context as text", { context: "x" }, /context/], ["maintenance_info without version", { maintenance_info: {} }, /version/],
    ["parameters against the schema", { parameters: { size: 0 } }, /parameters\/size must be >= 1/], ["draft 4 exclusiveMaximum", { parameters: { size: 100 } }, /parameters\/size must be < 100/],
    ["unknown parameter", { parameters: { sice: 1 } }, /additional properties: sice/], ["parameters nested without end", { parameters: JSON.parse(`${'{"a":'.repeat(500)}1${"}".repeat(500)}`) }, /nested|properties/],
  ] as const)
    test(`400: ${name}`, async () => {
      const w = world();
      const answer = await w.provision("i", more);
      expect(answer.status).toBe(400);
      expect(answer.body["description"]).toMatch(words);
      expect(w.verbs()).toEqual([]);
      expect((await w.deprovision("i")).status).toBe(410);
    });

  test("unknown fields do not matter", async () => {
    expect((await world().provision("i", { x_future: { a: 1 }, accepts_incomplete: 3 })).status).toBe(201);
  });

  test("maintenance_info must be what the catalog offers", async () => {
    const w = world();
    expect(await w.provision("i", { maintenance_info: { version: "1.1.0" } })).toMatchObject({ status: 422, body: { error: "MaintenanceInfoConflict" } });
    expect(await w.provision("i", { plan_id: "p3", maintenance_info: { version: "1.1.0" } })).toMatchObject({ status: 422, body: { error: "MaintenanceInfoConflict" } });
    expect((await w.provision("i", { maintenance_info: { version: "1.2.0", description: "ignored" } })).status).toBe(201);
    expect((await w.ask("GET", w.instance("i"))).body["maintenance_info"]).toEqual({ version: "1.2.0" });
  });

  test("an author's no leaves nothing behind; a fault leaves something to delete", async () => {
    let error: Error = new BrokerError("BROKER_REJECTED", "the quota of 5 is used up");
    const w = world({ provision: async () => { throw error; } });
    expect(await w.provision("i")).toMatchObject({ status: 400, body: { description: "the quota of 5 is used up" } });
    expect((await w.deprovision("i")).status).toBe(410);
    error = new Error("connect postgres://admin:hunter22@db");
    const answer = await w.provision("i");
    expect(answer).toMatchObject({ status: 500, body: { description: "the broker failed to provision" } });
    expect(await w.provision("i")).toMatchObject({ status: 422, body: { error: "ConcurrencyError" } });
    expect((await w.provision("i", { plan_id: "p2" })).status).toBe(409);
    expect((await w.ask("GET", w.instance("i"))).status).toBe(404);
    expect((await w.bind("i", "b")).status).toBe(400);
    expect((await w.deprovision("i")).status).toBe(200);
    expect(w.verbs()).toEqual(["provision", "provision", "deprovision"]);
  });

  for (const [code, status, word] of [
    ["BROKER_REJECTED", 400, undefined], ["BROKER_CONFLICT", 409, undefined], ["BROKER_CONCURRENCY", 422, "ConcurrencyError"], ["BROKER_UNAVAILABLE", 503, undefined], ["BROKER_FAILED", 500, undefined],
    // What a platform would misread becomes a plain failure.
    ["BROKER_UNAUTHORIZED", 500, undefined], ["BROKER_GONE", 500, undefined], ["BROKER_REQUIRES_APP", 500, undefined], ["BROKER_ASYNC_REQUIRED", 500, undefined], ["BROKER_UPDATE_UNSUPPORTED", 500, undefined], ["BROKER_INVALID_CATALOG", 500, undefined],
  ] as const satisfies readonly (readonly [BrokerErrorCode, number, string | undefined])[])
    test(`an author who throws ${code} answers ${status}`, async () => {
      const w = world({ provision: async () => { throw new BrokerError(code, "because"); } });
      const answer = await w.provision("i");
      expect(answer.status).toBe(status);
      expect(answer.body["error"]).toBe(word);
      if (status !== 500 || code === "BROKER_FAILED") expect(answer.body["description"]).toBe("because");
    });

  test("an error of another copy of the package is understood", async () => {
    const other = Object.assign(new Error("sold out"), { name: "BrokerError", code: "BROKER_REJECTED", status: 400 });
    expect(await world({ provision: async () => { throw other; } }).provision("i")).toMatchObject({ status: 400, body: { description: "sold out" } });
  });

  for (const [name, result] of [
    ["a dashboard that is no URL", { dashboardUrl: "here" }], ["labels that are no text", { metadata: { labels: { a: 1 } } }], ["text", "done"], ["a list", []],
  ] as const)
    test(`a result a platform would misread is a 500: ${name}`, async () => {
      expect((await world({ provision: async () => result as never }).provision("i")).status).toBe(500);
    });

  test("metadata is answered and fetched", async () => {
    const metadata = { labels: { a: "b" }, attributes: { version: "9" } };
    const w = world({ provision: async () => ({ metadata }) });
    expect((await w.provision("i")).body).toEqual({ metadata });
    expect((await w.ask("GET", w.instance("i"))).body).toMatchObject({ metadata });
  });
});

describe("update", () => {
  const made = async (script = {}) => {
    const w = world(script);
    await w.provision("i", { parameters: { size: 5 } });
    return w;
  };

  test("parameters change one by one, the rest stays", async () => {
    const w = await made();
    expect(await w.update("i", { parameters: { name: "n" } })).toMatchObject({ status: 200, body: {} });
    expect(w.calls[1]).toMatchObject({ parameters: { name: "n" }, previousParameters: { size: 5 }, changes: { plan: false, parameters: true, maintenance: false, context: false } });
    expect((await w.ask("GET", w.instance("i"))).body["parameters"]).toEqual({ size: 5, name: "n" });
    expect((await w.provision("i", { parameters: { size: 5 } })).status).toBe(409);
  });

  test("a plan change carries both plans and moves the maintenance version", async () => {
    const w = await made();
    expect((await w.update("i", { plan_id: "p2", previous_values: { plan_id: "p1" } })).status).toBe(200);
    expect(w.calls[1]).toMatchObject({ plan: { id: "p2" }, previousPlan: { id: "p1" }, changes: { plan: true } });
    expect((await w.ask("GET", w.instance("i"))).body).toMatchObject({ plan_id: "p2", maintenance_info: { version: "2.0.0" } });
    expect((await w.update("i", { plan_id: "p3" })).status).toBe(200);
    expect((await w.update("i", { plan_id: "p1" }))).toMatchObject({ status: 422, body: { description: "plan fixed cannot be left" } });
  });

  test("nothing to change is 200 without work: CC sends plan and {} every time", async () => {
    const w = await made();
    expect((await w.update("i", { plan_id: "p1", parameters: {}, context: { platform: "cloudfoundry" }, maintenance_info: { version: "1.2.0" } })).status).toBe(200);
    expect(w.verbs()).toEqual(["provision"]);
  });

  test("a failure changes nothing, and says what the author says", async () => {
    const w = await made({ update: async () => { throw new BrokerError("BROKER_REJECTED", "too many keys", { instanceUsable: true, updateRepeatable: false }); } });
    expect(await w.update("i", { plan_id: "p2" })).toMatchObject({ status: 400, body: { description: "too many keys", instance_usable: true, update_repeatable: false } });
    expect((await w.ask("GET", w.instance("i"))).body).toMatchObject({ plan_id: "p1", parameters: { size: 5 } });
  });

  for (const [name, more, status] of [
    ["no service_id", { service_id: undefined }, 400], ["another service", { service_id: "s2" }, 400], ["unknown plan", { plan_id: "p9" }, 400], ["parameters against the schema of the wanted plan", { parameters: { size: 0 } }, 400],
    ["unknown maintenance version", { maintenance_info: { version: "7.0.0" } }, 422],
  ] as const)
    test(`${status}: ${name}`, async () => {
      const w = await made();
      expect((await w.update("i", more)).status).toBe(status);
      expect(w.verbs()).toEqual(["provision"]);
    });

  test("404 for an instance that is not there", async () => { expect((await world().update("i", { parameters: { size: 1 } })).status).toBe(404); });

  test("context alone is an update where the offering says so", async () => {
    const catalog = structuredClone(testCatalog);
    (catalog.services[0] as { allow_context_updates?: boolean }).allow_context_updates = true;
    const w = world({}, {}, catalog);
    await w.provision("i");
    expect((await w.update("i", { context: { platform: "cloudfoundry", instance_name: "new" } })).status).toBe(200);
    expect(w.calls[1]).toMatchObject({ verb: "update", changes: { context: true, parameters: false }, context: { instance_name: "new" } });
  });
});

describe("deprovision", () => {
  test("200 {} once, then 410 {}", async () => {
    const w = world();
    await w.provision("i");
    expect(await w.deprovision("i")).toMatchObject({ status: 200, body: {} });
    expect(await w.deprovision("i")).toMatchObject({ status: 410, body: {} });
    expect(w.verbs()).toEqual(["provision", "deprovision"]);
    expect((await w.provision("i", { plan_id: "p2" })).status).toBe(201);
  });

  test("bindings that are left go first", async () => {
    const w = world();
    await w.provision("i");
    await w.bind("i", "b1");
    await w.bind("i", "b2");
    expect((await w.deprovision("i")).status).toBe(200);
    expect(w.verbs().slice(3)).toEqual(["unbind", "unbind", "deprovision"]);
    expect((await w.unbind("i", "b1")).status).toBe(410);
  });

  for (const query of ["", "service_id=s1", "plan_id=p1", "service_id=&plan_id=p1", "service_id=s2&plan_id=p1"])
    test(`400: ?${query}`, async () => {
      const w = world();
      await w.provision("i");
      expect((await w.deprovision("i", query)).status).toBe(400);
      expect((await w.ask("GET", w.instance("i"))).status).toBe(200);
    });

  test("an author who says gone is believed; one who fails is asked again", async () => {
    let error: Error | undefined = new Error("network");
    const w = world({ deprovision: async () => { if (error) throw error; } });
    await w.provision("i");
    expect((await w.deprovision("i")).status).toBe(500);
    expect((await w.bind("i", "b")).status).toBe(400);
    error = new BrokerError("BROKER_REJECTED", "backup is running");
    expect((await w.deprovision("i"))).toMatchObject({ status: 400, body: { description: "backup is running" } });
    error = new BrokerError("BROKER_GONE", "not there");
    expect((await w.deprovision("i")).status).toBe(200);
    expect((await w.deprovision("i")).status).toBe(410);
  });
});

describe("bind", () => {
  const made = async (script = {}) => {
    const w = world(script);
    await w.provision("i", { parameters: { size: 5 } });
    return w;
  };

  test("201, then 200 with the same body, 409 for another", async () => {
    const w = await made();
    const bind_resource = { app_guid: "a1", space_guid: "s", app_annotations: { "x/y": "1" } };
    const first = await w.bind("i", "b", { bind_resource, app_guid: "a1" });
    expect(first).toMatchObject({ status: 201, body: { credentials: { user: "b" } } });
    const again = await w.bind("i", "b", { bind_resource: { ...bind_resource, app_annotations: { "x/y": "2" } }, context: { organization_name: "new" } });
    expect(again).toMatchObject({ status: 200, body: first.body });
    expect((await w.bind("i", "b", { bind_resource: { ...bind_resource, app_guid: "a2" } })).status).toBe(409);
    expect((await w.bind("i", "b", { bind_resource, parameters: { size: 1 } })).status).toBe(409);
    expect(w.verbs()).toEqual(["provision", "bind"]);
    expect(w.calls[1]).toMatchObject({ bindingId: "b", instanceId: "i", bindResource: { app_guid: "a1" }, instanceParameters: { size: 5 }, plan: { id: "p1" } });
  });

  test("the old place of the app's guid is the new one's", async () => {
    const w = await made();
    expect((await w.bind("i", "b", { app_guid: "a1" })).status).toBe(201);
    expect((await w.bind("i", "b", { bind_resource: { app_guid: "a1" } })).status).toBe(200);
  });

  for (const [name, more, status] of [
    ["no service_id", { service_id: undefined }, 400], ["no plan_id", { plan_id: undefined }, 400], ["unknown service", { service_id: "x" }, 400], ["unknown plan", { plan_id: "x" }, 400],
    ["another plan than the instance's", { plan_id: "p2" }, 400], ["another service than the instance's", { service_id: "s2", plan_id: "q1" }, 400], ["parameters against the schema", { parameters: { size: "big" } }, 400], ["bind_resource as text", { bind_resource: "x" }, 400],
  ] as const)
    test(`${status}: ${name}`, async () => {
      const w = await made();
      expect((await w.bind("i", "b", more)).status).toBe(status);
      expect(w.verbs()).toEqual(["provision"]);
    });

  test("404 without an instance, 400 for a plan that is not bindable", async () => {
    const w = world();
    expect((await w.bind("nobody", "b")).status).toBe(404);
    await w.provision("i", { plan_id: "p3" });
    expect((await w.bind("i", "b", { plan_id: "p3" })).status).toBe(400);
  });

  test("an author can demand an app", async () => {
    const w = await made({ bind: async () => { throw new BrokerError("BROKER_REQUIRES_APP", "bind it to an app"); } });
    expect(await w.bind("i", "b")).toMatchObject({ status: 422, body: { error: "RequiresApp" } });
    expect((await w.unbind("i", "b")).status).toBe(410);
  });

  const complete = { driver: "nfs", container_dir: "/data", mode: "rw", device_type: "shared", device: { volume_id: "v" } };
  for (const [name, result, status] of [
    ["nothing", {}, 201], ["a drain that is allowed", { syslogDrainUrl: "syslog-tls://logs.example:6514" }, 201], ["endpoints", { endpoints: [{ host: "db", ports: ["5432", "9000-9010"] }] }, 201],
    ["a drain of another scheme", { syslogDrainUrl: "ftp://x" }, 500], ["a route service without permission", { routeServiceUrl: "https://x.example" }, 500], ["volumes without permission", { volumeMounts: [complete] }, 500],
    ["credentials as text", { credentials: "s3cret" }, 500], ["ports as numbers", { endpoints: [{ host: "db", ports: [5432] }] }, 500], ["renewal after the end", { expiresAt: new Date(1000), renewBefore: new Date(2000) }, 500], ["a broken date", { expiresAt: new Date("x") }, 500],
    ["undefined", undefined, 500],
  ] as const)
    test(`a result of ${name} is a ${status}`, async () => {
      const w = await made({ bind: async () => result as never });
      expect((await w.bind("i", "b")).status).toBe(status);
      expect((await w.unbind("i", "b")).status).toBe(200);   // also after the 500: the platform cleans up
    });

  test("times are written as ISO 8601", async () => {
    const w = await made({ bind: async () => ({ expiresAt: new Date("2031-02-03T04:05:06Z"), renewBefore: new Date("2031-02-01T00:00:00Z") }) });
    expect((await w.bind("i", "b")).body).toEqual({ metadata: { expires_at: "2031-02-03T04:05:06.000Z", renew_before: "2031-02-01T00:00:00.000Z" } });
  });

  test("a rotation takes parameters and app from its predecessor, and both live", async () => {
    const w = await made();
    await w.bind("i", "b1", { bind_resource: { app_guid: "a" }, parameters: { size: 3 } });
    const rotate = (b: string, more: object) => w.ask("PUT", w.binding("i", b), { body: more });
    expect((await rotate("b2", { predecessor_binding_id: "b1" })).status).toBe(201);
    expect(w.calls[2]).toMatchObject({ predecessorBindingId: "b1", parameters: { size: 3 }, bindResource: { app_guid: "a" } });
    expect((await rotate("b2", { predecessor_binding_id: "b1", service_id: "s1", plan_id: "p1" })).status).toBe(200);
    expect((await rotate("b3", { predecessor_binding_id: "nobody" })).status).toBe(400);
    expect((await rotate("b3", { predecessor_binding_id: "b1", parameters: { size: 4 } })).status).toBe(400);
    expect((await w.unbind("i", "b1")).status).toBe(200);
    await w.provision("j", { plan_id: "p2" });
    await w.bind("j", "b", { plan_id: "p2" });
    expect((await w.ask("PUT", w.binding("j", "b9"), { body: { predecessor_binding_id: "b" } })).status).toBe(400);
  });
});

describe("unbind and fetch", () => {
  test("200 {} once, then 410 {}", async () => {
    const w = world();
    await w.provision("i");
    await w.bind("i", "b");
    for (const query of ["", "service_id=s1", "plan_id=p1", "service_id=s2&plan_id=q1"]) expect((await w.unbind("i", "b", query)).status).toBe(400);
    expect(await w.unbind("i", "b")).toMatchObject({ status: 200, body: {} });
    expect(await w.unbind("i", "b")).toMatchObject({ status: 410, body: {} });
    expect(await w.unbind("nobody", "b")).toMatchObject({ status: 410, body: {} });
  });

  test("an unbinding that failed half way leaves a binding that can only be deleted", async () => {
    let error: Error | undefined = new Error("network");
    const w = world({ unbind: async () => { if (error) throw error; } });
    await w.provision("i");
    await w.bind("i", "b");
    expect((await w.unbind("i", "b")).status).toBe(500);
    expect((await w.ask("GET", w.binding("i", "b"))).status).toBe(404);
    expect((await w.ask("GET", `${w.binding("i", "b")}/last_operation`)).body).toEqual({ state: "failed" });
    expect(await w.bind("i", "b")).toMatchObject({ status: 422, body: { error: "ConcurrencyError" } });
    error = new BrokerError("BROKER_REJECTED", "not now");
    expect((await w.unbind("i", "b")).status).toBe(400);
    error = new BrokerError("BROKER_GONE", "not there");
    expect((await w.unbind("i", "b")).status).toBe(200);
    expect((await w.unbind("i", "b")).status).toBe(410);
  });

  test("fetching follows the catalog's flags", async () => {
    const w = world();
    await w.provision("i", { parameters: { size: 5 } });
    await w.bind("i", "b", { parameters: { size: 1 } });
    expect((await w.ask("GET", w.instance("i"))).body).toEqual({ service_id: "s1", plan_id: "p1", parameters: { size: 5 }, maintenance_info: { version: "1.2.0" }, dashboard_url: "https://dash.example/i" });
    expect((await w.ask("GET", w.binding("i", "b"))).body).toEqual({ credentials: { user: "b", n: 2 }, parameters: { size: 1 } });
    expect((await w.ask("GET", w.binding("i", "c"))).status).toBe(404);
    expect((await w.ask("GET", w.instance("j"))).status).toBe(404);
    const q = { service_id: "s2", plan_id: "q1" };
    await w.provision("k", q);
    await w.bind("k", "b", q);
    expect((await w.ask("GET", w.instance("k"))).status).toBe(404);
    expect((await w.ask("GET", w.binding("k", "b"))).status).toBe(404);
  });

  test("ids may hold anything, and stay apart", async () => {
    const w = world();
    const odd = ["a/b", "a%2Fb", "ü", "a b", "a?b", "..x", "x/service_bindings/y"];
    for (const id of odd) expect((await w.provision(id)).status).toBe(201);
    expect(w.calls.map(({ instanceId }) => instanceId)).toEqual(odd);
    for (const id of odd) {
      expect((await w.bind(id, "b/c")).status).toBe(201);
      expect((await w.deprovision(id)).status).toBe(200);
    }
    expect((await w.ask("PUT", "/v2/service_instances/%E0%A4%A", { body: {} })).status).toBe(400);
    expect((await w.ask("PUT", "/v2/service_instances/", { body: {} })).status).toBe(400);
  });
});

describe("at the same time", () => {
  test("one works on an instance, the others are told", async () => {
    const door = gate();
    const w = world({ provision: () => door.passed });
    const first = w.provision("i");
    await until(() => w.calls.length === 1);
    expect(await w.provision("i")).toMatchObject({ status: 422, body: { error: "ConcurrencyError" } });
    expect((await w.provision("i", { plan_id: "p2" })).status).toBe(409);
    expect(await w.deprovision("i")).toMatchObject({ status: 422, body: { error: "ConcurrencyError" } });
    expect(await w.bind("i", "b")).toMatchObject({ status: 422 });
    expect((await w.ask("GET", w.instance("i"))).status).toBe(404);
    expect((await w.ask("GET", `${w.instance("i")}/last_operation`)).body).toEqual({ state: "in progress" });
    const other = w.provision("other");
    await until(() => w.calls.length === 2);
    door.open();
    expect([(await first).status, (await other).status]).toEqual([201, 201]);
    expect((await w.ask("GET", `${w.instance("i")}/last_operation`)).body).toEqual({ state: "succeeded" });
    expect((await w.ask("GET", `${w.instance("x")}/last_operation`)).status).toBe(404);
  });

  test("bindings of one instance do not wait for each other; the instance waits for all", async () => {
    const door = gate();
    const w = world({ bind: async () => { await door.passed; return {}; } });
    await w.provision("i");
    const binds = [w.bind("i", "b1"), w.bind("i", "b2")];
    await until(() => w.calls.length === 3);
    expect(await w.bind("i", "b1")).toMatchObject({ status: 422, body: { error: "ConcurrencyError" } });
    expect((await w.bind("i", "b1", { parameters: { size: 2 } })).status).toBe(409);
    expect(await w.unbind("i", "b1")).toMatchObject({ status: 422, body: { error: "ConcurrencyError" } });
    expect(w.verbs()).not.toContain("unbind");
    expect(await w.update("i", { plan_id: "p2" })).toMatchObject({ status: 422, body: { error: "ConcurrencyError" } });
    expect((await w.deprovision("i")).status).toBe(422);
    door.open();
    expect((await Promise.all(binds)).map(({ status }) => status)).toEqual([201, 201]);
    expect((await w.update("i", { plan_id: "p2" })).status).toBe(200);
  });

  test("fetching during an update is a ConcurrencyError", async () => {
    const door = gate();
    const w = world({ update: () => door.passed });
    await w.provision("i");
    const change = w.update("i", { plan_id: "p2" });
    await until(() => w.calls.length === 2);
    expect(await w.ask("GET", w.instance("i"))).toMatchObject({ status: 422, body: { error: "ConcurrencyError" } });
    door.open();
    expect((await change).status).toBe(200);
  });

  test("fifty equal requests at once make one instance", async () => {
    const w = world();
    const statuses = (await Promise.all(Array.from({ length: 50 }, () => w.provision("i")))).map(({ status }) => status);
    expect(statuses.filter((status) => status === 201).length).toBe(1);
    expect(new Set(statuses)).toEqual(new Set([201, 422]));
    expect(w.verbs()).toEqual(["provision"]);
  });
});

describe("time", () => {
  test("a slow author is told, the platform gets 504, and what was made late can be deleted", async () => {
    const door = gate();
    let told: unknown;
    const w = world({ provision: async (_, { signal }) => { signal.addEventListener("abort", () => { told = signal.reason; }); await door.passed; } }, { timeoutMs: 30 });
    expect((await w.provision("i")).status).toBe(504);
    expect(told).toMatchObject({ code: "BROKER_TIMEOUT" });
    expect(await w.deprovision("i")).toMatchObject({ status: 422, body: { error: "ConcurrencyError" } });
    door.open();
    // Not a moment too early: until the work has ended, a repetition is a ConcurrencyError.
    await until(async () => (await w.provision("i")).status === 200);
    expect((await w.deprovision("i")).status).toBe(200);
    expect(w.verbs()).toEqual(["provision", "deprovision"]);
  });

  test("what fails after the time is told to the log", async () => {
    const door = gate();
    const { lines, log } = logger();
    const w = world({ provision: async () => { await door.passed; throw new Error("too late anyway"); } }, { timeoutMs: 20, log });
    expect((await w.provision("i")).status).toBe(504);
    door.open();
    await until(() => lines.some((line) => /^broker\.failed\.late .*too late anyway/.test(line)));
    expect((await w.deprovision("i")).status).toBe(200);
  });

  test("a closed broker refuses and tells those at work", async () => {
    const closing = new AbortController();
    let told = false;
    const w = world({ provision: (_, { signal }) => new Promise((_resolve, reject) => signal.addEventListener("abort", () => { told = true; reject(new Error("closed")); })) }, { signal: closing.signal });
    const running = w.provision("i");
    await until(() => w.calls.length === 1);
    closing.abort();
    expect((await running).status).toBe(500);
    expect(told).toBe(true);
    expect((await w.ask("GET", "/v2/catalog")).status).toBe(503);
  });

  test("what a crashed broker left half-made can be deleted by the next", async () => {
    const store = memoryStore();
    const before = world({ provision: () => new Promise(() => {}) }, { store });
    void before.provision("i");
    await until(() => before.calls.length === 1);
    const after = world({}, { store });
    expect((await after.provision("i")).status).toBe(422);
    expect((await after.ask("GET", `${after.instance("i")}/last_operation`)).body).toEqual({ state: "failed" });
    expect((await after.deprovision("i")).status).toBe(200);
    expect((await after.provision("i")).status).toBe(201);
  });

  test("a plan that left the catalog still serves its instances", async () => {
    const store = memoryStore();
    const before = world({}, { store });
    await before.provision("i", { plan_id: "p2" });
    const smaller = structuredClone(testCatalog);
    (smaller.services[0] as unknown as { plans: unknown[] }).plans.splice(1, 1);
    const after = world({}, { store }, smaller);
    expect((await after.bind("i", "b", { plan_id: "p2" })).status).toBe(201);
    expect(after.calls[0]).toMatchObject({ plan: { name: "big" } });
    expect((await after.provision("j", { plan_id: "p2" })).status).toBe(400);
    expect((await after.deprovision("i", "service_id=s1&plan_id=p2")).status).toBe(200);
  });

  test("a store that fails is a 500, and nothing is promised", async () => {
    const store = { ...memoryStore(), set: async () => { throw new Error("disk full at /var/lib"); } };
    const w = world({}, { store });
    expect(await w.provision("i")).toMatchObject({ status: 500, body: { description: "the broker failed" } });
    expect(w.verbs()).toEqual([]);
  });
});
