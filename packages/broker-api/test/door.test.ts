import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createBrokerApi } from "../src/broker-api.ts";
import type { BrokerError } from "../src/errors.ts";
import { canonical } from "../src/json.ts";
import { credentials, logger, scripted, testCatalog, world } from "./fixtures/world.ts";

const basic = (text: string): string => `Basic ${Buffer.from(text).toString("base64")}`;

describe("who may come in", () => {
  for (const [name, authorization, status] of [
    ["nobody", null, 401], ["wrong password", basic("admin:nope"), 401], ["wrong user", basic("root:pass:wörd"), 401], ["password as a prefix", basic("admin:pass"), 401], ["longer password", basic("admin:pass:wörd1"), 401],
    ["Bearer", "Bearer abc", 401], ["no base64", "Basic !!!", 401], ["empty", "Basic ", 401], ["no colon", basic("admin"), 401], ["right", basic("admin:pass:wörd"), 200], ["right, scheme in small letters", basic("admin:pass:wörd").replace("Basic", "basic"), 200],
  ] as const)
    test(`${name}: ${status}`, async () => {
      const answer = await world().ask("GET", "/v2/catalog", { headers: { authorization } });
      expect(answer.status).toBe(status);
      if (status === 401) {
        expect(answer.headers.get("www-authenticate")).toMatch(/^Basic realm=/);
        expect(answer.body["description"]).toBeTypeOf("string");
      }
    });

  test("two pairs work while one replaces the other", async () => {
    const w = world({}, { credentials: [credentials, { username: "admin", password: "next" }] });
    expect((await w.ask("GET", "/v2/catalog")).status).toBe(200);
    expect((await w.ask("GET", "/v2/catalog", { headers: { authorization: basic("admin:next") } })).status).toBe(200);
    expect((await w.ask("GET", "/v2/catalog", { headers: { authorization: basic("admin:last") } })).status).toBe(401);
  });

  test("401 comes before anything that tells about the broker, on every door", async () => {
    const w = world();
    for (const [method, path] of [["GET", "/v2/catalog"], ["PUT", w.instance("i")], ["PATCH", w.instance("i")], ["DELETE", w.instance("i")], ["GET", w.instance("i")], ["GET", `${w.instance("i")}/last_operation`], ["PUT", w.binding("i", "b")], ["DELETE", w.binding("i", "b")], ["GET", w.binding("i", "b")], ["GET", "/nothing"], ["POST", "/v2/catalog"]] as const) {
      expect((await w.ask(method, path, { headers: { authorization: null, "x-broker-api-version": null } })).status).toBe(401);
      expect((await w.ask(method, path, { headers: { "x-broker-api-version": null } })).status).toBe(412);
    }
  });

  for (const [version, status] of [[null, 412], ["1.9", 412], ["3.0", 412], ["2", 412], ["2.x", 412], ["", 412], ["2.17, 2.16", 412], ["2.0", 200], ["2.12", 200], ["2.99", 200]] as const)
    test(`version ${version}: ${status}`, async () => {
      const answer = await world().ask("GET", "/v2/catalog", { headers: { "x-broker-api-version": version } });
      expect(answer.status).toBe(status);
      if (status === 412) expect(answer.body["description"]).toMatch(/2\.17/);
    });
});

describe("headers", () => {
  test("the request identity is echoed, also with errors; a strange one is not", async () => {
    const w = world();
    for (const path of ["/v2/catalog", "/nothing"]) expect((await w.ask("GET", path, { headers: { "x-broker-api-request-identity": "r-1" } })).headers.get("x-broker-api-request-identity")).toBe("r-1");
    expect((await w.ask("GET", "/v2/catalog", { headers: { "x-broker-api-request-identity": "x".repeat(300) } })).headers.get("x-broker-api-request-identity")).toBeNull();
  });

  test("the originating identity is decoded for the author", async () => {
    let seen: unknown;
    const w = world({ provision: async (_, context) => { seen = { who: context.originatingIdentity, id: context.requestIdentity, at: context.apiInfoLocation }; } });
    const encoded = Buffer.from('{"user_id":"u-ü"}').toString("base64");
    const headers = { "x-broker-api-originating-identity": `cloudfoundry ${encoded}`, "x-broker-api-request-identity": "r-2", "x-api-info-location": "api.example/v2/info" };
    await w.ask("PUT", w.instance("i"), { body: { service_id: "s1", plan_id: "p1", organization_guid: "o", space_guid: "s" }, headers });
    expect(seen).toEqual({ who: { platform: "cloudfoundry", value: { user_id: "u-ü" } }, id: "r-2", at: "api.example/v2/info" });
  });

  for (const header of ["cloudfoundry", "cloudfoundry !!!", `cloudfoundry ${Buffer.from("[]").toString("base64")}`, `cloudfoundry ${Buffer.from("{").toString("base64")}`, "", `a b ${Buffer.from("{}").toString("base64")}`])
    test(`400 for the originating identity ${JSON.stringify(header)}`, async () => {
      expect((await world().ask("GET", "/v2/catalog", { headers: { "x-broker-api-originating-identity": header } })).status).toBe(400);
    });
});

