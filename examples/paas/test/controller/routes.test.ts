import { randomUUID } from "node:crypto";
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { addressProblems, destinationProblems, routeTaken, routeUrl } from "../../controller/routes/route-rules.ts";
import { startTestController, testDomain, type Client, type Reply, type TestController } from "../support/controller.ts";

let platform: TestController;
let admin: Client;
let changed: string[][];
let domain: string;

beforeAll(async () => {
  platform = await startTestController({ hooks: { onRoutesChanged: (guids) => void changed.push([...guids].sort()) } });
  admin = platform.admin;
  domain = (await admin.get(`/v3/domains?names=${testDomain}`)).body.resources[0].guid;
});
beforeEach(() => {
  changed = [];
});
afterAll(() => platform[Symbol.asyncDispose]());

const detail = (reply: Reply): string => reply.body.errors?.[0]?.detail ?? "";
const relation = (guid: string) => ({ data: { guid } });
const host = (): string => `h-${randomUUID()}`;

async function makeApp(space: string, types = ["web"]): Promise<string> {
  const guid = randomUUID();
  const { db } = platform.controller.context;
  await db.insertInto("apps").values({ guid, name: guid, space_guid: space }).execute();
  for (const type of types)
    await db.insertInto("processes").values({ guid: type === "web" ? guid : `${guid}-${type}`, app_guid: guid, type, version: "1", instances: 1, memory_in_mb: 64, disk_in_mb: 64, health_check_type: "port" }).execute();
  return guid;
}
const makeRoute = (space: string, more: object = {}, client = admin): Promise<Reply> =>
  client.post("/v3/routes", { host: host(), relationships: { space: relation(space), domain: relation(domain) }, ...more });

describe("rules as functions", () => {
  const shared = { name: "cf.test", internal: false, organization_guid: null };
  const own = { ...shared, organization_guid: "o" };
  for (const [address, on, text] of [
    [{ host: "", path: "", port: null }, shared, "Missing host. Routes in shared domains must have a host defined."],
    [{ host: "a.b", path: "", port: null }, own, "Host must be either \"*\" or contain only alphanumeric characters, \"_\", or \"-\""],
    [{ host: "a".repeat(64), path: "", port: null }, own, "Host is too long (maximum is 63 characters)"],
    [{ host: "a", path: "p", port: null }, own, "Path must start with a '/'"],
    [{ host: "a", path: "/", port: null }, own, "Path cannot be exactly '/'"],
    [{ host: "a", path: "/x?y", port: null }, own, "Path cannot contain a '?'"],
    [{ host: "a", path: `/${"x".repeat(128)}`, port: null }, own, "Path is too long (maximum is 128 characters)"],
    [{ host: "a", path: "", port: 1234 }, own, "Routes with protocol 'http' do not support ports."],
    [{ host: "API", path: "", port: null }, shared, "Route conflicts with a reserved system route."],
  ] as const) test(`refused: ${JSON.stringify(address).slice(0, 60)}`, () => expect(addressProblems(address, on, "cf.test")).toContain(text));

  test("whatever a host of allowed letters is, it is accepted below another domain", () => {
    fc.assert(fc.property(fc.stringMatching(/^[A-Za-z0-9_-]{1,63}$/), (name) => {
      expect(addressProblems({ host: name, path: "", port: null }, { ...own, name: "other.test" }, "cf.test")).toEqual([]);
    }));
  });

  test("addresses and what is said when they are taken", () => {
    expect(routeUrl({ host: "a", path: "/p", port: null }, "d.e")).toBe("a.d.e/p");
    expect(routeUrl({ host: "", path: "", port: null }, "d.e")).toBe("d.e");
    expect(routeUrl({ host: "", path: "", port: 99 }, "d.e")).toBe("d.e:99");
    expect(routeTaken({ host: "h", path: "/p", port: null }, "d")).toBe("Route already exists with host 'h' and path '/p' for domain 'd'.");
    expect(routeTaken({ host: "", path: "", port: null }, "d")).toBe("Route already exists for domain 'd'.");
  });

  test("weights: all or none, 100 in sum, only with replacement", () => {
    const to = (weight?: number) => ({ app: { guid: randomUUID() }, ...(weight !== undefined && { weight }) });
    expect(destinationProblems([to(60), to(40)], true)).toEqual([]);
    expect(destinationProblems([to(60), to(40)], false)).toHaveLength(1);
    expect(destinationProblems([to(60), to(41)], true)).toHaveLength(1);
    expect(destinationProblems([to(100), to()], true)).toHaveLength(1);
  });
});

