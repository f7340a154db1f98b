import { describe, expect, test } from "vitest";
import { BrokerError } from "../src/errors.ts";
import { world } from "./fixtures/world.ts";

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
