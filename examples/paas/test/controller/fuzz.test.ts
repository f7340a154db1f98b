import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { RouteModule } from "../../controller/api/context.ts";
import { coreModules } from "../../controller/modules.ts";
import { startTestController, type Client, type TestController } from "../support/controller.ts";

let platform: TestController;
let clients: Client[];
const routes: { method: string; url: string }[] = [];
let guids: string[];

const listen: RouteModule = (api) => {
  api.fastify.addHook("onRoute", ({ method, url }) => {
    for (const each of [method].flat()) if (each !== "HEAD") routes.push({ method: each, url });
  });
};

beforeAll(async () => {
  platform = await startTestController({ modules: [listen, ...coreModules], systemBuildpacks: [{ name: "a_buildpack" }] });
  clients = [platform.admin, await platform.user("fuzzy"), platform.anonymous];
  const { organization, space } = await platform.space();
  const { admin } = platform;
  const rows = await Promise.all(["domains", "stacks", "buildpacks", "organization_quotas", "roles", "users", "audit_events"].map((name) => admin.get(`/v3/${name}`)));
  const domain = rows[0]?.body.resources[0].guid as string;
  const route = await admin.post("/v3/routes", { host: "fuzz", relationships: { space: { data: { guid: space } }, domain: { data: { guid: domain } } } });
  guids = [organization, space, route.body.guid, ...rows.flatMap(({ body }) => body.resources.map(({ guid }: { guid: string }) => guid))];
});
afterAll(() => platform[Symbol.asyncDispose]());

const nasty = fc.oneof(fc.constantFrom("", "\u0000", "a\u0000b", "\ud800", "%", "%00", "%zz", "'; DROP TABLE apps; --", "x".repeat(300), "../..", "*", "ü", "2147483648", "-1", "true", "2020-01-01T00:00:00Z", "(", "a in (", "!", "a=b,c"), fc.string({ maxLength: 12, unit: "grapheme" }));
const someGuid = fc.nat().map((index) => guids[index % guids.length] ?? "");
const value: fc.Arbitrary<unknown> = fc.oneof(nasty, someGuid, fc.integer(), fc.double(), fc.boolean(), fc.constant(null), fc.array(nasty, { maxLength: 2 }), fc.dictionary(nasty, nasty, { maxKeys: 2 }));
const reference = fc.record({ data: fc.oneof(fc.record({ guid: fc.oneof(someGuid, nasty) }), fc.array(fc.record({ guid: fc.oneof(someGuid, nasty) }), { maxLength: 2 }), fc.constant(null), value) });
const body = fc.oneof(
  { weight: 6, arbitrary: fc.record({
    name: fc.oneof(nasty, value), type: fc.oneof(fc.constantFrom("space_developer", "organization_user"), value), host: value, path: value, port: value, guid: value, username: value, origin: value,
    enabled: value, position: value, suspended: value, state: value, var: value, destinations: fc.oneof(value, fc.array(fc.record({ app: fc.record({ guid: fc.oneof(someGuid, nasty) }), port: value, weight: value }), { maxLength: 2 })),
    options: value, data: fc.oneof(value, fc.array(fc.record({ guid: someGuid }), { maxLength: 2 })), apps: fc.dictionary(fc.constantFrom("total_memory_in_mb", "total_instances"), value), custom_error_message: value,
    relationships: fc.record({ organization: reference, space: reference, domain: reference, user: reference, organizations: reference, spaces: reference }, { requiredKeys: [] }),
    metadata: fc.oneof(value, fc.record({ labels: fc.dictionary(nasty, fc.oneof(nasty, fc.constant(null)), { maxKeys: 2 }), annotations: fc.dictionary(nasty, nasty, { maxKeys: 2 }) }, { requiredKeys: [] })),
  }, { requiredKeys: [] }) },
  value);
const keys = ["names", "guids", "page", "per_page", "order_by", "created_ats", "updated_ats", "created_ats[lt]", "label_selector", "include", "hosts", "paths", "ports", "types", "space_guids", "organization_guids", "usernames", "partial_usernames", "origins", "unmapped", "default", "target_guids[not]", "after_guid", "fields[x]", "host", "path", "port"];
const query = fc.dictionary(fc.oneof({ weight: 9, arbitrary: fc.constantFrom(...keys) }, { weight: 1, arbitrary: nasty }), nasty, { maxKeys: 2 })
  .map((pairs) => Object.entries(pairs).map(([key, text]) => `${safely(key)}=${safely(text)}`).join("&"));

function safely(text: string): string {
  try {
    return encodeURIComponent(text);
  } catch {
    return "%ED%A0%80";
  }
}

test("whatever is sent to whatever path by whomever: an answer in the API's form, and never an accident", async () => {
  const seen = new Set<number>();
  await fc.assert(fc.asyncProperty(fc.nat(), fc.nat(), body, query, fc.array(fc.oneof(someGuid, nasty), { minLength: 2, maxLength: 2 }), async (routeIndex, clientIndex, payload, asked, parameters) => {
    const route = routes[routeIndex % routes.length] as { method: string; url: string };
    const client = clients[clientIndex % clients.length] as Client;
    let next = 0;
    const path = `${route.url.replaceAll(/:\w+/g, () => safely(parameters[next++] ?? "") || "x")}${asked === "" ? "" : `?${asked}`}`;
    const text = route.method === "GET" ? undefined : JSON.stringify(payload) ?? "";
    let reply = await client.send(route.method, path, text);
    // Keys this resource does not have are taken away, so that what is below the first check is reached too.
    const unknown = /Unknown field\(s\): ([^,A-Z]*(?:, '[^']*')*)/.exec(String(reply.body.errors?.[0]?.detail))?.[1];
    if (unknown !== undefined && typeof payload === "object" && payload !== null)
      reply = await client.send(route.method, path, JSON.stringify(Object.fromEntries(Object.entries(payload).filter(([key]) => !unknown.includes(`'${key}'`)))));
    seen.add(reply.status);
    const place = `${route.method} ${path} ${text ?? ""}`;
    expect(reply.status, place).toBeLessThan(500);
    if (reply.status >= 400) expect(Array.isArray(reply.body.errors) && reply.body.errors.length > 0 && typeof reply.body.errors[0].detail === "string", `${place} ${JSON.stringify(reply.body)}`).toBe(true);
    await platform.controller.context.jobs.idle();
  }), { numRuns: 1_500, seed: 20_260_101, endOnFailure: true });
  expect([200, 401, 404, 422].every((status) => seen.has(status))).toBe(true);
}, 120_000);

test("nor by arbitrary bytes", async () => {
  await fc.assert(fc.asyncProperty(fc.constantFrom("/v3/organizations", "/v3/roles", "/v3/routes"), fc.string({ unit: "binary", maxLength: 40 }), fc.constantFrom("application/json", "text/plain", "", "application/x-yaml", "multipart/form-data", "multipart/form-data; boundary=x", "garbage"), async (path, text, type) => {
    const reply = await platform.admin.send("POST", path, text, { "content-type": type });
    expect([path, text, type, reply.status < 500]).toEqual([path, text, type, true]);
  }), { numRuns: 200, seed: 7 });
}, 60_000);
