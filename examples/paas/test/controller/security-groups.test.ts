import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { noServices } from "../../controller/apps/app-services.ts";
import { createDesiredSource } from "../../controller/apps/desired.ts";
import { json } from "../../controller/data/schema.ts";
import { startTestController, type Client, type Reply, type TestController } from "../support/controller.ts";

let platform: TestController;
let admin: Client;
/** Processes whose reach was said to have changed. */
const changed: string[][] = [];

beforeAll(async () => {
  platform = await startTestController({ hooks: { onRoutesChanged: (guids) => void changed.push([...guids]) } });
  admin = platform.admin;
});
afterAll(() => platform[Symbol.asyncDispose]());

const detail = ({ status, body }: Reply): [number, string] => [status, body.errors?.[0]?.detail ?? ""];
const names = ({ body }: Reply): string[] => body.resources.map((each: { name: string }) => each.name);
const many = (...guids: string[]) => ({ data: guids.map((guid) => ({ guid })) });
const web = { protocol: "tcp", destination: "10.0.0.0/8,192.168.1.1-192.168.1.9", ports: "80,8000-9000", log: true, description: "shops" };
const group = async (name: string, more: object = {}): Promise<string> => (await admin.post("/v3/security_groups", { name, rules: [web], ...more })).body.guid;
const path = (guid: string, rest = ""): string => `/v3/security_groups/${guid}${rest}`;

describe("security groups", () => {
  test("one for everything holds from the first start", async () =>
    expect((await admin.get("/v3/security_groups")).body.resources).toMatchObject([
      { name: "all_networks", rules: [{ protocol: "all", destination: "0.0.0.0/0" }], globally_enabled: { running: true, staging: true }, relationships: { running_spaces: { data: [] }, staging_spaces: { data: [] } } },
    ]));

  test("are created, shown, found, changed, and deleted by a job", async () => {
    const { space } = await platform.space();
    const made = await admin.post("/v3/security_groups", { name: "shops", rules: [web], globally_enabled: { staging: true }, relationships: { running_spaces: many(space) } });
    expect([made.status, made.body]).toMatchObject([201, {
      name: "shops", rules: [web], globally_enabled: { running: false, staging: true }, relationships: { running_spaces: many(space), staging_spaces: many() },
      links: { self: { href: `http://api.cf.test${path(made.body.guid)}` } },
    }]);
    expect(detail(await admin.post("/v3/security_groups", { name: "shops" }))).toEqual([422, "Security group with name 'shops' already exists."]);
    expect(names(await admin.get(`/v3/security_groups?names=shops&globally_enabled_staging=true&running_space_guids=${space}`))).toEqual(["shops"]);
    expect(names(await admin.get(`/v3/security_groups?staging_space_guids=${space}`))).toEqual([]);
    const after = await admin.patch(path(made.body.guid), { name: "stores", rules: [], globally_enabled: { running: true } });
    expect(after.body).toMatchObject({ name: "stores", rules: [], globally_enabled: { running: true, staging: true } });
    expect((await admin.job(await admin.delete(path(made.body.guid)))).body).toMatchObject({ state: "COMPLETE", operation: "security_group.delete" });
    expect((await admin.get(path(made.body.guid))).status).toBe(404);
  });

  test.each<[unknown, string]>([
    ["all", "Rules must be an array"], [["x"], "Rules[0]: must be an object"],
    [[{ protocol: "all", destination: "0.0.0.0/0" }, { protocol: "gre", destination: "10.0.0.1" }], "Rules[1]: protocol must be 'tcp', 'udp', 'icmp', or 'all'"],
    [[{ protocol: "all" }], "Rules[0]: nil destination; destination must be a comma-delimited list of valid CIDRs, IP addresses, or IP address ranges"],
    [[{ protocol: "all", destination: 7 }], "Rules[0]: destination must be a string"], [[{ protocol: "all", destination: "10.0.0.1, 10.0.0.2" }], "Rules[0]: destination must not contain whitespace"],
    [[{ protocol: "all", destination: "10.0.0.300" }], "Rules[0]: destination must contain valid CIDR(s), IP address(es), or IP address range(s)"],
    [[{ protocol: "all", destination: "10.0.0.0/33" }], "Rules[0]: destination must contain valid CIDR(s), IP address(es), or IP address range(s)"],
    [[{ protocol: "all", destination: "10.0.0.1-x" }], "Rules[0]: destination IP address range is invalid"],
    [[{ protocol: "all", destination: "10.0.0.9-10.0.0.1" }], "Rules[0]: beginning of IP address range is numerically greater than the end of its range (range endpoints are inverted)"],
    [[{ protocol: "all", destination: "10.0.0.1", ports: "80" }], "Rules[0]: ports are not allowed for protocols of type all"],
    [[{ protocol: "tcp", destination: "10.0.0.1" }], "Rules[0]: ports are required for protocols of type TCP and UDP"],
    [[{ protocol: "udp", destination: "10.0.0.1", ports: "0" }], "Rules[0]: ports must be a valid single port, comma separated list of ports, or range or ports, formatted as a string"],
    [[{ protocol: "udp", destination: "10.0.0.1", ports: 80 }], "Rules[0]: ports must be a valid single port, comma separated list of ports, or range or ports, formatted as a string"],
    [[{ protocol: "icmp", destination: "10.0.0.1", type: 300 }], "Rules[0]: code is required for protocols of type ICMP, Rules[0]: type must be an integer between -1 and 255 (inclusive)"],
    [[{ protocol: "all", destination: "10.0.0.1", port: "80" }], 'Rules[0]: unknown field(s): ["port"]'],
  ])("rules that are wrong are refused with what is wrong: %j", async (rules, text) =>
    expect(detail(await admin.post("/v3/security_groups", { name: "wrong", rules }))).toEqual([422, text]));

  test("are bound to spaces and unbound; a space shows those that hold there; others are not seen", async () => {
    const own = await group("own");
    const hidden = await group("hidden");
    const { space } = await platform.space({ organization: "sg-acme" });
    const sam = await platform.user("sam");
    const bound = await admin.post(path(own, "/relationships/running_spaces"), many(space));
    expect([bound.status, bound.body.data]).toEqual([200, [{ guid: space }]]);
    expect(names(await admin.get(`/v3/spaces/${space}/running_security_groups?order_by=name`))).toEqual(["all_networks", "own"]);
    expect(names(await admin.get(`/v3/spaces/${space}/staging_security_groups`))).toEqual(["all_networks"]);
    expect(detail(await admin.post(path(own, "/relationships/running_spaces"), many("nowhere")))).toEqual([422, 'Spaces with guids ["nowhere"] do not exist, or you do not have access to them.']);
    expect((await admin.delete(path(own, `/relationships/running_spaces/${space}`))).status).toBe(204);
    expect(detail(await admin.delete(path(own, `/relationships/running_spaces/${space}`)))).toEqual([422, `Unable to unbind security group from space with guid '${space}'. Ensure the space exists and the security group is bound to this space.`]);
    expect((await sam.get(path(hidden))).status).toBe(404);
    expect((await sam.post("/v3/security_groups", { name: "mine" })).status).toBe(403);
  });

  test("a space's manager binds a group that he sees, and changes no rules", async () => {
    const everywhere = await group("everywhere", { globally_enabled: { running: true } });
    const { organization, space } = await platform.space({ organization: "sg-mia" });
    const other = await platform.space({ organization: "sg-others" });
    const mia = await platform.user("mia");
    await admin.post("/v3/roles", { type: "organization_manager", relationships: { user: { data: { username: "mia", origin: "uaa" } }, organization: { data: { guid: organization } } } });
    expect(names(await mia.get("/v3/security_groups?names=everywhere"))).toEqual(["everywhere"]);
    expect((await mia.post(path(everywhere, "/relationships/staging_spaces"), many(space))).status).toBe(200);
    expect((await mia.post(path(everywhere, "/relationships/staging_spaces"), many(other.space))).status).toBe(422);
    expect((await mia.patch(path(everywhere), { rules: [] })).status).toBe(403);
    expect((await mia.delete(path(everywhere))).status).toBe(403);
    await admin.job(await admin.delete(path(everywhere)));
  });
});

