import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type NatsTransportOptions, natsTransport } from "../src/nats-transport.ts";
import type { TransportEvent } from "../src/transport.ts";
import { hasNatsServer, type NatsServer, startNatsServer } from "./fixtures/nats-server.ts";
import { startTcpProxy } from "./fixtures/tcp-proxy.ts";

describe.skipIf(!hasNatsServer())("NATS transport, on a real nats-server", () => {
  let server: NatsServer;
  beforeAll(async () => {
    server = await startNatsServer();
  });
  afterAll(async () => server[Symbol.asyncDispose]());
  const connect = (options: Partial<NatsTransportOptions> = {}) => natsTransport({ servers: server.url, ...options })();

  test("packets go and come with headers, answers and bytes of their own", async () => {
    await using one = await connect();
    await using two = await connect();
    const got: unknown[] = [];
    one.subscribe("a.*", (packet) => got.push([packet.subject, packet.text, packet.bytes, packet.reply, packet.headers, packet.status, packet.data]));
    await one.flush();
    two.publish("a.b", "text");
    two.publish("a.c", new Uint8Array([1, 2]), { reply: "x.y", headers: { "Two-Values": ["1", "2"], lower: "v" } });
    await two.flush();
    await expect.poll(() => got.length).toBe(2);
    one.publish("nobody", "", { reply: "a.reply" });
    await expect.poll(() => got.length).toBe(3);
    expect(got).toEqual([
      ["a.b", "text", 4, undefined, undefined, undefined, new Uint8Array(Buffer.from("text"))],
      ["a.c", "\u0001\u0002", 2, "x.y", { "Two-Values": ["1", "2"], lower: ["v"] }, undefined, new Uint8Array([1, 2])],
      ["a.reply", "", 0, undefined, undefined, { code: 503, description: "" }, new Uint8Array()],
    ]);
  });

  test("what is published counts as it was at the call, and a receiver may write into its bytes", async () => {
    await using bus = await connect();
    const got: string[] = [];
    const receive = ({ data }: { data: Uint8Array }): void => {
      got.push(Buffer.from(data).toString());
      expect(data.buffer.byteLength).toBe(data.length);
      data.fill(0);
    };
    bus.subscribe("own", receive);
    bus.subscribe("own", receive);
    const bytes = new Uint8Array(Buffer.from("abc"));
    bus.publish("own", bytes);
    bytes.fill(0);
    bus.publish("own", "def");
    await expect.poll(() => got.sort()).toEqual(["abc", "abc", "def", "def"]);
  });

  test("the limit of a packet is told, and counts headers", async () => {
    await using small = await startNatsServer({ config: "max_payload: 1000" });
    await using bus = await natsTransport({ servers: small.url })();
    expect(bus.maxPayloadBytes).toBe(1_000);
    const got: number[] = [];
    bus.subscribe("limit", ({ bytes }) => got.push(bytes));
    const tooLarge = expect.objectContaining({ code: "BUS_PAYLOAD_TOO_LARGE" });
    expect(bus.publish("limit", "x".repeat(1_000))).toBe(true);
    expect(() => bus.publish("limit", "x".repeat(1_001))).toThrow(tooLarge);
    expect(() => bus.publish("limit", "é".repeat(501))).toThrow(tooLarge);
    expect(() => bus.publish("limit", new Uint8Array(990), { headers: { A: "1" } })).toThrow(tooLarge);
    // 12 for the frame, 6 for the line.
    expect(bus.publish("limit", new Uint8Array(982), { headers: { A: "1" } })).toBe(true);
    await expect.poll(() => got).toEqual([1_000, 982]);
    expect(bus.status).toBe("connected");
  });

  test.each<[string, (bus: Awaited<ReturnType<typeof connect>>) => void, string]>([
    ["a number as payload", (bus) => bus.publish("a", 1 as never), "BUS_INVALID_PAYLOAD"],
    ["null as payload", (bus) => bus.publish("a", null as never), "BUS_INVALID_PAYLOAD"],
    ["a blank in a subject", (bus) => bus.publish("a b", ""), "BUS_INVALID_SUBJECT"],
    ["a line end in a reply", (bus) => bus.publish("a", "", { reply: "b\r\nPUB c 0\r\n" }), "BUS_INVALID_SUBJECT"],
    ["an empty part in a pattern", (bus) => bus.subscribe("a..b", () => undefined), "BUS_INVALID_SUBJECT"],
    ["a blank in a queue group", (bus) => bus.subscribe("a", () => undefined, { queue: "b c" }), "BUS_INVALID_SUBJECT"],
    ["a line end in a header", (bus) => bus.publish("a", "", { headers: { A: "1\r\nB: 2" } }), "BUS_INVALID_HEADER"],
    ["a colon in the name of a header", (bus) => bus.publish("a", "", { headers: { "A:": "1" } }), "BUS_INVALID_HEADER"],
  ])("%s is refused before anything is sent", async (_, run, code) => {
    await using bus = await connect();
    expect(() => run(bus)).toThrow(expect.objectContaining({ code }));
    await bus.flush();
    expect(bus.status).toBe("connected");
  });

  test("max is exact, in a queue group too, and over a reconnect", async () => {
    await using proxy = await startTcpProxy(server.port);
    await using bus = await connect({ servers: proxy.url, reconnectWaitMs: 20 });
    await using sender = await connect();
    const got = { plain: 0, first: 0, second: 0 };
    const status: string[] = [];
    bus.on(({ type }) => status.push(type));
    bus.subscribe("max", () => got.plain++, { max: 7 });
    bus.subscribe("max", () => got.first++, { queue: "q", max: 3 });
    bus.subscribe("max", () => got.second++, { queue: "q" });
    await bus.flush();
    for (let i = 0; i < 2; i++) sender.publish("max", "");
    await expect.poll(() => [got.plain, got.first + got.second]).toEqual([2, 2]);
    proxy.cut();
    await expect.poll(() => status.at(-1), { timeout: 5_000 }).toBe("connected");
    await bus.flush();
    for (let i = 0; i < 30; i++) sender.publish("max", "");
    await expect.poll(() => got).toEqual({ plain: 7, first: 3, second: 29 });
    for (let i = 0; i < 3; i++) sender.publish("max", "");
    await expect.poll(() => got).toEqual({ plain: 7, first: 3, second: 32 });
  });

  test("a drained subscription delivers what is on the way, a removed one nothing", async () => {
    await using bus = await connect();
    await using sender = await connect();
    let got = 0;
    const drained = bus.subscribe("drain", () => got++);
    const removed = bus.subscribe("drain", () => (got += 1_000));
    await bus.flush();
    for (let i = 0; i < 500; i++) sender.publish("drain", "x".repeat(1_000));
    await sender.flush();
    removed.unsubscribe();
    removed.unsubscribe();
    await Promise.all([drained.drain(), drained.drain()]);
    expect(got % 1_000).toBe(500);
    const before = got;
    sender.publish("drain", "late");
    await sender.flush();
    await bus.flush();
    expect(got).toBe(before);
  });

  test("a receiver that throws is told of and harms nobody", async () => {
    await using bus = await connect();
    const events: TransportEvent[] = [];
    bus.on((event) => events.push(event));
    let got = 0;
    bus.subscribe("throw", () => {
      throw new Error("oh");
    });
    bus.subscribe("throw", () => got++);
    for (let i = 0; i < 3; i++) bus.publish("throw", "");
    await expect.poll(() => got).toBe(3);
    expect(events.filter(({ type }) => type === "receiver_failed")).toHaveLength(3);
  });

  test("own packets come back unless that is not wanted", async () => {
    for (const echo of [true, false]) {
      await using bus = await connect({ echo });
      let got = 0;
      bus.subscribe("echo", () => got++);
      bus.publish("echo", "");
      await bus.flush();
      expect(got).toBe(echo ? 1 : 0);
    }
  });

  test("subjects for answers may begin with a name of one's own, without wildcards", async () => {
    await using bus = await connect({ inboxPrefix: "_INBOX.dea7" });
    expect(bus.inboxPrefix).toBe("_INBOX.dea7");
    for (const inboxPrefix of ["a.*", ">", "a b", ""]) await expect(connect({ inboxPrefix })).rejects.toMatchObject({ code: "BUS_INVALID_SUBJECT" });
  });

  test("closing delivers what was published, ends everything and says so", async () => {
    await using other = await connect();
    let got = 0;
    other.subscribe("last", () => got++);
    await other.flush();
    const bus = await connect();
    const events: string[] = [];
    bus.on(({ type }) => events.push(type));
    for (let i = 0; i < 100; i++) bus.publish("last", "");
    await bus[Symbol.asyncDispose]();
    await bus[Symbol.asyncDispose]();
    expect(await bus.closed).toBeUndefined();
    expect(bus.status).toBe("closed");
    expect(events).toEqual(["closed"]);
    await expect.poll(() => got).toBe(100);
    const closed = expect.objectContaining({ code: "BUS_CLOSED" });
    expect(() => bus.publish("a", "")).toThrow(closed);
    expect(() => bus.subscribe("a", () => undefined)).toThrow(closed);
    await expect(bus.flush()).rejects.toEqual(closed);
  });
});