describe("routes", () => {
  test("are created, checked, found, and taken regardless of case", async () => {
    const { space } = await platform.space();
    const name = host();
    expect((await admin.get(`/v3/domains/${domain}/route_reservations?host=${name}`)).body).toEqual({ matching_route: false });
    const made = await makeRoute(space, { host: name, path: "/a", options: { loadbalancing: "least-connection" } });
    expect(made.status).toBe(201);
    expect(made.body).toMatchObject({ protocol: "http", host: name, path: "/a", port: null, url: `${name}.${testDomain}/a`, destinations: [], options: { loadbalancing: "least-connection" } });
    const again = await makeRoute(space, { host: name.toUpperCase(), path: "/a" });
    expect([again.status, detail(again)]).toEqual([422, `Route already exists with host '${name.toUpperCase()}' and path '/a' for domain '${testDomain}'.`]);
    expect((await admin.get(`/v3/domains/${domain}/route_reservations?host=${name}&path=/a`)).body.matching_route).toBe(true);
    expect((await admin.get(`/v3/routes?hosts=${name}&paths=`)).body.resources).toEqual([]);
    expect((await makeRoute(space, { host: name })).status).toBe(201);
    expect((await admin.get(`/v3/routes?hosts=${name}&paths=`)).body.resources).toHaveLength(1);
    const listed = await admin.get(`/v3/routes?space_guids=${space}&include=domain,space.organization&order_by=-created_at`);
    expect(listed.body.included.domains).toMatchObject([{ name: testDomain, supported_protocols: ["http"] }]);
    expect(listed.body.included.organizations).toHaveLength(1);
    expect(detail(await makeRoute(space, { options: { loadbalancing: "magic" } }))).toMatch(/Loadbalancing must be one of/);
    expect(detail(await makeRoute("nowhere"))).toBe("Invalid space. Ensure that the space exists and you have access to it.");
  });

  test("destinations are added once, replaced, changed and removed; the runtime hears every change", async () => {
    const { space } = await platform.space();
    const { body: route } = await makeRoute(space);
    const [one, two] = [await makeApp(space, ["web", "worker"]), await makeApp(space)];
    const path = `/v3/routes/${route.guid}/destinations`;
    const added = await admin.post(path, { destinations: [{ app: { guid: one } }, { app: { guid: one, process: { type: "worker" } }, port: 9_000, protocol: "http2" }] });
    expect(added.status).toBe(200);
    expect(added.body.destinations).toMatchObject([
      { app: { guid: one, process: { type: "web" } }, port: 8_080, protocol: "http1", weight: null },
      { app: { guid: one, process: { type: "worker" } }, port: 9_000, protocol: "http2", weight: null },
    ]);
    expect(changed).toEqual([[one, `${one}-worker`].sort()]);
    const same = await admin.post(path, { destinations: [{ app: { guid: one }, port: 8_080 }] });
    expect(same.body.destinations).toHaveLength(2);
    expect((await admin.get(`${path}?app_guids=${two}`)).body.destinations).toEqual([]);
    changed = [];
    const replaced = await admin.patch(path, { destinations: [{ app: { guid: one }, weight: 20 }, { app: { guid: two }, weight: 80 }] });
    expect(replaced.body.destinations.map((each: { weight: number }) => each.weight)).toEqual([20, 80]);
    expect(changed).toEqual([[one, two, `${one}-worker`].sort()]);
    await admin.patch(path, { destinations: [{ app: { guid: two } }] });
    const [left] = (await admin.get(path)).body.destinations;
    expect((await admin.patch(`${path}/${left.guid}`, { protocol: "http2" })).body.protocol).toBe("http2");
    changed = [];
    expect((await admin.delete(`${path}/${left.guid}`)).status).toBe(204);
    expect(changed).toEqual([[two]]);
    expect((await admin.delete(`${path}/${left.guid}`)).status).toBe(422);
    expect((await admin.get(`/v3/audit_events?target_guids=${two}&order_by=-created_at`)).body.resources.map((each: { type: string }) => each.type)).toEqual(["audit.app.unmap-route", "audit.app.map-route"]);
  });

  test("apps of other spaces are refused, unless the route is shared with their space", async () => {
    const { space } = await platform.space();
    const other = await platform.space();
    const { body: route } = await makeRoute(space);
    const foreign = await makeApp(other.space);
    const map = () => admin.post(`/v3/routes/${route.guid}/destinations`, { destinations: [{ app: { guid: foreign } }] });
    expect(detail(await map())).toBe("Routes cannot be mapped to destinations in different spaces.");
    expect(detail(await admin.post(`/v3/routes/${route.guid}/destinations`, { destinations: [{ app: { guid: "nope" } }] }))).toBe("App(s) with guid(s) \"nope\" do not exist or you do not have access.");
    const shared = `/v3/routes/${route.guid}/relationships/shared_spaces`;
    expect((await admin.post(shared, { data: [{ guid: other.space }] })).body.errors[0].code).toBe(330002);
    await admin.patch("/v3/feature_flags/route_sharing", { enabled: true });
    expect((await admin.post(shared, { data: [{ guid: other.space }] })).body.data).toEqual([{ guid: other.space }]);
    expect((await map()).status).toBe(200);
    expect((await admin.delete(`${shared}/${other.space}`)).status).toBe(204);
    expect((await admin.get(`/v3/routes/${route.guid}`)).body.destinations).toEqual([]);
    expect((await admin.patch(`/v3/routes/${route.guid}/relationships/space`, { data: { guid: other.space } })).status).toBe(200);
    expect((await admin.get(`/v3/routes?guids=${route.guid}`)).body.resources[0].relationships.space.data.guid).toBe(other.space);
  });

  test("deleting one, all unmapped, and what an app has", async () => {
    const { space } = await platform.space();
    const [mapped, first] = [(await makeRoute(space)).body, (await makeRoute(space)).body];
    await makeRoute(space);
    const app = await makeApp(space);
    await admin.post(`/v3/routes/${mapped.guid}/destinations`, { destinations: [{ app: { guid: app } }] });
    expect((await admin.get(`/v3/apps/${app}/routes`)).body.resources).toMatchObject([{ guid: mapped.guid }]);
    expect((await admin.job(await admin.delete(`/v3/routes/${first.guid}`))).body.state).toBe("COMPLETE");
    expect((await admin.delete(`/v3/spaces/${space}/routes`)).status).toBe(422);
    expect((await admin.job(await admin.delete(`/v3/spaces/${space}/routes?unmapped=true`))).body).toMatchObject({ state: "COMPLETE", operation: "space.delete_unmapped_routes" });
    expect((await admin.get(`/v3/routes?space_guids=${space}`)).body.resources.map((each: { guid: string }) => each.guid)).toEqual([mapped.guid]);
  });

  test("quotas of organization and space, and the flag", async () => {
    const { organization, space } = await platform.space({ space: "tight" });
    const quota = await admin.post("/v3/organization_quotas", { name: randomUUID(), routes: { total_routes: 2 }, relationships: { organizations: { data: [{ guid: organization }] } } });
    expect(quota.body.relationships.organizations.data).toEqual([{ guid: organization }]);
    const small = await admin.post("/v3/space_quotas", { name: "one", routes: { total_routes: 1 }, relationships: { organization: relation(organization), spaces: { data: [{ guid: space }] } } });
    expect(small.status).toBe(201);
    expect((await makeRoute(space)).status).toBe(201);
    expect(detail(await makeRoute(space))).toBe("Routes quota exceeded for space 'tight'.");
    expect((await admin.delete(`/v3/space_quotas/${small.body.guid}/relationships/spaces/${space}`)).status).toBe(204);
    // Two at once: one place is left.
    const statuses = (await Promise.all([makeRoute(space), makeRoute(space)])).map(({ status }) => status).sort();
    expect(statuses).toEqual([201, 422]);
    expect(detail(await makeRoute(space))).toMatch(/^Routes quota exceeded for organization 'org-/);
    expect(detail(await admin.delete(`/v3/organization_quotas/${quota.body.guid}`))).toMatch(/applied to one or more organizations/);
  });

  test("who may: developer and supporter write, auditor reads, strangers see nothing", async () => {
    const { organization, space } = await platform.space();
    const { body: route } = await makeRoute(space);
    const client: Record<string, Client> = {};
    for (const role of ["space_developer", "space_supporter", "space_auditor", "organization_auditor", "stranger"]) {
      const user = await platform.user(`${role}-${space}`);
      client[role] = user;
      if (role === "stranger") continue;
      await admin.post("/v3/roles", { type: "organization_user", relationships: { user: { data: { guid: user.guid } }, organization: relation(organization) } });
      await admin.post("/v3/roles", { type: role, relationships: { user: { data: { guid: user.guid } }, ...(role.startsWith("space") ? { space: relation(space) } : { organization: relation(organization) }) } });
    }
    for (const [role, read, write] of [["space_developer", 200, 201], ["space_supporter", 200, 201], ["space_auditor", 200, 403], ["organization_auditor", 200, 422], ["stranger", 404, 422]] as const) {
      const user = client[role] as Client;
      expect([role, (await user.get(`/v3/routes/${route.guid}`)).status]).toEqual([role, read]);
      expect([role, (await makeRoute(space, {}, user)).status]).toEqual([role, write]);
    }
    await admin.patch("/v3/feature_flags/route_creation", { enabled: false, custom_error_message: "ask the operator" });
    const refused = await makeRoute(space, {}, client["space_developer"]);
    expect([refused.status, detail(refused)]).toEqual([403, "Feature Disabled: ask the operator"]);
    await admin.patch("/v3/feature_flags/route_creation", { enabled: true });
  });
});

describe("domains", () => {
  test("the platform's domain is there, and the default", async () => {
    const { organization } = await platform.space();
    const list = await admin.get(`/v3/organizations/${organization}/domains`);
    expect(list.body.resources).toMatchObject([{ name: testDomain, internal: false, router_group: null, relationships: { organization: { data: null } } }]);
    expect((await admin.get(`/v3/organizations/${organization}/domains/default`)).body.name).toBe(testDomain);
  });

  test("private domains: own organization, shared ones, overlaps, deletion with its routes", async () => {
    const { organization, space } = await platform.space();
    const other = await platform.space();
    const body = { name: "Acme.example", relationships: { organization: relation(organization) } };
    const made = await admin.post("/v3/domains", body);
    expect([made.status, made.body.name]).toEqual([201, "acme.example"]);
    expect(detail(await admin.post("/v3/domains", body))).toBe("The domain name \"Acme.example\" is already in use");
    expect(detail(await admin.post("/v3/domains", { ...body, name: "sub.acme.example", relationships: { organization: relation(other.organization) } })))
      .toBe("The domain name \"sub.acme.example\" cannot be created because \"acme.example\" is already reserved by another domain");
    expect(detail(await admin.post("/v3/domains", { name: "nodot" }))).toBe("Name must contain at least one \".\"");
    const foreign = await admin.post("/v3/routes", { host: "x", relationships: { space: relation(other.space), domain: relation(made.body.guid) } });
    expect(detail(foreign)).toMatch(/^Invalid domain\./);
    const shares = `/v3/domains/${made.body.guid}/relationships/shared_organizations`;
    expect((await admin.post(shares, { data: [{ guid: other.organization }] })).body.data).toEqual([{ guid: other.organization }]);
    const route = await admin.post("/v3/routes", { relationships: { space: relation(other.space), domain: relation(made.body.guid) } });
    expect([route.status, route.body.url]).toEqual([201, "acme.example"]);
    expect(detail(await admin.delete(`/v3/domains/${made.body.guid}`))).toBe("This domain is shared with other organizations. Unshare before deleting.");
    expect((await admin.delete(`${shares}/${other.organization}`)).status).toBe(422);
    await admin.job(await admin.delete(`/v3/routes/${route.body.guid}`));
    expect((await admin.delete(`${shares}/${other.organization}`)).status).toBe(204);
    const app = await makeApp(space);
    const last = await admin.post("/v3/routes", { host: "www", relationships: { space: relation(space), domain: relation(made.body.guid) } });
    await admin.post(`/v3/routes/${last.body.guid}/destinations`, { destinations: [{ app: { guid: app } }] });
    changed = [];
    expect((await admin.job(await admin.delete(`/v3/domains/${made.body.guid}`))).body.state).toBe("COMPLETE");
    expect(changed).toEqual([[app]]);
    expect((await admin.get(`/v3/routes/${last.body.guid}`)).status).toBe(404);
  });
});
