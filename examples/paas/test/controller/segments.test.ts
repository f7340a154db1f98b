import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { noServices } from "../../controller/apps/app-services.ts";
import { createDesiredSource } from "../../controller/apps/desired.ts";
import { json } from "../../controller/data/schema.ts";
import { sharedSegmentGuid } from "../../controller/organizations/segment-rules.ts";
import { startTestController, type Client, type Reply, type TestController } from "../support/controller.ts";

let platform: TestController;
let admin: Client;

beforeAll(async () => {
  platform = await startTestController();
  admin = platform.admin;
});
afterAll(() => platform[Symbol.asyncDispose]());

const detail = ({ status, body }: Reply): [number, string] => [status, body.errors?.[0]?.detail ?? ""];
const many = (...guids: string[]) => ({ data: guids.map((guid) => ({ guid })) });
const one = (guid: string | null) => ({ data: guid === null ? null : { guid } });
const names = ({ body }: Reply): string[] => body.resources.map((each: { name: string }) => each.name);
const segment = async (name: string): Promise<string> => (await admin.post("/v3/isolation_segments", { name })).body.guid;
const path = (guid: string, rest = ""): string => `/v3/isolation_segments/${guid}${rest}`;

describe("isolation segments", () => {
  test("shared is built in, and cannot be changed or removed", async () => {
    expect((await admin.get("/v3/isolation_segments?names=SHARED")).body.resources).toMatchObject([{ guid: sharedSegmentGuid, name: "shared" }]);
    expect(detail(await admin.patch(path(sharedSegmentGuid), { name: "x" }))).toEqual([422, "Cannot update the shared Isolation Segment"]);
    expect(detail(await admin.delete(path(sharedSegmentGuid)))).toEqual([422, "Cannot delete the shared Isolation Segment"]);
  });

  test("are created, shown, found by name in any case, renamed, and deleted", async () => {
    const made = await admin.post("/v3/isolation_segments", { name: "Gold", metadata: { labels: { tier: "1" } } });
    expect([made.status, made.body]).toMatchObject([201, { name: "Gold", metadata: { labels: { tier: "1" }, annotations: {} } }]);
    const { guid } = made.body;
    expect(made.body.links).toEqual({ self: { href: `http://api.cf.test${path(guid)}` }, organizations: { href: `http://api.cf.test${path(guid, "/organizations")}` } });
    expect(names(await admin.get("/v3/isolation_segments?names=gOLD"))).toEqual(["Gold"]);
    expect(names(await admin.get("/v3/isolation_segments?order_by=name&label_selector=tier=1"))).toEqual(["Gold"]);
    expect(detail(await admin.post("/v3/isolation_segments", { name: "GOLD" }))).toEqual([422, "Isolation Segment names are case insensitive and must be unique"]);
    expect((await admin.patch(path(guid), { name: "silver" })).body.name).toBe("silver");
    expect((await admin.get(path(guid))).body).toMatchObject({ guid, name: "silver" });
    expect([(await admin.delete(path(guid))).status, (await admin.get(path(guid))).status]).toEqual([204, 404]);
  });

  test.each([
    [{}, "Name can't be blank"], [{ name: "" }, "Name can't be blank"], [{ name: " " }, "Isolation Segment names can only contain non-blank unicode characters"],
    [{ name: "a\u0000b" }, "Isolation Segment names can only contain non-blank unicode characters"], [{ name: "a".repeat(256) }, "Name is too long (maximum is 255 characters)"],
    [{ name: "x", cells: 3 }, "Unknown field(s): 'cells'"],
  ])("%j is refused", async (body, text) => expect(detail(await admin.post("/v3/isolation_segments", body))).toEqual([422, text]));

  test("entitlements: given, listed, given again, taken back; with one a segment stays", async () => {
    const gold = await segment("entitled");
    const { organization } = await platform.space({ organization: "seg-acme" });
    const other = await platform.space({ organization: "seg-other" });
    const given = await admin.post(path(gold, "/relationships/organizations"), many(organization, organization));
    expect([given.status, given.body]).toEqual([200, { ...many(organization), links: {
      self: { href: `http://api.cf.test${path(gold, "/relationships/organizations")}` }, related: { href: `http://api.cf.test${path(gold, "/organizations")}` },
    } }]);
    expect((await admin.post(path(gold, "/relationships/organizations"), many(other.organization))).body.data).toHaveLength(2);
    expect(names(await admin.get(path(gold, "/organizations?order_by=name")))).toEqual(["seg-acme", "seg-other"]);
    expect(names(await admin.get(`/v3/isolation_segments?organization_guids=${organization}`))).toEqual(["entitled"]);
    expect(detail(await admin.post(path(gold, "/relationships/organizations"), many("nobody")))).toEqual([422, "Unable to entitle organizations [nobody] for isolation segment. Ensure the organizations exist."]);
    expect(detail(await admin.delete(path(gold)))).toEqual([422, "Revoke the Organization entitlements for your Isolation Segment."]);
    expect((await admin.delete(path(gold, `/relationships/organizations/${organization}`))).status).toBe(204);
    // An organization that is gone takes its entitlement along.
    await admin.job(await admin.delete(`/v3/organizations/${other.organization}`));
    expect((await admin.get(path(gold, "/relationships/organizations"))).body.data).toEqual([]);
    expect((await admin.delete(path(gold))).status).toBe(204);
  });

  test("only an entitled segment can be given to an organization or a space, and it cannot be taken back while it is used", async () => {
    const gold = await segment("used");
    const { organization, space } = await platform.space({ organization: "seg-user" });
    const ofOrganization = `/v3/organizations/${organization}/relationships/default_isolation_segment`;
    const ofSpace = `/v3/spaces/${space}/relationships/isolation_segment`;
    for (const guid of [gold, "none"]) {
      expect(detail(await admin.patch(ofOrganization, one(guid)))).toEqual([422, `Unable to assign isolation segment with guid '${guid}'. Ensure it has been entitled to this organization.`]);
      expect(detail(await admin.patch(ofSpace, one(guid)))).toEqual([422, `Unable to assign isolation segment with guid '${guid}'. Ensure it has been entitled to the organization that this space belongs to.`]);
    }
    await admin.post(path(gold, "/relationships/organizations"), many(organization));
    expect((await admin.patch(ofOrganization, one(gold))).body).toMatchObject(one(gold));
    expect((await admin.get(ofOrganization)).body).toMatchObject(one(gold));
    const takeBack = () => admin.delete(path(gold, `/relationships/organizations/${organization}`));
    expect(detail(await takeBack())).toEqual([422, "Cannot remove the entitlement while this Isolation Segment is assigned as the Default Isolation Segment for the Organization."]);
    expect((await admin.patch(ofOrganization, one(null))).body.data).toBeNull();
    expect((await admin.patch(ofSpace, one(gold))).body).toMatchObject(one(gold));
    expect((await admin.get(path(gold, "/relationships/spaces"))).body.data).toEqual([{ guid: space }]);
    expect(detail(await takeBack())).toEqual([422, "Cannot remove the entitlement while this Isolation Segment is assigned to any Spaces. Currently assigned to: ['dev']"]);
    expect((await admin.patch(ofSpace, one(null))).body.data).toBeNull();
    expect((await takeBack()).status).toBe(204);
  });

  test("who may: everyone reads those of their organizations; admins write; managers choose the default, of spaces too", async () => {
    const gold = await segment("visible");
    const { organization, space } = await platform.space({ organization: "seg-mia" });
    const mia = await platform.user("mia");
    await admin.post("/v3/roles", { type: "organization_manager", relationships: { user: { data: { username: "mia", origin: "uaa" } }, organization: one(organization) } });
    expect([names(await mia.get("/v3/isolation_segments")), (await mia.get(path(gold))).status]).toEqual([[], 404]);
    await admin.post(path(gold, "/relationships/organizations"), many(organization));
    expect([names(await mia.get("/v3/isolation_segments")), (await mia.get(path(gold))).status]).toEqual([["visible"], 200]);
    expect(names(await mia.get(path(gold, "/organizations")))).toEqual(["seg-mia"]);
    const writes = [() => mia.post("/v3/isolation_segments", { name: "mine" }), () => mia.patch(path(gold), { name: "mine" }), () => mia.delete(path(gold)),
      () => mia.post(path(gold, "/relationships/organizations"), many(organization)), () => mia.delete(path(gold, `/relationships/organizations/${organization}`))];
    for (const write of writes) expect((await write()).status).toBe(403);
    expect((await mia.patch(`/v3/organizations/${organization}/relationships/default_isolation_segment`, one(gold))).status).toBe(200);
    expect((await mia.patch(`/v3/spaces/${space}/relationships/isolation_segment`, one(gold))).status).toBe(200);
  });
});

