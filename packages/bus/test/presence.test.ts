import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createBus, createMemoryHub, natsTransport, type Bus } from "@opencf/bus";
import { createMemoryBuckets } from "@opencf/bus/kv";
import { join, type PresenceEvent, registry } from "@opencf/bus/presence";
import { hasNatsServer, type NatsServer, startNatsServer } from "./fixtures/nats-server.ts";
import { createNode, createVirtualClock, randomOf } from "./lease/world.ts";

/** Reads events in the background, as a person would tell them. */
function listen(events: AsyncIterable<PresenceEvent>) {
  const told: string[] = [];
  const done = (async () => {
    for await (const event of events)
      told.push(event.type === "current" ? "--" : `${event.member.type}/${event.member.index} ${event.type}${event.type === "left" && event.reason === "expired" ? " (expired)" : ""}`);
  })();
  return { told, done };
}

type MakeBus = () => Promise<Bus>;
const cases: Record<string, (make: MakeBus) => Promise<void>> = {
  async "who joins is listed with all that it tells; who leaves is gone at once"(make) {
    await using one = await make();
    await using two = await make();
    const before = Date.now();
    await using members = registry(two);
    const stop = new AbortController();
    const all = listen(members.watch({ signal: stop.signal }));
    const routers = listen(members.watch({ signal: stop.signal, type: "Router" }));
    await expect.poll(() => [all.told, routers.told]).toEqual([["--"], ["--"]]);
    const router = join(one, { type: "Router", index: 1, version: "1.2.3", zone: "z1", host: "10.0.0.1:80" });
    const odd = join(one, { type: "Cloud Controller.ng", uuid: "a.b c/ä", attributes: { role: "api" } });
    await Promise.all([router.joined(), odd.joined()]);
    const [controller, listed] = await members.list();
    expect(controller).toMatchObject({ type: "Cloud Controller.ng", index: 0, uuid: "a.b c/ä", version: undefined, attributes: { role: "api" } });
    expect(listed).toMatchObject({ type: "Router", index: 1, uuid: router.uuid, version: "1.2.3", zone: "z1", host: "10.0.0.1:80", attributes: {} });
    for (const member of [controller, listed]) {
      expect(Math.abs((member?.since ?? 0) - before)).toBeLessThan(10_000);
      expect(Math.abs((member?.lastSeenMs ?? 0) - before)).toBeLessThan(10_000);
    }
    expect((await members.list({ type: "Router" })).map(({ uuid }) => uuid)).toEqual([router.uuid]);
    expect(router.present).toBe(true);
    router.update({ version: "1.2.4" });
    await expect.poll(() => routers.told).toEqual(["--", "Router/1 joined", "Router/1 changed"]);
    await router[Symbol.asyncDispose]();
    await router[Symbol.asyncDispose]();
    expect(router.present).toBe(false);
    await expect.poll(() => routers.told).toEqual(["--", "Router/1 joined", "Router/1 changed", "Router/1 left"]);
    expect((await members.list()).map(({ type }) => type)).toEqual(["Cloud Controller.ng"]);
    await odd[Symbol.asyncDispose]();
    await expect.poll(() => all.told).toContain("Cloud Controller.ng/0 left");
    stop.abort();
    await Promise.all([all.done, routers.done]);
  },

  async "a member stays for as long as it speaks, without an event each time; one that falls silent has expired"(make) {
    await using one = await make();
    await using two = await make();
    await using members = registry(two);
    const watching = listen(members.watch());
    await using steady = join(one, { type: "DEA", index: 1, ttlMs: 1_200 });
    const bucket = (await one.transport.openBucket?.("presence")) as NonNullable<Awaited<ReturnType<NonNullable<Bus["transport"]["openBucket"]>>>>;
    let silent = false;
    const frozen = join({ ...bucket, put: (...args) => (silent ? new Promise(() => undefined) : bucket.put(...args)), delete: () => Promise.resolve() }, { type: "DEA", index: 2, ttlMs: 1_200 });
    await Promise.all([steady.joined(), frozen.joined()]);
    const [first] = await members.list();
    await new Promise((done) => setTimeout(done, 2_000));
    expect(frozen.present).toBe(true);
    silent = true;
    await expect.poll(() => watching.told, { timeout: 5_000 }).toContain("DEA/2 left (expired)");
    expect(watching.told.filter((event) => event.startsWith("DEA/1"))).toEqual(["DEA/1 joined"]);
    const [again, ...none] = await members.list();
    expect(none).toEqual([]);
    expect(again?.lastSeenMs).toBeGreaterThan(first?.lastSeenMs as number);
    expect(again?.since).toBe(first?.since);
    await expect.poll(() => frozen.present).toBe(false);
    await frozen[Symbol.asyncDispose]();
  },
};

