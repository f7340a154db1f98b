import { spawnSync } from "node:child_process";
import { Readable } from "node:stream";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { natsTransport } from "../src/nats-transport.ts";
import { readInTurns } from "../src/nats/turns.ts";
import { hasNatsServer, type NatsServer, startNatsServer } from "./fixtures/nats-server.ts";
import { startTcpProxy } from "./fixtures/tcp-proxy.ts";

/** What is counted within each turn of the event loop. */
function turns(): { count(bytes: number): void; readonly all: number[]; next(): Promise<void>; stop(): void } {
  const all: number[] = [];
  let now = 0;
  let going = true;
  const turned = (): void => {
    if (now > 0) all.push(now);
    now = 0;
    if (going) setImmediate(turned);
  };
  setImmediate(turned);
  return { count: (bytes) => { now += bytes; }, all, next: () => new Promise((done) => setImmediate(done)), stop() { going = false; } };
}

const after = (ms: number, run: () => void): Disposable => {
  const timer = setTimeout(run, ms);
  return { [Symbol.dispose]: () => clearTimeout(timer) };
};

describe("reading in turns", () => {
  /** A stream that always has something, as far as this test goes. */
  const endless = (): Readable => {
    let left = 50_000;
    return new Readable({ read() { if (left-- > 0) this.push(Buffer.alloc(1_000)); } });
  };
  const options = { turnBytes: 10_000, patienceMs: 5_000 };

  test("a flood gets so many bytes of each turn, and grows when it does not end", async () => {
    let nowMs = 0;
    const socket = endless();
    const seen = turns();
    socket.on("data", ({ length }: Buffer) => seen.count(length));
    readInTurns(socket, { ...options, clock: { now: () => nowMs, after } });
    const during = async (ms: number): Promise<number> => {
      nowMs = ms;
      // What was allowed before is still taken.
      for (let n = 0; n < 3; n++) await seen.next();
      seen.all.length = 0;
      for (let n = 0; n < 10; n++) await seen.next();
      return Math.max(...seen.all);
    };
    expect(await during(0)).toBe(10_000);
    expect(await during(4_999)).toBe(10_000);
    expect(await during(5_000)).toBe(20_000);
    expect(await during(6_000)).toBe(40_000);
    expect(await during(9_500)).toBe(320_000);
    seen.stop();
    socket.destroy();
  });

  /** Reads an endless flood with rests of 7 ms, in a process as busy as `busyShare` says; `pass` lets so many milliseconds go by. */
  function resting() {
    const state = { nowMs: 0, busyShare: 1 };
    const waiting: (() => void)[] = [];
    const socket = endless();
    const seen = turns();
    socket.on("data", ({ length }: Buffer) => seen.count(length));
    const clock = { now: () => state.nowMs, after: (ms: number, run: () => void): Disposable => {
      expect(ms).toBe(1);
      waiting.push(run);
      return { [Symbol.dispose]: () => undefined };
    } };
    readInTurns(socket, { ...options, restMs: 7, watch: () => () => state.busyShare, clock });
    const taken = async (): Promise<number[]> => {
      seen.all.length = 0;
      for (let n = 0; n < 10; n++) await seen.next();
      return [...seen.all];
    };
    return {
      state, waiting, taken,
      async pass(ms: number): Promise<number[]> {
        for (let n = 0; n < ms; n++) waiting.shift()!();
        return taken();
      },
      [Symbol.dispose]() { seen.stop(); socket.destroy(); },
    };
  }

  test("a flood rests behind each turn while others have something to do, until patience is over", async () => {
    using flood = resting();
    expect(await flood.taken()).toEqual([10_000]);
    expect(await flood.pass(6)).toEqual([]);
    expect(await flood.pass(1)).toEqual([10_000]);
    flood.state.nowMs = 5_000;
    expect((await flood.pass(7)).length).toBeGreaterThan(5);
    expect(flood.waiting).toEqual([]);
  });

  test("a flood that nobody else minds rests no longer than it takes to see that", async () => {
    using flood = resting();
    expect(await flood.taken()).toEqual([10_000]);
    flood.state.busyShare = 0.11;
    expect(await flood.pass(2)).toEqual([]);
    flood.state.busyShare = 0.09;
    expect(await flood.pass(1)).toEqual([10_000]);
    expect(await flood.pass(1)).toEqual([10_000]);
  });

  test("a turn that has room begins the patience anew", async () => {
    let nowMs = 0;
    let wanted = 200;
    const socket = new Readable({ read() { if (wanted-- > 0) this.push(Buffer.alloc(1_000)); } });
    const seen = turns();
    let total = 0;
    socket.on("data", ({ length }: Buffer) => { seen.count(length); total += length; });
    readInTurns(socket, { ...options, clock: { now: () => nowMs, after } });
    await expect.poll(() => total).toBe(200_000);
    for (let n = 0; n < 3; n++) await seen.next();
    nowMs = 60_000;
    seen.all.length = 0;
    wanted = 199;
    socket.push(Buffer.alloc(1_000));
    await expect.poll(() => total).toBe(400_000);
    expect(Math.max(...seen.all)).toBe(10_000);
    seen.stop();
    socket.destroy();
  });
});