test("what an app may reach: the rules of all groups that hold for its space; each change is told at once", async () => {
  const { db } = platform.controller.context;
  const { space } = await platform.space({ organization: "sg-apps" });
  await db.insertInto("apps").values({ guid: "app", name: "app", space_guid: space, state: "STARTED", lifecycle_type: "buildpack", current_droplet_guid: "droplet" }).execute();
  await db.insertInto("droplets").values({ guid: "droplet", app_guid: "app", state: "STAGED", lifecycle_type: "buildpack", process_types: json({ web: "run" }) }).execute();
  await db.insertInto("processes").values({ guid: "app", app_guid: "app", type: "web", version: "1", instances: 1, memory_in_mb: 64, disk_in_mb: 64, health_check_type: "port" }).execute();
  const source = createDesiredSource({ database: db, services: noServices, apiUrl: "http://api.cf.test" });
  const reach = async () => (await source.desired({ processGuids: ["app"] }))[0]?.egress?.map(({ destination }) => destination);
  const told = (): string[][] => changed.splice(0);
  expect(await reach()).toEqual(["0.0.0.0/0"]);
  const all = (await admin.get("/v3/security_groups?names=all_networks")).body.resources[0].guid as string;
  told();
  await admin.patch(path(all), { globally_enabled: { running: false } });
  expect([told(), await reach()]).toEqual([[["app"]], []]);
  const shop = await group("shop-for-apps");
  expect(told()).toEqual([[]]);
  await admin.post(path(shop, "/relationships/running_spaces"), many(space));
  expect([told(), await reach()]).toEqual([[["app"]], [web.destination]]);
  await admin.patch(path(shop), { rules: [{ protocol: "icmp", destination: "10.0.0.1", type: -1, code: -1 }] });
  expect([told(), (await source.desired({ processGuids: ["app"] }))[0]?.egress]).toEqual([[["app"]], [{ protocol: "icmp", destination: "10.0.0.1", type: -1, code: -1 }]]);
  await admin.post(path(shop, "/relationships/staging_spaces"), many(space));
  expect(told()).toEqual([]);
  await admin.job(await admin.delete(path(shop)));
  expect([told(), await reach()]).toEqual([[["app"]], []]);
  await admin.patch(path(all), { globally_enabled: { running: true } });
  expect([told(), await reach()]).toEqual([[["app"]], ["0.0.0.0/0"]]);
});
