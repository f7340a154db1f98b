import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { createBus, createMemoryHub, memoryTransport, natsTransport, type Body, type Bus } from "@opencf/bus";
import { routerGreet, routerRegister, routerStart, routerUnregister } from "@opencf/bus/messages/route";
import { describe, expect, test } from "vitest";
import { routesFromBus } from "../src/bus-link.ts";
import { createRouter, type Logger, type Router } from "../src/index.ts";
import { echo, httpBackend } from "./fixtures/backend.ts";
import { ask, eventually } from "./fixtures/client.ts";
import { manualClock } from "./fixtures/rig.ts";
import { freePort } from "../../../test/support/free-port.ts";

type Start = Body<typeof routerStart>;
const registration = (more: Partial<Body<typeof routerRegister>> = {}): Body<typeof routerRegister> => ({ host: "10.0.0.5", port: 61_001, uris: ["a.example.com"], ...more });

async function linked(more: Parameters<typeof routesFromBus>[1] = {}) {
  const bus = await createBus({ transport: memoryTransport() });
  const starts: Start[] = [];
  bus.subscribe(routerStart, ({ body }) => starts.push(body));
  const warnings: string[] = [];
  const log: Logger = { info() {}, warn: (event) => void warnings.push(event), error: (event) => void warnings.push(event) };
  const clock = manualClock();
  const router = createRouter({ port: 0, id: "router-1", sources: [routesFromBus(bus, { hosts: ["10.0.0.9"], ...more })], log, clock });
  await router.listen();
  return {
    bus, router, starts, warnings, clock,
    endpoints: (host = "a.example.com", path = "/") => router.table.lookup(host, path)?.endpoints ?? [],
    async said(act: () => void) { act(); await bus.flush(); await new Promise((resolve) => setImmediate(resolve)); },
    async [Symbol.asyncDispose]() { await router[Symbol.asyncDispose](); await bus[Symbol.asyncDispose](); },
  };
}