describe.skipIf(!hasNatsServer())("a flood from a real nats-server", () => {
  let server: NatsServer;
  beforeAll(async () => { server = await startNatsServer(); });
  afterAll(async () => server[Symbol.asyncDispose]());

  const messages = 8_000;
  /** Publishes while nothing else happens in this process, so that everything waits when it goes on. */
  const flood = (port: number): void => {
    const done = spawnSync(process.execPath, ["-e", `
      const socket = require("node:net").connect(${port}, "127.0.0.1");
      socket.once("data", () => socket.write("CONNECT {}\\r\\n" + ("PUB flood 1000\\r\\n" + "x".repeat(1000) + "\\r\\n").repeat(${messages}) + "PING\\r\\n"));
      socket.on("data", (chunk) => { if (chunk.includes("PONG")) process.exit(0); });`], { timeout: 30_000 });
    expect(done.status).toBe(0);
  };
  const readings = 65_536;

  test("each turn handles a reading or two, in order and with nothing lost; and so it is after a reconnection", async () => {
    await using proxy = await startTcpProxy(server.port);
    await using bus = await natsTransport({ servers: `nats://127.0.0.1:${proxy.port}`, turnBytes: readings, reconnectWaitMs: 20 })();
    const seen = turns();
    let heard = 0;
    bus.subscribe("flood", ({ bytes }) => { heard++; seen.count(bytes); });
    for (const round of [1, 2]) {
      await bus.flush();
      flood(server.port);
      await expect.poll(() => heard, { timeout: 30_000 }).toBe(round * messages);
      // A reading that began before the turn did, and the one that ends with it.
      expect(Math.max(...seen.all)).toBeLessThanOrEqual(2 * readings + 1_000);
      expect(seen.all.length).toBeGreaterThan(messages * 1_000 / (2 * readings + 1_000));
      seen.all.length = 0;
      if (round === 2) break;
      const back = new Promise<void>((done) => bus.on(({ type }) => { if (type === "connected") done(); }));
      proxy.cut();
      await back;
    }
    seen.stop();
  });

  test("a process with nothing else to do takes it in without the rests", async () => {
    // With them this would take two minutes.
    await using bus = await natsTransport({ servers: server.url, turnBytes: readings, turnRestMs: 1_000 })();
    let heard = 0;
    bus.subscribe("flood", () => void heard++);
    await bus.flush();
    flood(server.port);
    await expect.poll(() => heard, { timeout: 4_000 }).toBe(messages);
  });

  test("answers come through meanwhile", async () => {
    await using bus = await natsTransport({ servers: server.url, turnBytes: readings })();
    let heard = 0;
    bus.subscribe("flood", () => void heard++);
    await bus.flush();
    flood(server.port);
    await bus.flush(AbortSignal.timeout(30_000));
    expect(heard).toBe(messages);
  });
});
