import { describe, expect, test } from "vitest";
import { BrokerError, type BrokerErrorCode } from "../src/errors.ts";
import { testCatalog, world } from "./fixtures/world.ts";

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