describe("the link", () => {
  test("13.1, 13.2 says start at the beginning, and the same to whoever greets", async () => {
    await using l = await linked();
    await eventually(() => l.starts.length === 1);
    const document = { id: "router-1", hosts: ["10.0.0.9"], minimumRegisterIntervalInSeconds: 20, pruneThresholdInSeconds: 120 };
    expect(l.starts).toEqual([document]);
    expect(await l.bus.request(routerGreet, {})).toEqual(document);
    expect(await l.bus.gather(routerGreet, {}, { waitMs: 10_000, max: 1 })).toEqual([document]);
  });

  test("13.6 takes every field of a registration", async () => {
    await using l = await linked();
    await l.said(() => l.bus.publish(routerRegister, registration({
      uris: ["A.example.com", "b.example.com/x"], app: "guid", private_instance_id: "i", private_instance_index: "3", tags: { component: "dea-0" }, availability_zone: "z1", isolation_segment: "s",
      stale_threshold_in_seconds: 30, options: { loadbalancing: "least-connection" }, protocol: "http2", dea: "ignored",
    })));
    for (const [host, path] of [["a.example.com", "/"], ["b.example.com", "/x/y"]] as const) {
      expect(l.endpoints(host, path)).toMatchObject([{
        address: "10.0.0.5:61001", app: "guid", instanceId: "i", instanceIndex: "3", tags: { component: "dea-0" }, availabilityZone: "z1", isolationSegment: "s", staleAfterMs: 30_000, protocol: "http2", source: "bus",
      }]);
      expect(l.router.table.lookup(host, path)?.options).toEqual({ loadBalancing: "least-connections" });
    }
  });

  test("13.5 the smallest registration there is", async () => {
    await using l = await linked();
    await l.said(() => l.bus.publish(routerRegister, registration()));
    expect(l.endpoints()).toMatchObject([{ address: "10.0.0.5:61001", app: "", instanceId: "", staleAfterMs: 120_000, protocol: "http1" }]);
  });

  for (const [seconds, expected] of [[0, 120_000], [60, 60_000], [600, 120_000], [-1, -1_000]] as const) {
    test(`13.23 a threshold of ${seconds} s`, async () => {
      await using l = await linked();
      await l.said(() => l.bus.publish(routerRegister, registration({ stale_threshold_in_seconds: seconds })));
      expect(l.endpoints()[0]?.staleAfterMs).toBe(expected);
    });
  }

  test("13.4 tls_port wins over port; an unregistration without it finds nothing", async () => {
    await using l = await linked();
    await l.said(() => l.bus.publish(routerRegister, registration({ tls_port: 61_443, server_cert_domain_san: "i" })));
    expect(l.endpoints()).toMatchObject([{ address: "10.0.0.5:61443", backend: { tls: true, serverName: "i" } }]);
    await l.said(() => l.bus.publish(routerUnregister, registration()));
    expect(l.endpoints().length).toBe(1);
    await l.said(() => l.bus.publish(routerUnregister, registration({ tls_port: 61_443 })));
    expect(l.endpoints()).toEqual([]);
  });

  test("13.7 register then unregister never ends registered", async () => {
    await using l = await linked();
    await l.said(() => {
      for (let n = 0; n < 200; n += 1) {
        l.bus.publish(routerRegister, registration({ port: 1 + n }));
        l.bus.publish(routerUnregister, registration({ port: 1 + n }));
      }
    });
    await eventually(() => l.router.table.lastUpdateMs !== undefined && l.router.table.routeCount === 0);
  });

  test("13.7 in a flood, too, what was said last counts, and requests are answered", async () => {
    await using app = await httpBackend(echo);
    await using l = await linked();
    await l.said(() => l.bus.publish(routerRegister, registration({ host: app.host, port: app.port, uris: ["live.example.com"] })));
    const port = l.router.address?.port ?? 0;
    const expected = new Set<string>(["live.example.com"]);
    let answered = 0;
    for (let n = 0; n < 20_000; n += 1) {
      const uri = `r${(n * 7) % 5_000}.example.com`;
      if (n % 3 === 2) { l.bus.publish(routerUnregister, registration({ uris: [uri] })); expected.delete(uri); }
      else { l.bus.publish(routerRegister, registration({ uris: [uri] })); expected.add(uri); }
    }
    const asking = Promise.all(Array.from({ length: 20 }, async () => { expect((await ask(port, { host: "live.example.com" })).status).toBe(200); answered += 1; }));
    // The last one of each kind: when both are through, all is.
    l.bus.publish(routerRegister, registration({ port: 61_002, uris: ["end.example.com"] }));
    l.bus.publish(routerUnregister, registration({ port: 61_002, uris: ["end.example.com"] }));
    l.bus.publish(routerRegister, registration({ port: 61_003, uris: ["end.example.com"] }));
    expected.add("end.example.com");
    await eventually(() => l.endpoints("end.example.com")[0]?.backend.port === 61_003 && l.endpoints("end.example.com").length === 1, 60_000);
    await asking;
    expect(answered).toBe(20);
    expect(l.router.table.snapshot().map(({ route }) => route)).toEqual([...expected].sort());
  });

  test("a malformed route does not cost the message its others", async () => {
    await using l = await linked();
    await l.said(() => l.bus.publish(routerRegister, registration({ uris: ["http://bad.example.com", "", "good.example.com"] })));
    expect(l.endpoints("good.example.com").length).toBe(1);
    expect(l.router.table.routeCount).toBe(1);
    expect(l.warnings.filter((event) => event === "router.registration.refused").length).toBe(2);
  });

  test("13.3 messages that make no sense change nothing", async () => {
    const hub = createMemoryHub();
    await using bus = await createBus({ transport: memoryTransport(hub) });
    await using router = createRouter({ port: 0, sources: [routesFromBus(bus)] });
    await router.listen();
    await using transport = memoryTransport(hub);
    const good = registration();
    for (const bad of [
      "{", "[]", "null", JSON.stringify({ ...good, port: "61001" }), JSON.stringify({ ...good, port: 70_000 }), JSON.stringify({ ...good, uris: "a.example.com" }),
      JSON.stringify({ ...good, private_instance_index: true }), JSON.stringify({ ...good, route_service_url: "http://insecure" }), JSON.stringify({ ...good, port: 0 }), JSON.stringify({ ...good, host: "" }),
    ]) transport.publish("router.register", new TextEncoder().encode(bad));
    bus.publish(routerRegister, registration({ uris: ["last.example.com"] }));
    await eventually(() => router.table.lookup("last.example.com", "/") !== undefined);
    expect(router.table.snapshot().map(({ route }) => route)).toEqual(["last.example.com"]);
    // The log tells of such messages once a minute; this is where all of them are.
    expect((await router.view.numbers()).sources["bus"]).toMatchObject({ registrations: 3, refused_routes: 2, invalid_messages: 8 });
  });

  test("13.20, 13.21 the latest route service counts, an option that is not said any more is over, an unknown one is kept out", async () => {
    await using l = await linked();
    const options = () => l.router.table.lookup("a.example.com", "/")?.options;
    await l.said(() => l.bus.publish(routerRegister, registration({ route_service_url: "https://guard", options: { loadbalancing: "hash", hash_header: "X-Tenant", hash_balance: 1.25 } })));
    expect(options()).toEqual({ routeServiceUrl: "https://guard", loadBalancing: "hash", hashHeader: "X-Tenant", hashBalance: 1.25 });
    await l.said(() => l.bus.publish(routerRegister, registration({ options: { loadbalancing: "fastest" } })));
    expect(options()).toEqual({});
    expect(l.warnings).toEqual(["router.registration.option"]);
  });

  for (const [sharding, taken] of [["all", ["none", "mine", "other"]], ["shared-and-segments", ["none", "mine"]], ["segments", ["mine"]]] as const) {
    test(`13.22 sharding ${sharding} takes ${taken.join(", ")}`, async () => {
      await using l = await linked({ sharding, isolationSegments: ["mine"] });
      const send = (message: typeof routerRegister | typeof routerUnregister): void => {
        for (const [name, segment] of [["none", ""], ["mine", "mine"], ["other", "other"]] as const) {
          l.bus.publish(message, registration({ uris: [`${name}.example.com`], isolation_segment: segment }));
        }
      };
      await l.said(() => send(routerRegister));
      expect(l.router.table.snapshot().map(({ route }) => route.split(".")[0]).sort()).toEqual([...taken].sort());
      expect(l.warnings).toEqual([]);
      await l.said(() => send(routerUnregister));
      expect(l.router.table.routeCount).toBe(0);
    });
  }
  test("13.22 sharding by segments without any is refused", async () => {
    await using bus = await createBus({ transport: memoryTransport() });
    expect(() => routesFromBus(bus, { sharding: "segments" })).toThrow(expect.objectContaining({ code: "ROUTER_BAD_OPTION" }));
  });

  test("13.23 endpoints that fall silent leave after 120 s, in sweeps of 30 s", async () => {
    await using l = await linked();
    await l.said(() => l.bus.publish(routerRegister, registration()));
    l.clock.advance(120_000);
    expect(l.endpoints().length).toBe(1);
    l.clock.advance(30_000);
    expect(l.endpoints().length).toBe(0);
  });

  test("what others registered stays out of it", async () => {
    await using l = await linked();
    l.router.table.register("static.example.com", { host: "10.0.0.1", port: 80 });
    l.clock.advance(600_000);
    expect(l.endpoints("static.example.com").length).toBe(1);
  });

  test("13.8 counts what it hears, for /varz", async () => {
    await using bus = await createBus({ transport: memoryTransport() });
    await using router = createRouter({ port: 0, sources: [routesFromBus(bus)], status: { port: 0 } });
    await router.listen();
    bus.publish(routerRegister, registration({ uris: ["a.example.com", "not a host"] }));
    bus.publish(routerUnregister, registration());
    await bus.flush();
    await eventually(() => router.table.lastUpdateMs !== undefined && router.table.routeCount === 0);
    expect(JSON.parse((await ask(router.statusAddress?.port ?? 0, { path: "/varz" })).body)).toMatchObject({
      sources: { bus: { connected: 1, registrations: 1, unregistrations: 1, refused_routes: 1, pending_messages: 0, dropped_messages: 0 } },
    });
  });

  test("after its end it takes nothing more", async () => {
    await using l = await linked();
    await l.router[Symbol.asyncDispose]();
    await l.said(() => l.bus.publish(routerRegister, registration()));
    expect(l.endpoints()).toEqual([]);
    expect(await l.bus.gather(routerGreet, {}, { waitMs: 30 })).toEqual([]);
  });
});

