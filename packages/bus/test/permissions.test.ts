import { connect, type NatsConnection, RequestStrategy } from "nats";
import { expect, test } from "vitest";
import { type Bus, createBus, natsTransport } from "@opencf/bus";
import { catalogue } from "@opencf/bus/catalogue";
import { deaFindDroplet, deaStartInstance, hmStart } from "@opencf/bus/messages";
import { createLease } from "@opencf/bus/kv";
import { join, registry } from "@opencf/bus/presence";
import { joinPermissions, natsAuthorization, natsPermissions, type NatsUser, permissionsFor, roles } from "@opencf/bus/permissions";
import { matches } from "../src/subject.ts";
import { hasNatsServer, type NatsServer, startNatsServer } from "./fixtures/nats-server.ts";

const real = hasNatsServer();
const users: readonly NatsUser[] = [
  { role: "router", password: "a \"quoted\\ one" },
  { role: "executor", user: "dea-0", password: "e", params: { id: "dea-0" } },
  { role: "controller", password: "c" },
  { role: "service-gateway", password: "g" },
  { role: "tool", password: "t" },
  { role: ["executor", "stager"], user: "dea-1", password: "s", inboxPrefix: "_INBOX.dea-1" },
];
const utf8 = (data: Uint8Array): string => new TextDecoder().decode(data);

interface Client extends AsyncDisposable {
  readonly nc: NatsConnection;
  /** What the server refused so far, in its own words. */
  readonly refused: string[];
  /** Publishes, and tells whether the server let it. */
  mayPublish(subject: string): Promise<boolean>;
  maySubscribe(subject: string, queue?: string): Promise<boolean>;
}

async function client(server: NatsServer, user: string, inboxPrefix?: string): Promise<Client> {
  const entry = users.find((each) => (each.user ?? each.role) === user) as NatsUser;
  const nc = await connect({ servers: server.url, user, pass: entry.password as string, inboxPrefix: inboxPrefix ?? `_INBOX.${[entry.role].flat()[0]}`, reconnect: false });
  const refused: string[] = [];
  void (async () => {
    for await (const { data } of nc.status()) refused.push(String(data));
  })();
  const allowed = async (act: () => void): Promise<boolean> => {
    const before = refused.length;
    act();
    // The refusal comes before the answer to the ping; the status iterator hands it on a turn later.
    await nc.flush();
    await new Promise((done) => setImmediate(done));
    return refused.length === before;
  };
  return {
    nc, refused,
    mayPublish: (subject) => allowed(() => nc.publish(subject, "{}")),
    maySubscribe: (subject, queue) => allowed(() => void nc.subscribe(subject, { callback: () => undefined, ...(queue !== undefined && { queue }) })),
    [Symbol.asyncDispose]: () => nc.close(),
  };
}

const server = (): Promise<NatsServer> => startNatsServer({ config: natsAuthorization(users) });

test.runIf(real)("the server lets every role do its work and refuses the rest", async () => {
  await using nats = await server();
  await using router = await client(nats, "router");
  await using executor = await client(nats, "dea-0");
  await using controller = await client(nats, "controller");
  await using gateway = await client(nats, "service-gateway");
  await using tool = await client(nats, "tool");
  const published: [Client, string, boolean][] = [
    [router, "router.start", true], [router, "dea.dea-0.start", false], [router, "dea.stop", false], [router, "vcap.component.announce", true],
    [executor, "dea.heartbeat", true], [executor, "router.register", true], [executor, "dea.stop", false], [executor, "hm9000.start", false], [executor, "dea.dea-1.start", false],
    [controller, "dea.dea-0.start", true], [controller, "dea.stop", true], [controller, "dea.heartbeat", false], [controller, "router.start", false],
    [gateway, "MysqlaaS.provision.node1", true], [gateway, "dea.discover", false], [gateway, "MysqlaaS.discover", true],
    [tool, "dea.status", true], [tool, "dea.stop", false],
  ];
  for (const [who, subject, expected] of published) expect([subject, await who.mayPublish(subject)]).toEqual([subject, expected]);
  const subscribed: [Client, string, string | undefined, boolean][] = [
    [router, "router.register", undefined, true], [router, "dea.*.start", undefined, false], [router, ">", undefined, false], [router, "_INBOX.router.>", undefined, true],
    [router, "_INBOX.controller.>", undefined, false], [router, "_INBOX.>", undefined, false],
    [executor, "dea.dea-0.start", undefined, true], [executor, "dea.dea-1.start", undefined, false], [executor, "dea.*.start", undefined, false], [executor, "dea.stop", undefined, true],
    [controller, "hm9000.start", "cc", true], [controller, "hm9000.start", undefined, false], [controller, "hm9000.start", "other", false],
    [controller, "droplet.exited", undefined, true], [controller, "droplet.exited", "crash_event_registration", true],
    [tool, "router.>", undefined, true], [tool, "_INBOX.controller.>", undefined, false], [tool, "$KV.presence.>", undefined, false],
  ];
  for (const [who, subject, queue, expected] of subscribed) expect([subject, queue, await who.maySubscribe(subject, queue)]).toEqual([subject, queue, expected]);
});