test("the segment of an app: its space's, else its organization's default, else none; shared is none", async () => {
  const { db } = platform.controller.context;
  const gold = await segment("gold-for-apps");
  const silver = await segment("silver-for-apps");
  const { organization, space } = await platform.space({ organization: "seg-apps" });
  for (const guid of [gold, silver, sharedSegmentGuid]) await admin.post(path(guid, "/relationships/organizations"), many(organization));
  await db.insertInto("apps").values({ guid: "app", name: "app", space_guid: space, state: "STARTED", lifecycle_type: "buildpack", current_droplet_guid: "droplet" }).execute();
  await db.insertInto("droplets").values({ guid: "droplet", app_guid: "app", state: "STAGED", lifecycle_type: "buildpack", process_types: json({ web: "run" }) }).execute();
  await db.insertInto("processes").values({ guid: "app", app_guid: "app", type: "web", version: "1", instances: 1, memory_in_mb: 64, disk_in_mb: 64, health_check_type: "port" }).execute();
  const source = createDesiredSource({ database: db, services: noServices, apiUrl: "http://api.cf.test" });
  const wanted = async (ofOrganization: string | null, ofSpace: string | null): Promise<string | undefined> => {
    await admin.patch(`/v3/organizations/${organization}/relationships/default_isolation_segment`, one(ofOrganization));
    await admin.patch(`/v3/spaces/${space}/relationships/isolation_segment`, one(ofSpace));
    return (await source.desired({ processGuids: ["app"] }))[0]?.isolationSegment;
  };
  expect(await wanted(null, null)).toBeUndefined();
  expect(await wanted(gold, null)).toBe("gold-for-apps");
  expect(await wanted(gold, silver)).toBe("silver-for-apps");
  expect(await wanted(gold, sharedSegmentGuid)).toBeUndefined();
  expect(await wanted(sharedSegmentGuid, null)).toBeUndefined();
});