const nats = ["nats-server", "/usr/sbin/nats-server"].find((program) => spawnSync(program, ["--version"]).status === 0);

async function startNats(port: number): Promise<AsyncDisposable & { process: ChildProcess }> {
  const child = spawn(nats as string, ["-a", "127.0.0.1", "-p", String(port)], { stdio: ["ignore", "ignore", "pipe"] });
  await new Promise<void>((resolve, reject) => {
    child.once("exit", (code) => reject(new Error(`nats-server ended with ${code}`)));
    child.stderr?.on("data", (text: Buffer) => { if (text.includes("Server is ready")) resolve(); });
  });
  return { process: child, async [Symbol.asyncDispose]() {
    if (child.exitCode !== null || child.signalCode !== null) return;
    await new Promise<void>((resolve) => { child.once("exit", () => resolve()); child.kill("SIGKILL"); });
  } };
}

describe.skipIf(nats === undefined)("over a real NATS server", () => {
  test("13.27 without the bus, and told not to keep what falls silent, the table empties", async () => {
    const port = await freePort();
    await using server = await startNats(port);
    await using bus: Bus = await createBus({ transport: natsTransport({ servers: [`nats://127.0.0.1:${port}`] }) });
    const clock = manualClock();
    await using router = createRouter({ port: 0, clock, sources: [routesFromBus(bus, { keepWhileDisconnected: false })] });
    await router.listen();
    bus.publish(routerRegister, registration());
    await eventually(() => router.table.routeCount === 1);
    await server[Symbol.asyncDispose]();
    await eventually(() => !bus.connected);
    clock.advance(150_000);
    expect(router.table.routeCount).toBe(0);
  }, 30_000);

  test("13.1, 13.26, 13.27 routes come in, survive the loss of the bus, and start is said again when it is back", async () => {
    const port = await freePort();
    const servers = [`nats://127.0.0.1:${port}`];
    let server = await startNats(port);
    await using app = await httpBackend(echo);
    await using bus: Bus = await createBus({ transport: natsTransport({ servers }) });
    await using emitter: Bus = await createBus({ transport: natsTransport({ servers }) });
    const starts: Start[] = [];
    emitter.subscribe(routerStart, ({ body }) => starts.push(body));
    await emitter.flush();
    const clock = manualClock();
    await using router: Router = createRouter({ port: 0, clock, sources: [routesFromBus(bus)] });
    const { port: own } = await router.listen();
    await eventually(() => starts.length === 1);
    emitter.publish(routerRegister, { host: app.host, port: app.port, uris: ["a.example.com"] });
    await eventually(() => router.table.routeCount === 1);
    expect((await ask(own, { host: "a.example.com" })).status).toBe(200);

    await server[Symbol.asyncDispose]();
    await eventually(() => !bus.connected);
    clock.advance(3_600_000);
    expect((await ask(own, { host: "a.example.com" })).status).toBe(200);

    // Whoever is back later than the router misses what it says; so several chances.
    for (let chance = 0; starts.length < 2 && chance < 10; chance += 1) {
      if (chance > 0) await server[Symbol.asyncDispose]();
      server = await startNats(port);
      await eventually(() => bus.connected && emitter.connected, 15_000);
      await eventually(() => starts.length >= 2, 300).catch(() => undefined);
    }
    await using _server = server;
    expect(starts.length).toBeGreaterThanOrEqual(2);
    expect(starts[1]).toEqual(starts[0]);
    clock.advance(30_000);
    expect(router.table.routeCount).toBe(1);
    clock.advance(150_000);
    expect(router.table.routeCount).toBe(0);
    emitter.publish(routerRegister, { host: app.host, port: app.port, uris: ["a.example.com"] });
    await eventually(() => router.table.routeCount === 1);
  }, 60_000);
});
