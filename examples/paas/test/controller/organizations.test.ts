import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestController, type Client, type TestController } from "../support/controller.ts";

let platform: TestController;
let admin: Client;

beforeAll(async () => {
  platform = await startTestController();
  admin = platform.admin;
});
afterAll(() => platform[Symbol.asyncDispose]());

const detail = (reply: { body: { errors?: { detail: string }[] } }): string => reply.body.errors?.[0]?.detail ?? "";
const relation = (guid: string) => ({ data: { guid } });

describe("organizations", () => {
  test("are created, shown, found by name in any case, renamed, and deleted by a job", async () => {
    const made = await admin.post("/v3/organizations", { name: "Acme", suspended: false, metadata: { labels: { "example.com/tier": "gold" } } });
    expect(made.status).toBe(201);
    expect(made.body).toMatchObject({ name: "Acme", suspended: false, metadata: { labels: { "example.com/tier": "gold" }, annotations: {} } });
    expect(made.body.relationships.quota.data.guid).toBeTruthy();
    expect(made.body.links.self.href).toBe(`http://api.cf.test/v3/organizations/${made.body.guid}`);
    expect(made.body.created_at).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);

    const found = await admin.get("/v3/organizations?names=aCME&order_by=name");
    expect(found.body.resources.map((each: { guid: string }) => each.guid)).toEqual([made.body.guid]);

    const again = await admin.post("/v3/organizations", { name: "ACME" });
    expect([again.status, detail(again)]).toEqual([422, "Organization 'ACME' already exists."]);

    const renamed = await admin.patch(`/v3/organizations/${made.body.guid}/`, { name: "Acme 2", metadata: { labels: { "example.com/tier": null, new: "1" } } });
    expect(renamed.body).toMatchObject({ name: "Acme 2", metadata: { labels: { new: "1" } } });

    const job = await admin.job(await admin.delete(`/v3/organizations/${made.body.guid}/`));
    expect(job.body).toMatchObject({ state: "COMPLETE", operation: "organization.delete", errors: [] });
    expect((await admin.get(`/v3/organizations/${made.body.guid}`)).status).toBe(404);
    expect((await admin.get(`/v3/organizations/${made.body.guid}`)).body).toEqual({ errors: [{ code: 10010, title: "CF-ResourceNotFound", detail: "Organization not found" }] });
  });

  test("a rename never lifts a suspension, asking only for that does", async () => {
    const made = await admin.post("/v3/organizations", { name: "suspended-org", suspended: true });
    const renamed = await admin.patch(`/v3/organizations/${made.body.guid}`, { name: "still-suspended", suspended: false });
    expect(renamed.body).toMatchObject({ name: "still-suspended", suspended: true });
    expect((await admin.patch(`/v3/organizations/${made.body.guid}`, { suspended: false })).body.suspended).toBe(false);
  });

  test("a user sees only organizations with a role; a manager may rename, not delete", async () => {
    const { organization, space } = await platform.space();
    const mia = await platform.user("mia");
    expect((await mia.get(`/v3/organizations/${organization}`)).status).toBe(404);
    expect((await mia.get("/v3/organizations")).body.resources).toEqual([]);
    const role = await admin.post("/v3/roles", { type: "organization_manager", relationships: { user: { data: { username: "mia", origin: "uaa" } }, organization: relation(organization) } });
    expect(role.status).toBe(201);
    expect((await mia.get("/v3/organizations")).body.resources).toHaveLength(1);
    expect((await mia.patch(`/v3/organizations/${organization}`, { name: `renamed-${organization}`, suspended: false })).status).toBe(200);
    expect((await mia.delete(`/v3/organizations/${organization}`)).status).toBe(403);
    expect((await mia.get(`/v3/spaces/${space}`)).status).toBe(200);
    await admin.patch(`/v3/organizations/${organization}`, { suspended: true });
    const refused = await mia.patch(`/v3/spaces/${space}`, { name: "other" });
    expect([refused.status, refused.body.errors[0].code, detail(refused)]).toEqual([403, 10017, "The organization is suspended"]);
    expect((await mia.get(`/v3/spaces/${space}`)).status).toBe(200);
  });

  test("with the flag user_org_creation a user makes an organization and manages it; without it 403", async () => {
    const noah = await platform.user("noah");
    expect((await noah.post("/v3/organizations", { name: "noahs" })).status).toBe(403);
    await platform.controller.context.db.insertInto("feature_flags").values({ name: "user_org_creation", enabled: true }).execute();
    const made = await noah.post("/v3/organizations", { name: "noahs" });
    expect(made.status).toBe(201);
    const roles = await noah.get(`/v3/roles?organization_guids=${made.body.guid}&include=user,organization`);
    expect(roles.body.resources.map((each: { type: string }) => each.type).sort()).toEqual(["organization_manager", "organization_user"]);
    expect(roles.body.included.users).toMatchObject([{ username: "noah", presentation_name: "noah", origin: "uaa" }]);
    expect(roles.body.included.organizations).toMatchObject([{ name: "noahs" }]);
  });
});

