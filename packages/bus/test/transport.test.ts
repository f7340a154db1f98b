import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createBus, createMemoryHub, natsTransport } from "@opencf/bus";
import { transportCases } from "@opencf/bus/conformance";
import { deaHeartbeat } from "@opencf/bus/messages";
import { freePort, hasNatsServer, type NatsServer, startNatsServer } from "./fixtures/nats-server.ts";

describe("in-process transport", () => {
  for (const [title, check] of Object.entries(transportCases))
    test(title, () => {
      const hub = createMemoryHub();
      return check(() => Promise.resolve([hub.connect(), hub.connect()]));
    });
});

describe.skipIf(!hasNatsServer())("NATS transport, on a real nats-server (apt-get install nats-server)", () => {
  let server: NatsServer;
  beforeAll(async () => {
    server = await startNatsServer();
  });
  afterAll(async () => server[Symbol.asyncDispose]());
  const connect = () => natsTransport({ servers: server.url })();

  for (const [title, check] of Object.entries(transportCases))
    test(title, () => check(async () => [await connect(), await connect()]));

  test("the server is killed and comes back: status is told, requests fail at once, subscriptions return", async () => {
    await using own = await startNatsServer();
    await using bus = await createBus({ transport: natsTransport({ servers: own.url, reconnectWaitMs: 50 }) });
    const seen: string[] = [];
    bus.onStatus((status) => seen.push(status));
    const heard: string[] = [];
    bus.subscribe(deaHeartbeat, ({ body }) => heard.push(body.dea));
    await bus.flush();
    await own.kill();
    await expect.poll(() => bus.connected).toBe(false);
    bus.publish(deaHeartbeat, { dea: "lost", droplets: [] });
    expect(bus.counters.get("dea.heartbeat dropped_while_disconnected")).toBe(1);
    await own.restart();
    await expect.poll(() => bus.connected, { timeout: 10_000 }).toBe(true);
    bus.publish(deaHeartbeat, { dea: "heard", droplets: [] });
    await expect.poll(() => heard).toEqual(["heard"]);
    expect(seen).toEqual(["disconnected", "connected"]);
  });

  test("no server there: a clear error within the limit", async () => {
    const port = await freePort();
    await expect(createBus({ transport: natsTransport({ servers: `nats://me:secret@127.0.0.1:${port}`, connectTimeoutMs: 300 }) }))
      .rejects.toMatchObject({ code: "BUS_CONNECT_FAILED", message: expect.not.stringContaining("secret") });
  });
});