describe("bodies and paths", () => {
  for (const [name, ask, status] of [
    ["no JSON", { raw: "{", headers: {} }, 400], ["a list", { raw: "[]", headers: {} }, 400], ["null", { raw: "null", headers: {} }, 400], ["nothing", {}, 400],
    ["a form", { raw: "{}", headers: { "content-type": "application/x-www-form-urlencoded" } }, 400], ["another JSON type", { raw: "{}", headers: { "content-type": "application/jsonx" } }, 400],
    ["not UTF-8", { raw: Buffer.from([0x7b, 0xff, 0x7d]) as unknown as string, headers: { "content-type": "application/json" } }, 400], ["too much", { raw: `{"a":"${"x".repeat(2_000)}"}`, headers: { "content-type": "application/json" } }, 413],
  ] as const)
    test(`${name}: ${status}`, async () => {
      const w = world({}, { maxBodyBytes: 1_000 });
      const answer = await w.ask("PUT", w.instance("i"), ask);
      expect(answer.status).toBe(status);
      expect(answer.body["description"]).toBeTypeOf("string");
    });

  for (const type of ["application/x-www-form-urlencoded", "text/plain", "application/jsonx", "application/json-seq"])
    test(`content type ${type} is not taken, whatever the body`, async () => {
      const w = world();
      const body = { service_id: "s1", plan_id: "p1", organization_guid: "o", space_guid: "s" };
      const answer = await w.ask("PUT", w.instance("i"), { raw: JSON.stringify(body), headers: { "content-type": type } });
      expect(answer).toMatchObject({ status: 400, body: { description: "the body must be application/json" } });
    });

  for (const type of [null, "application/json; charset=utf-8", "Application/JSON", "application/vnd.osb+json"])
    test(`content type ${type} is taken`, async () => {
      const w = world();
      const body = { service_id: "s1", plan_id: "p1", organization_guid: "o", space_guid: "s" };
      expect((await w.ask("PUT", w.instance("i"), { raw: Buffer.from(JSON.stringify(body)) as unknown as string, headers: { "content-type": type } })).status).toBe(201);
    });

  for (const [method, path, status, allow] of [
    ["GET", "/", 404], ["GET", "/v2", 404], ["GET", "/v2/catalog/", 404], ["GET", "/v3/catalog", 404], ["PUT", "/v2/catalog", 405, "GET"], ["POST", "/v2/service_instances/i", 405, "PUT, PATCH, DELETE, GET"],
    ["GET", "/v2/service_instances/i/service_bindings", 404], ["PATCH", "/v2/service_instances/i/service_bindings/b", 405, "PUT, DELETE, GET"], ["DELETE", "/v2/service_instances/i/last_operation", 405, "GET"], ["CONSTRUCTOR", "/v2/catalog", 405, "GET"],
  ] as const)
    test(`${method} ${path}: ${status}`, async () => {
      const answer = await world().ask(method, path);
      expect(answer.status).toBe(status);
      if (allow) expect(answer.headers.get("allow")).toBe(allow);
    });

  test("a body that does not come is not waited for", async () => {
    const { broker } = scripted();
    const api = createBrokerApi(broker, { credentials, timeoutMs: 50 });
    const body = new ReadableStream({ pull: () => new Promise(() => {}) });
    const init: RequestInit & { duplex: "half" } = { method: "PUT", body, duplex: "half", headers: { authorization: basic("admin:pass:wörd"), "x-broker-api-version": "2.17" } };
    expect((await api(new Request("http://broker/v2/service_instances/i", init))).status).toBe(504);
  });
});