describe("spaces", () => {
  test("are unique in their organization, carry features and null relations, and are deleted with their apps through the hook", async () => {
    const { organization, space } = await platform.space({ space: "Dev" });
    const taken = await admin.post("/v3/spaces", { name: "dev", relationships: { organization: relation(organization) } });
    expect([taken.status, detail(taken)]).toEqual([422, "Name must be unique per organization"]);
    const unknown = await admin.post("/v3/spaces", { name: "dev", relationships: { organization: relation("nope") } });
    expect([unknown.status, detail(unknown)]).toEqual([422, "Invalid organization. Ensure the organization exists and you have access to it."]);

    expect((await admin.get(`/v3/spaces/${space}/features/ssh`)).body).toMatchObject({ name: "ssh", enabled: true });
    expect((await admin.patch(`/v3/spaces/${space}/features/ssh`, { enabled: false })).body.enabled).toBe(false);
    expect((await admin.get(`/v3/spaces/${space}/relationships/isolation_segment`)).body.data).toBeNull();
    expect((await admin.get(`/v3/spaces/${space}?include=organization`)).body.included.organizations[0].guid).toBe(organization);
    const listed = await admin.get(`/v3/spaces?organization_guids=${organization}&include=organization`);
    expect(listed.body.included.organizations).toHaveLength(1);

    const { db, hooks } = platform.controller.context;
    await db.insertInto("apps").values({ guid: `app-${space}`, name: "shop", space_guid: space }).execute();
    const deleted: string[] = [];
    const original = hooks.deleteApp;
    hooks.deleteApp = (app, actor) => {
      deleted.push(app.name);
      return original(app, actor);
    };
    expect((await admin.job(await admin.delete(`/v3/spaces/${space}`))).body.state).toBe("COMPLETE");
    hooks.deleteApp = original;
    expect(deleted).toEqual(["shop"]);
    expect((await admin.get(`/v3/spaces/${space}`)).status).toBe(404);
    expect((await admin.get(`/v3/organizations/${organization}`)).status).toBe(200);
  });

  test("a deletion that fails leaves the space as it was, and the job says why", async () => {
    const { space } = await platform.space();
    const { db, hooks } = platform.controller.context;
    await db.insertInto("apps").values({ guid: `app-${space}`, name: "stuck", space_guid: space }).execute();
    const original = hooks.deleteApp;
    hooks.deleteApp = () => Promise.reject(new Error("secret detail"));
    const job = await admin.job(await admin.delete(`/v3/spaces/${space}`));
    hooks.deleteApp = original;
    expect(job.body.state).toBe("FAILED");
    expect(job.body.errors).toHaveLength(1);
    expect(JSON.stringify(job.body)).not.toContain("secret");
    expect((await admin.patch(`/v3/spaces/${space}`, { name: "lives" })).status).toBe(200);
  });
});

