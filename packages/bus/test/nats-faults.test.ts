import { describe, expect, test } from "vitest";
import { type NatsTransportOptions, natsTransport } from "../src/nats-transport.ts";
import type { Transport, TransportEvent } from "../src/transport.ts";
import { startNatsCluster } from "./fixtures/nats-cluster.ts";
import { freePort } from "../../../test/support/free-port.ts";
import { hasNatsServer, startNatsServer } from "./fixtures/nats-server.ts";
import { startTcpProxy } from "./fixtures/tcp-proxy.ts";

const connect = (servers: string, options: Partial<NatsTransportOptions> = {}) => natsTransport({ servers, reconnectWaitMs: 50, ...options })();

function record(bus: Transport): TransportEvent["type"][] {
  const events: TransportEvent["type"][] = [];
  bus.on(({ type }) => events.push(type));
  return events;
}

async function took(run: () => Promise<unknown>): Promise<number> {
  const began = Date.now();
  await run();
  return Date.now() - began;
}

describe.skipIf(!hasNatsServer())("faults of NATS servers", () => {
  test("a server is killed and comes back: told in order, nothing waits, all subscriptions return", async () => {
    await using server = await startNatsServer();
    await using bus = await connect(server.url);
    await using other = await connect(server.url);
    const events = record(bus);
    const got: string[] = [];
    bus.subscribe("a.>", ({ subject }) => got.push(subject));
    bus.subscribe("group", () => got.push("one of us"), { queue: "q" });
    other.subscribe("group", () => got.push("one of us"), { queue: "q" });
    await Promise.all([bus.flush(), other.flush()]);
    await server.kill();
    await expect.poll(() => bus.status).toBe("disconnected");
    expect(bus.publish("a.lost", "")).toBe(false);
    await expect(bus.flush()).rejects.toMatchObject({ code: "BUS_DISCONNECTED", retryable: true });
    await server.restart();
    await expect.poll(() => [bus.status, other.status], { timeout: 8_000 }).toEqual(["connected", "connected"]);
    await Promise.all([bus.flush(), other.flush()]);
    other.publish("a.heard", "");
    other.publish("group", "");
    await expect.poll(() => got.sort()).toEqual(["a.heard", "one of us"]);
    expect(events).toEqual(["disconnected", "reconnecting", "connected"]);
  }, 20_000);

  test("a flush that waits ends with the connection", async () => {
    await using server = await startNatsServer();
    await using proxy = await startTcpProxy(server.port);
    await using bus = await connect(proxy.url);
    proxy.pause();
    const flush = bus.flush();
    const gaveUp = bus.flush(AbortSignal.timeout(50));
    await expect(gaveUp).rejects.toMatchObject({ name: "TimeoutError" });
    proxy.cut();
    await expect(flush).rejects.toMatchObject({ code: "BUS_DISCONNECTED" });
    proxy.resume();
    await expect.poll(() => bus.status, { timeout: 5_000 }).toBe("connected");
    await bus.flush();
  });

  test("no server: a clear error in time, without secrets", async () => {
    const port = await freePort();
    const error = { code: "BUS_CONNECT_FAILED", retryable: true, message: expect.not.stringContaining("secret") };
    expect(await took(() => expect(connect(`nats://me:secret@127.0.0.1:${port}`, { connectTimeoutMs: 300 })).rejects.toMatchObject(error))).toBeLessThan(3_000);
    for (const servers of ["", "http://me:secret@a", "nats://", "nats://a:b:c"]) await expect(connect(servers)).rejects.toMatchObject({ code: "BUS_CONNECT_FAILED", message: expect.not.stringContaining("secret") });
  });

  test("a server that takes connections and says nothing: the same error, also for the second one that is there", async () => {
    await using hung = await startNatsServer({ jetStream: false });
    await using server = await startNatsServer({ jetStream: false });
    hung.pause();
    expect(await took(() => expect(connect(hung.url, { connectTimeoutMs: 400 })).rejects.toMatchObject({ code: "BUS_CONNECT_FAILED" }))).toBeLessThan(3_000);
    await using bus = await connect(`${hung.url},${server.url}`, { dialTimeoutMs: 200 });
    expect(bus.status).toBe("connected");
  });

  test("who wants to wait for the first server waits, until it is there or the signal says no more", async () => {
    const port = await freePort();
    const url = `nats://127.0.0.1:${port}`;
    const gaveUp = new AbortController();
    const never = connect(url, { waitForFirstServer: true, signal: gaveUp.signal });
    const waiting = connect(url, { waitForFirstServer: true, connectTimeoutMs: 100 });
    await new Promise((done) => setTimeout(done, 400));
    gaveUp.abort(new Error("no more"));
    await expect(never).rejects.toThrow("no more");
    await using server = await startNatsServer({ port });
    await using bus = await waiting;
    await bus.flush();
    expect(server.running).toBe(true);
  }, 15_000);

  test("a server that hangs is left for another one, and does not disturb when it wakes up", async () => {
    await using cluster = await startNatsCluster(2);
    const [first, second] = cluster.nodes as [(typeof cluster.nodes)[0], (typeof cluster.nodes)[0]];
    await using one = await startTcpProxy(first.port);
    await using bus = await connect(one.url, { staleAfterMs: 600, dialTimeoutMs: 200 });
    const events = record(bus);
    let got = 0;
    bus.subscribe("a", () => got++);
    await bus.flush();
    first.pause();
    second.pause();
    await expect.poll(() => bus.status, { timeout: 5_000 }).toBe("disconnected");
    // Several attempts run out of time with each.
    await new Promise((done) => setTimeout(done, 1_500));
    expect(bus.status).toBe("disconnected");
    first.resume();
    second.resume();
    await expect.poll(() => bus.status, { timeout: 5_000 }).toBe("connected");
    await new Promise((done) => setTimeout(done, 1_000));
    expect(events.filter((type) => type !== "servers")).toEqual(["disconnected", "reconnecting", "connected"]);
    expect(one.connections).toBeLessThanOrEqual(1);
    bus.publish("a", "");
    await expect.poll(() => got).toBe(1);
  }, 20_000);

  test.each(["hangs", "is away"])("closing ends when the server %s", async (how) => {
    await using server = await startNatsServer({ jetStream: false });
    const bus = await connect(server.url);
    bus.subscribe("a", () => undefined);
    if (how === "hangs") server.pause();
    else {
      await server.kill();
      await expect.poll(() => bus.status).toBe("disconnected");
    }
    expect(await took(async () => bus[Symbol.asyncDispose]())).toBeLessThan(3_000);
    expect(await bus.closed).toBeUndefined();
    expect(bus.status).toBe("closed");
  });

  test("what a server does not read is not kept without bound", async () => {
    await using server = await startNatsServer({ jetStream: false });
    await using bus = await connect(server.url, { maxWaitingBytes: 2_000_000 });
    server.pause();
    const packet = new Uint8Array(500_000);
    let sent = 0;
    await expect.poll(() => bus.publish("a", packet) && sent++ < 100, { interval: 1, timeout: 8_000 }).toBe(false);
    // What the system's buffers take comes on top.
    expect(sent).toBeLessThan(60);
    server.resume();
    await expect.poll(() => bus.publish("a", packet), { timeout: 8_000 }).toBe(true);
  }, 20_000);

  test("50 clients come back within 5 s, and not all at once", async () => {
    await using server = await startNatsServer({ jetStream: false });
    const buses = await Promise.all(Array.from({ length: 50 }, () => natsTransport({ servers: server.url })()));
    await server.kill();
    await expect.poll(() => buses.filter(({ status }) => status === "disconnected").length).toBe(50);
    // The first attempt of each comes at once and fails; the next ones are spread.
    await new Promise((done) => setTimeout(done, 1_500));
    const back: number[] = [];
    for (const bus of buses) bus.on(({ type }) => type === "connected" && back.push(Date.now()));
    await server.restart();
    const there = Date.now();
    await expect.poll(() => back.length, { timeout: 10_000 }).toBe(50);
    expect(Math.max(...back) - there).toBeLessThan(5_000);
    expect(Math.max(...back) - Math.min(...back)).toBeGreaterThan(150);
    await Promise.all(buses.map((bus) => bus[Symbol.asyncDispose]()));
  }, 30_000);

  test("a server that was away at first is used when it is there and the other one goes", async () => {
    await using one = await startNatsServer({ jetStream: false });
    await using two = await startNatsServer({ jetStream: false });
    await two.kill();
    await using bus = await connect(`${two.url},${one.url}`);
    const heard: string[] = [];
    bus.on(({ type }) => type.endsWith("connected") && heard.push(type));
    await two.restart();
    await one.kill();
    await expect.poll(() => heard, { timeout: 5_000 }).toEqual(["disconnected", "connected"]);
  }, 15_000);

  test("servers that join are told, and used when the one that was given goes", async () => {
    await using cluster = await startNatsCluster(3);
    const [first, second, third] = cluster.nodes as [(typeof cluster.nodes)[0], (typeof cluster.nodes)[0], (typeof cluster.nodes)[0]];
    await third.kill();
    await using bus = await connect(first.url);
    const events: TransportEvent[] = [];
    bus.on((event) => events.push(event));
    await third.restart();
    await expect.poll(() => events.flatMap((event) => (event.type === "servers" ? event.added : [])), { timeout: 8_000 }).toContain(`127.0.0.1:${third.port}`);
    await first.kill();
    await expect.poll(() => events.filter(({ type }) => type === "connected"), { timeout: 8_000 }).toHaveLength(1);
    const server = events.map((event) => (event.type === "connected" ? event.server : undefined)).find((each) => each !== undefined);
    expect([`127.0.0.1:${second.port}`, `127.0.0.1:${third.port}`]).toContain(server);
  }, 30_000);

  test("a server asks its clients to leave: they move, and no packet is lost or comes twice", async () => {
    await using cluster = await startNatsCluster(3);
    const [first, second] = cluster.nodes as [(typeof cluster.nodes)[0], (typeof cluster.nodes)[0]];
    const moved: string[] = [];
    const log = { info: (event: string, data?: object) => event === "bus.moved" && moved.push((data as { server: string }).server), warn: () => undefined, error: () => undefined };
    await using bus = await connect(first.url, { log });
    await using sender = await connect(second.url);
    const events = record(bus);
    const got: number[] = [];
    const grouped: number[] = [];
    const back: number[] = [];
    bus.subscribe("count", ({ text }) => got.push(Number(text)));
    // A subject of its own: a server whose last member of a group has just left passes the packet on, and plain subscribers get it again.
    bus.subscribe("grouped", ({ text }) => grouped.push(Number(text)), { queue: "q" });
    sender.subscribe("from.us", ({ text }) => back.push(Number(text)));
    await Promise.all([bus.flush(), sender.flush()]);
    await new Promise((done) => setTimeout(done, 300));
    let n = 0;
    const traffic = setInterval(() => {
      for (let i = 0; i < 5; i++) {
        sender.publish("count", String(n), { headers: { N: String(n) } });
        sender.publish("grouped", String(n));
        expect(bus.publish("from.us", String(n))).toBe(true);
        n++;
      }
    }, 5);
    first.lameDuck();
    await expect.poll(() => moved.length, { timeout: 10_000 }).toBe(1);
    clearInterval(traffic);
    await Promise.all([bus.flush(), sender.flush()]);
    const all = Array.from({ length: n }, (_, i) => i);
    await expect.poll(() => [got.length, grouped.length, back.length], { timeout: 10_000 }).toEqual([n, n, n]);
    expect(got).toEqual(all);
    expect(grouped.sort((a, b) => a - b)).toEqual(all);
    expect(back).toEqual(all);
    expect(events.filter((type) => type !== "servers")).toEqual(["lame_duck"]);
    expect(moved[0]).not.toBe(`127.0.0.1:${first.port}`);
    await first.kill();
    await bus.flush();
    expect(bus.status).toBe("connected");
  }, 30_000);

  test("a server asks its clients to leave, and there is no other: they stay until it goes", async () => {
    await using server = await startNatsServer({ jetStream: false });
    await using bus = await connect(server.url);
    const events = record(bus);
    server.lameDuck();
    await expect.poll(() => events).toEqual(["lame_duck"]);
    await new Promise((done) => setTimeout(done, 800));
    expect(bus.publish("a", "")).toBe(true);
    await bus.flush();
    await server.kill();
    await server.restart();
    await expect.poll(() => events, { timeout: 5_000 }).toEqual(["lame_duck", "disconnected", "reconnecting", "connected"]);
  }, 15_000);
});