describe("presence in process", () => {
  for (const [title, check] of Object.entries(cases))
    test(title, () => {
      const hub = createMemoryHub();
      return check(() => createBus({ transport: hub.connect() }));
    });

  test("on a virtual clock: three times within the time to live, again after losses, gone after silence", async () => {
    const clock = createVirtualClock();
    const bucket = await createMemoryBuckets({ clock }).open("presence");
    const nodes = Array.from({ length: 20 }, (_, i) => createNode({ base: clock, bucket, random: randomOf(i), latencyMs: 20, loss: 0.3 }));
    const presences = nodes.map((node, index) => join(node.bucket, { type: "DEA", index, clock: node.clock }));
    await using members = registry(bucket, { clock });
    const watching = listen(members.watch());
    await clock.advance(60_000);
    expect(watching.told.filter((event) => event.endsWith("joined"))).toHaveLength(20);
    expect(watching.told.filter((event) => event.includes("left"))).toEqual([]);
    expect(await bucket.revision()).toBeGreaterThan(20 * 11);
    expect(await bucket.revision()).toBeLessThan(20 * 20);
    for (const node of nodes.slice(0, 5)) node.kill();
    await clock.advance(16_000);
    expect(watching.told.filter((event) => event.endsWith("(expired)"))).toHaveLength(5);
    expect((await members.list()).map(({ index }) => index)).toEqual(Array.from({ length: 15 }, (_, i) => i + 5));
    await members[Symbol.asyncDispose]();
    await watching.done;
    for (const presence of presences) void presence[Symbol.asyncDispose]();
    // Some farewells are lost.
    await clock.advance(3_000);
    expect((await bucket.keys()).length).toBeLessThan(12);
    await clock.advance(15_000);
    expect(await bucket.keys()).toEqual([]);
  });

  test("a carrier that keeps no state: nothing is thrown in the background, the caller is told", async () => {
    const presence = join({ transport: {} }, { type: "DEA" });
    await expect(presence.joined(AbortSignal.timeout(50))).rejects.toMatchObject({ name: "TimeoutError" });
    await expect(registry({ transport: {} }).list()).rejects.toMatchObject({ code: "BUS_UNSUPPORTED" });
    await expect(registry({ transport: {} }).watch().next()).rejects.toMatchObject({ code: "BUS_UNSUPPORTED" });
    const left = presence.joined();
    await presence[Symbol.asyncDispose]();
    await expect(left).rejects.toMatchObject({ code: "BUS_CLOSED" });
    expect(() => join({ transport: {} }, { type: "DEA", ttlMs: 7_200_000 })).toThrow(expect.objectContaining({ code: "BUS_UNSUPPORTED" }));
  });
});

describe.skipIf(!hasNatsServer())("presence on a real nats-server (apt-get install nats-server)", () => {
  let server: NatsServer;
  beforeAll(async () => {
    server = await startNatsServer();
  });
  afterAll(async () => server[Symbol.asyncDispose]());
  for (const [title, check] of Object.entries(cases)) test(title, () => check(() => createBus({ transport: natsTransport({ servers: server.url }) })));

  test("the bus goes away for longer than the time to live and comes back: members are there at once again, one that died meanwhile is gone", async () => {
    await using own = await startNatsServer();
    const make = (): Promise<Bus> => createBus({ transport: natsTransport({ servers: own.url, reconnectWaitMs: 50 }) });
    await using one = await make();
    const two = await make();
    await using three = await make();
    await using members = registry(three);
    const watching = listen(members.watch());
    await using stays = join(one, { type: "DEA", index: 1, ttlMs: 900 });
    const dies = join(two, { type: "DEA", index: 2, ttlMs: 900 });
    await Promise.all([stays.joined(), dies.joined()]);
    await expect.poll(() => watching.told.length).toBe(3);
    await own.kill();
    await two[Symbol.asyncDispose]();
    await dies[Symbol.asyncDispose]();
    await expect.poll(() => stays.present, { timeout: 5_000 }).toBe(false);
    await own.restart();
    await expect.poll(() => stays.present, { timeout: 10_000 }).toBe(true);
    await expect.poll(async () => (await members.list().catch(() => [])).map(({ index }) => index), { timeout: 10_000 }).toEqual([1]);
    await expect.poll(() => watching.told, { timeout: 10_000 }).toContain("DEA/2 left (expired)");
  }, 40_000);
});