/** Breaks a catalog at one place, named by a path. */
type Change = (catalog: object) => void;
const set = (path: string, value: unknown): Change => (catalog) => {
  const steps = path.split("/");
  const last = steps.pop() ?? "";
  const place = steps.reduce<Record<string, unknown>>((at, step) => at[step] as Record<string, unknown>, catalog as Record<string, unknown>);
  place[last] = value;
};

describe("at start", () => {
  const start = (...changes: Change[]) => {
    const catalog = structuredClone(testCatalog);
    for (const change of changes) change(catalog);
    try {
      createBrokerApi(scripted({}, catalog).broker, { credentials });
    } catch (error) {
      return (error as BrokerError).issues;
    }
    return [];
  };
  const schema = (parameters: unknown) => set("services/0/plans/0/schemas", { service_instance: { create: { parameters } } });
  for (const [name, change, words] of [
    ["no services", set("services", []), /fewer than 1/], ["no plans", set("services/0/plans", []), /services\/0\/plans.*fewer/], ["empty id", set("services/0/id", ""), /services\/0\/id/],
    ["no description", set("services/1/description", undefined), /description/], ["bindable as text", set("services/0/bindable", "yes"), /bindable/], ["same service id", set("services/1/id", "s1"), /service id used twice: s1/],
    ["same service name", set("services/1/name", "kv"), /service name used twice/], ["same plan id across services", set("services/1/plans/0/id", "p1"), /plan id used twice/], ["same plan name in a service", set("services/0/plans/1/name", "tiny"), /plan name used twice/],
    ["unknown permission", set("services/0/requires", ["root"]), /requires/], ["version that is none", set("services/0/plans/0/maintenance_info/version", "1.2"), /maintenance_info\/version/], ["other maintenance keys", set("services/0/plans/0/maintenance_info/public", {}), /additional.*public/],
    ["dashboard client without redirect", set("services/0/dashboard_client", { id: "d", secret: "s" }), /redirect_uri/], ["polling for nothing", set("services/0/plans/0/maximum_polling_duration", 0), /maximum_polling_duration/],
    ["too many tags", set("services/0/tags", Array.from({ length: 400 }, (_, i) => `tag-${i}`)), /tags/], ["long description", set("services/0/description", "x".repeat(10_001)), /description/],
    ["schema without draft", schema({ type: "object" }), /\$schema/], ["unknown draft", schema({ $schema: "http://json-schema.org/draft-03/schema#" }), /unknown draft/], ["schema that is none", schema({ $schema: "http://json-schema.org/draft-07/schema#", type: "objekt" }), /type/],
    ["foreign reference", schema({ $schema: "http://json-schema.org/draft-07/schema#", properties: { a: { $ref: "https://evil.example/s.json" } } }), /outside itself/], ["file reference", schema({ $schema: "http://json-schema.org/draft-04/schema#", $ref: "file:///etc/passwd" }), /outside itself/],
    ["huge schema", schema({ $schema: "http://json-schema.org/draft-07/schema#", description: "x".repeat(65_536) }), /65536/], ["no object", set("services", "many"), /services/],
  ] as readonly (readonly [string, Change, RegExp])[])
    test(`a catalog with ${name} is refused`, () => { expect(start(change).join("\n")).toMatch(words); });

  test("schemas with the same $id do not get into each other's way", async () => {
    const parameters = (name: string) => ({ $schema: "http://json-schema.org/draft-07/schema#", $id: "https://kv.example/parameters", type: "object", properties: { [name]: { $ref: "#/definitions/n" } }, definitions: { n: { type: "integer" } }, additionalProperties: false });
    const catalog = structuredClone(testCatalog);
    set("services/0/plans/0/schemas", { service_instance: { create: { parameters: parameters("a") } } })(catalog);
    set("services/0/plans/1/schemas", { service_instance: { create: { parameters: parameters("b") } } })(catalog);
    const w = world({}, {}, catalog);
    expect((await w.provision("i", { parameters: { a: 1 } })).status).toBe(201);
    expect((await w.provision("j", { plan_id: "p2", parameters: { b: 1 } })).status).toBe(201);
    expect((await w.provision("k", { plan_id: "p2", parameters: { a: 1 } })).status).toBe(400);
    expect((await w.provision("l", { parameters: { a: "1" } })).status).toBe(400);
  });

  test("changing the catalog afterwards changes nothing", async () => {
    const catalog = structuredClone(testCatalog);
    const w = world({}, {}, catalog);
    (catalog as { services: unknown }).services = [];
    expect((await w.ask("GET", "/v2/catalog")).body["services"]).toHaveLength(2);
    expect((await w.provision("i")).status).toBe(201);
  });

  test("all faults are told at once", () => {
    expect(start(set("services/1/id", "s1"), set("services/0/plans/1/name", "tiny"), schema({})).length).toBe(3);
  });

  for (const draft of ["http://json-schema.org/draft-04/schema#", "http://json-schema.org/draft-04/schema", "http://json-schema.org/draft-06/schema#", "http://json-schema.org/draft-07/schema#", "https://json-schema.org/draft/2019-09/schema", "https://json-schema.org/draft/2020-12/schema"])
    test(`draft ${draft} is checked`, async () => {
      const catalog = structuredClone(testCatalog);
      schema({ $schema: draft, type: "object", properties: { at: { type: "string", format: "date-time" }, deep: { $ref: "#/definitions/d" } }, definitions: { d: { type: "integer" } }, required: ["at"] })(catalog);
      const w = world({}, {}, catalog);
      expect((await w.provision("i", { parameters: { at: "yesterday" } })).status).toBe(400);
      expect((await w.provision("i", { parameters: { at: "2031-01-01T00:00:00Z", deep: "x" } })).status).toBe(400);
      expect((await w.provision("i", { parameters: { at: "2031-01-01T00:00:00Z", deep: 1 } })).status).toBe(201);
    });

  for (const [name, change, options, words] of [
    ["asynchronous operations", {}, { asynchronous: ["provision"] }, /asynchronous operations are not supported/], ["no credentials", {}, { credentials: [] }, /credentials/], ["an empty password", {}, { credentials: { username: "a", password: "" } }, /password/],
    ["a colon in the user name", {}, { credentials: { username: "a:b", password: "c" } }, /colon/], ["credentials left out", {}, { credentials: undefined }, /credentials/], ["no time", {}, { timeoutMs: 0 }, /timeoutMs/],
    ["no bind", { bind: undefined }, {}, /no function bind/], ["no unbind", { unbind: undefined }, {}, /no function unbind/], ["no update", { update: undefined }, {}, /no function update/], ["no provision", { provision: undefined }, {}, /no function provision/],
  ] as const)
    test(`${name}: refused with BROKER_INVALID_OPTIONS`, () => {
      const { broker } = scripted();
      expect(() => createBrokerApi({ ...broker, ...change } as never, { credentials, ...options } as never)).toThrow(words);
    });
});