test.runIf(real)("questions are answered, and each role hears only its own answers", async () => {
  await using nats = await server();
  await using executor = await client(nats, "dea-0");
  await using stager = await client(nats, "dea-1", "_INBOX.dea-1");
  await using controller = await client(nats, "controller");
  await using careless = await client(nats, "controller", "_INBOX");
  executor.nc.subscribe("dea.dea-0.start", { callback: (_, message) => void message.respond("yes") });
  stager.nc.subscribe("staging.dea-1.start", { callback: (_, message) => void (message.respond("one"), message.respond("two")) });
  await Promise.all([executor.nc.flush(), stager.nc.flush()]);

  expect(utf8((await controller.nc.request("dea.dea-0.start", "{}", { timeout: 5_000 })).data)).toBe("yes");
  const answers: string[] = [];
  for await (const { data } of await controller.nc.requestMany("staging.dea-1.start", "{}", { strategy: RequestStrategy.Count, maxWait: 5_000, maxMessages: 2 })) answers.push(utf8(data));
  expect(answers).toEqual(["one", "two"]);
  expect(executor.refused).toEqual([]);
  expect(controller.refused).toEqual([]);
  // Without the prefix of its role nobody gets an answer.
  await expect(careless.nc.request("dea.dea-0.start", "{}", { timeout: 300 })).rejects.toThrow();
  // An answer to nobody's question is a message like any other.
  expect(await executor.mayPublish("_INBOX.controller.guess")).toBe(false);
});

test.runIf(real)("a typed bus works with what its role may do, and hears what it may not", async () => {
  await using nats = await server();
  const connected = (user: string, password: string, inboxPrefix: string): Promise<Bus> => createBus({ transport: natsTransport({ servers: nats.url, user, password, inboxPrefix }) });
  await using executor = await connected("dea-0", "e", "_INBOX.executor");
  await using controller = await connected("controller", "c", "_INBOX.controller");
  using _starts = executor.subscribe(deaStartInstance, ({ respond }) => void respond({ accepted: true }), { params: { id: "dea-0" } });
  using _finds = executor.subscribe(deaFindDroplet, ({ respond }) => {
    for (const index of [0, 1, 2]) respond({ dea: "dea-0", droplet: "app", version: "v", instance: `i${index}`, index, state: "RUNNING", state_timestamp: 1 });
  });
  const orders: string[] = [];
  using _orders = controller.subscribe(hmStart, ({ body }) => void orders.push(body.message_id));
  await executor.flush();
  const start = { droplet: "app", version: "v", index: 0, name: "app", limits: { mem: 1, disk: 1, fds: 1 } };
  expect(await controller.request(deaStartInstance, start, { params: { id: "dea-0" }, timeoutMs: 5_000 })).toEqual({ accepted: true });
  expect((await controller.gather(deaFindDroplet, { droplet: "app" }, { waitMs: 5_000, max: 3 })).length).toBe(3);

  const refused: string[] = [];
  using _events = executor.on((event) => void (event.type === "error" && refused.push(event.error.code)));
  executor.publish(hmStart, { message_id: "m", droplet: "app", version: "v", instance_index: 0 });
  await executor.flush();
  const until = Date.now() + 5_000;
  while (refused.length === 0 && Date.now() < until) await new Promise((done) => setTimeout(done, 5));
  expect(refused).toContain("BUS_FORBIDDEN");
  await controller.flush();
  expect(orders).toEqual([]);

  // The buckets that roles may use are those that leases and presence are kept in.
  await using lease = createLease(controller, "reconciler", { ttlMs: 5_000 });
  await using _here = join(executor, { type: "DEA" });
  await using seen = registry(controller);
  const done = Date.now() + 10_000;
  while (!(lease.held && (await seen.list()).length === 1) && Date.now() < done) await new Promise((next) => setTimeout(next, 10));
  expect(lease.held).toBe(true);
  expect((await seen.list()).map(({ type }) => type)).toEqual(["DEA"]);
});