describe("roles and users", () => {
  test("rules of roles, in the words the command line knows", async () => {
    const { organization, space } = await platform.space();
    const ola = await platform.user("ola");
    const developer = { type: "space_developer", relationships: { user: { data: { username: "ola" } }, space: relation(space) } };
    const early = await admin.post("/v3/roles", developer);
    expect([early.status, detail(early)]).toEqual([422, "Users cannot be assigned roles in a space if they do not have a role in that space's organization."]);
    const member = await admin.post("/v3/roles", { type: "organization_user", relationships: { user: { data: { guid: ola.guid } }, organization: relation(organization) } });
    expect(member.status).toBe(201);
    const role = await admin.post("/v3/roles", developer);
    expect(role.status).toBe(201);
    expect(role.body.relationships).toEqual({ user: relation(ola.guid), organization: { data: null }, space: relation(space) });
    expect(detail(await admin.post("/v3/roles", developer))).toMatch(/^User 'ola' already has 'space_developer' role in space 'dev'\.$/);
    const ghost = await admin.post("/v3/roles", { type: "organization_user", relationships: { user: { data: { username: "ghost", origin: "ldap" } }, organization: relation(organization) } });
    expect(detail(ghost)).toBe("No user exists with the username 'ghost' and origin 'ldap'.");

    expect((await ola.get(`/v3/spaces/${space}`)).status).toBe(200);
    expect((await ola.patch(`/v3/spaces/${space}`, { name: "mine" })).status).toBe(403);
    expect((await ola.post("/v3/roles", developer)).status).toBe(403);
    const held = await admin.delete(`/v3/roles/${member.body.guid}`);
    expect(detail(held)).toBe("Cannot delete organization_user role while user has roles in spaces in that organization.");
    expect((await admin.job(await admin.delete(`/v3/roles/${role.body.guid}`))).body.state).toBe("COMPLETE");
    expect((await ola.get(`/v3/spaces/${space}`)).status).toBe(404);
    expect((await admin.job(await admin.delete(`/v3/roles/${member.body.guid}`))).body.state).toBe("COMPLETE");
    expect((await admin.get(`/v3/roles?user_guids=${ola.guid}`)).body.resources).toEqual([]);
  });

  test("users are known by guid, named by the identity provider, and seen by the people of their organizations", async () => {
    const { organization } = await platform.space();
    const [pia, quin] = [await platform.user("pia"), await platform.user("quin")];
    expect((await admin.post("/v3/users", { guid: pia.guid })).status).toBe(201);
    const twice = await admin.post("/v3/users", { guid: pia.guid });
    expect([twice.status, detail(twice)]).toEqual([422, `User with guid '${pia.guid}' already exists.`]);
    expect((await quin.post("/v3/users", { guid: "x" })).status).toBe(403);
    expect((await admin.get("/v3/users?usernames=pia&origins=uaa")).body.resources).toMatchObject([{ guid: pia.guid, username: "pia", origin: "uaa" }]);
    expect((await admin.get("/v3/users?partial_usernames=pi")).body.resources).toHaveLength(1);
    expect((await admin.get("/v3/users?origins=uaa")).status).toBe(400);
    expect((await quin.get(`/v3/users/${pia.guid}`)).body.errors[0].detail).toBe("User not found");
    for (const client of [pia, quin])
      await admin.post("/v3/roles", { type: "organization_auditor", relationships: { user: { data: { guid: client.guid } }, organization: relation(organization) } });
    expect((await quin.get(`/v3/users/${pia.guid}`)).body.username).toBe("pia");
    expect((await quin.get(`/v3/organizations/${organization}/users`)).body.resources).toHaveLength(2);
    expect((await admin.job(await admin.delete(`/v3/users/${pia.guid}`))).body.state).toBe("COMPLETE");
    expect((await admin.get(`/v3/roles?user_guids=${pia.guid}`)).body.resources).toEqual([]);
  });

  test("a client of the UAA can hold a role", async () => {
    const { organization } = await platform.space();
    const role = await admin.post("/v3/roles", { type: "organization_user", relationships: { user: { data: { guid: "ci-client" } }, organization: relation(organization) } });
    expect(role.status).toBe(201);
    const token = await platform.signToken({ sub: "ci-client", client_id: "ci-client", grant_type: "client_credentials", scope: ["cloud_controller.read"] });
    const reply = await platform.anonymous.send("GET", "/v3/organizations", undefined, { authorization: `bearer ${token}` });
    expect(reply.body.resources.map((each: { guid: string }) => each.guid)).toEqual([organization]);
  });

  test("without the UAA roles and users stay readable, and naming somebody new is a 503", async () => {
    const away = (): Promise<never> => Promise.reject(new Error("connect ECONNREFUSED 10.0.0.1"));
    const { organization } = await platform.space();
    await using second = await startTestController({ db: platform.controller.context.db, identities: { findByIds: away, findByNames: away } });
    const list = await second.admin.get("/v3/roles?include=user");
    expect(list.status).toBe(200);
    expect(list.body.included.users[0]).toMatchObject({ username: null, origin: null });
    const role = await second.admin.post("/v3/roles", { type: "organization_user", relationships: { user: { data: { username: "zoe" } }, organization: relation(organization) } });
    expect([role.status, role.body.errors]).toEqual([503, [{ code: 20004, title: "CF-UaaUnavailable", detail: "The UAA service is currently unavailable" }]]);
  });
});