describe("what is logged", () => {
  test("no secret of ours, of the user or of the author", async () => {
    const { lines, log } = logger();
    const w = world({
      provision: async ({ parameters }) => { throw new Error(`cannot use ${String(parameters["secret"])} of ${credentials.password}`, { cause: new Error(`at ${JSON.stringify(parameters)}`) }); },
      bind: async () => ({ credentials: { password: "bound-secret-1" } }),
    }, { log });
    await w.ask("GET", "/v2/catalog", { headers: { authorization: basic("admin:typo-secret") } });
    expect((await w.provision("i", { parameters: { secret: "user-secret-1" } })).status).toBe(500);
    const good = world({ bind: async () => ({ credentials: { password: "bound-secret-1" } }) }, { log });
    await good.provision("j", { parameters: { secret: "user-secret-2" } });
    await good.bind("j", "b");
    const text = lines.join("\n");
    for (const secret of ["user-secret", "bound-secret", credentials.password, "typo-secret", "YWRtaW4"]) expect(text).not.toContain(secret);
    expect(text).toContain("cannot use [redacted]");
    expect(text).toMatch(/broker\.request .*"verb":"bind".*"instanceId":"j".*"bindingId":"b".*"status":201/);
  });
});

describe("properties", () => {
  const json = fc.jsonValue({ maxDepth: 4 });
  test("the same value has one canonical text, whatever the order of its keys", () => {
    const shuffle = (value: unknown): unknown => Array.isArray(value) ? value.map(shuffle)
      : typeof value === "object" && value !== null ? Object.fromEntries(Object.entries(value).reverse().map(([k, v]) => [k, shuffle(v)])) : value;
    fc.assert(fc.property(json, (value) => canonical(value) === canonical(shuffle(value))));
    fc.assert(fc.property(json, (value) => JSON.stringify(JSON.parse(canonical(value))) !== undefined));
  });

  test("different values have different canonical texts", () => {
    fc.assert(fc.property(json, json, (a, b) => (canonical(a) === canonical(b)) === (canonical(JSON.parse(canonical(a))) === canonical(JSON.parse(canonical(b))))));
    for (const [a, b] of [[{ a: 1 }, { a: "1" }], [[], {}], [[1, 2], [2, 1]], [null, "null"], [{ a: null }, {}], ["a,b", ["a", "b"]]]) expect(canonical(a)).not.toBe(canonical(b));
  });

  test("whatever is sent to any door, the answer is JSON with a status of the specification, and never a 5xx", async () => {
    const w = world();
    const path = fc.tuple(fc.constantFrom("catalog", "service_instances"), fc.constantFrom("", "/i", "/%", "/i/last_operation"), fc.constantFrom("", "/service_bindings/b", "/service_bindings/b/last_operation")).map((parts) => `/v2/${parts.join("")}`);
    const body = fc.oneof(json.map((value) => JSON.stringify(value)), fc.string(), fc.record({ service_id: fc.constantFrom("s1", "s2", "x", 1, null), plan_id: fc.constantFrom("p1", "p2", "p3", "q1", ""), organization_guid: fc.constantFrom("o", 0), space_guid: fc.constant("s"), parameters: fc.oneof(json, fc.constant({ size: 1 })), maintenance_info: json, bind_resource: json, context: json, predecessor_binding_id: fc.constantFrom("b", 1, undefined) }, { requiredKeys: [] }).map((value) => JSON.stringify(value)));
    await fc.assert(fc.asyncProperty(fc.constantFrom("GET", "PUT", "PATCH", "DELETE", "POST"), path, fc.constantFrom("", "?service_id=s1&plan_id=p1", "?service_id=s1"), body, async (method, at, query, raw) => {
      const answer = await w.ask(method, at + query, method === "GET" ? {} : { raw, headers: { "content-type": "application/json" } });
      expect([200, 201, 400, 404, 405, 409, 410, 422]).toContain(answer.status);
      expect(answer.body).toBeTypeOf("object");
    }), { numRuns: 200 });
  });

  test("a random day of one instance agrees with a model of it", async () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant("provision" as const), plan: fc.constantFrom("p1", "p2") }), fc.record({ do: fc.constant("deprovision" as const) }), fc.record({ do: fc.constant("move" as const), plan: fc.constantFrom("p1", "p2") }),
      fc.record({ do: fc.constant("bind" as const), id: fc.constantFrom("b1", "b2"), app: fc.constantFrom("a1", "a2") }), fc.record({ do: fc.constant("unbind" as const), id: fc.constantFrom("b1", "b2") }));
    await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      const w = world();
      let plan: string | undefined;
      const bindings = new Map<string, string>();   // id -> "plan app"
      for (const one of steps) {
        if (one.do === "provision") {
          expect((await w.provision("i", { plan_id: one.plan })).status).toBe(plan === undefined ? 201 : plan === one.plan ? 200 : 409);
          plan ??= one.plan;
        } else if (one.do === "deprovision") {
          expect((await w.deprovision("i")).status).toBe(plan === undefined ? 410 : 200);
          plan = undefined;
          bindings.clear();
        } else if (one.do === "move") {
          expect((await w.update("i", { plan_id: one.plan })).status).toBe(plan === undefined ? 404 : 200);
          if (plan !== undefined) plan = one.plan;
        } else if (one.do === "bind") {
          const before = bindings.get(one.id), wanted = `${plan} ${one.app}`;
          const expected = plan === undefined ? 404 : before === undefined ? 201 : before === wanted ? 200 : 409;
          expect((await w.bind("i", one.id, { plan_id: plan ?? "p1", bind_resource: { app_guid: one.app } })).status).toBe(expected);
          if (expected === 201) bindings.set(one.id, wanted);
        } else {
          expect((await w.unbind("i", one.id)).status).toBe(bindings.delete(one.id) ? 200 : 410);
        }
      }
    }), { numRuns: 40 });
  });
});