test.runIf(real)("shared state works with what a role may do, and nothing can remove it", async () => {
  await using nats = await server();
  await using controller = await client(nats, "controller");
  await using router = await client(nats, "router");
  const { openNatsBucket } = await import("../src/kv/nats.ts");
  await using bucket = await openNatsBucket(controller.nc, "leases", { ttlMs: 60_000 });
  const revision = await bucket.create("leader", "a");
  await bucket.update("leader", "b", revision);
  await bucket.put("other", "c");
  expect(utf8((await bucket.get("leader"))?.value ?? new Uint8Array())).toBe("b");
  expect((await bucket.keys()).sort()).toEqual(["leader", "other"]);
  await bucket.delete("other");
  await bucket.purge("leader");
  // More than the server sends before it wants to hear that we keep up.
  for (let i = 0; i < 300; i++) await bucket.put(`k${i}`, "v".repeat(10_000));
  await using watch = bucket.watch();
  let seen = 0;
  for await (const event of watch) {
    if (event.type === "current") break;
    if (event.entry.operation === "put") seen++;
  }
  expect(seen).toBe(300);
  expect(controller.refused).toEqual([]);

  await using presence = await openNatsBucket(router.nc, "presence");
  await presence.put("router.0", "here");
  expect(router.refused).toEqual([]);
  expect(await router.mayPublish("$KV.leases.leader")).toBe(false);
  expect(await controller.mayPublish("$JS.API.STREAM.DELETE.KV_leases")).toBe(false);
  expect(await controller.mayPublish("$JS.API.STREAM.PURGE.KV_leases")).toBe(false);
});

test("no role may speak for another: every subject belongs to those that the catalogue names", () => {
  for (const role of roles.filter((each) => each !== "tool"))
    for (const { subject, from, to, queue } of catalogue) {
      const concrete = subject.replace(/\{\w+\}/g, "x");
      const allowed = ({ allow, deny }: { allow: readonly string[]; deny: readonly string[] }): boolean =>
        allow.some((entry) => matches(entry.split(" ")[0] as string, concrete)) && !deny.some((entry) => matches(entry, concrete));
      const { publish, subscribe } = permissionsFor(role);
      const named = (list: readonly string[]): boolean => list.includes(role) || list.includes("component");
      expect([role, "speaks", subject, allowed(publish)]).toEqual([role, "speaks", subject, named(from)]);
      expect([role, "hears", subject, allowed(subscribe)]).toEqual([role, "hears", subject, named(to)]);
      if (queue !== undefined && named(to)) expect(subscribe.allow).toContain(`${subject.replace(/\{\w+\}/g, "*")} ${queue}`);
    }
});

test("a list of users that would let somebody in by accident is refused", () => {
  expect(() => natsAuthorization([{ role: "router" }])).toThrow("needs a password");
  expect(() => natsAuthorization([{ role: "router", password: "a" }, { role: "router", password: "b" }])).toThrow("two users");
});

test("a role without anything to say may publish nothing, where an empty list would allow everything", () => {
  expect(natsPermissions("tool", { state: false })).toContain("allow");
  expect(natsAuthorization([{ role: "log-store", nkey: "UABC", state: false }])).toMatch(/nkey: "UABC"/);
  expect(natsAuthorization([{ role: "router", password: { env: "ROUTER_PASSWORD" } }])).toContain("password: $ROUTER_PASSWORD");
});

test("several roles of one process are joined, and none takes away what another allows", () => {
  const joined = joinPermissions(permissionsFor("service-gateway"), permissionsFor("controller"));
  expect(joined.publish.allow).toContain("dea.discover");
  expect(joined.publish.deny).toEqual([]);
});
