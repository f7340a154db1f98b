import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createBus } from "@opencf/bus";
import type { World } from "@opencf/bus/conformance";
import { handClock, kinds, pair, settled } from "./fixtures/bus-kit.ts";
import { memoryWorld } from "./fixtures/memory-world.ts";
import { natsWorld } from "./fixtures/nats-world.ts";

const { plain, order, few, state } = kinds;
const big = "x".repeat(2_000_000);
const orders = (bus: Awaited<ReturnType<typeof pair>>["b"]): number[] => {
  const got: number[] = [];
  bus.subscribe(order, ({ body }) => got.push(body.n));
  return got;
};

describe.each([["in process", async () => memoryWorld()], ["NATS", natsWorld]] as const)("%s", (_, open) => {
  let world: World & Partial<AsyncDisposable>;
  beforeAll(async () => void (world = await open()));
  afterAll(async () => world[Symbol.asyncDispose]?.());
  const two = async (resumeAfterMs: number) => {
    const own = await world.connect();
    const [a, b] = [await createBus({ transport: own, resumeAfterMs }), await createBus({ transport: await world.connect() })];
    return { own, a, b, async [Symbol.asyncDispose]() {
      await a[Symbol.asyncDispose]();
      await b[Symbol.asyncDispose]();
    } };
  };

  test("what is too large for the bus is refused when it is published, although it would have waited", async () => {
    await using there = await two(0);
    const { own, a, b } = there;
    const got = orders(b);
    await b.flush();
    await world.fault?.disconnect(own);
    a.publish(order, { n: 1 });
    expect(() => a.publish(order, { n: 2, fill: big })).toThrow(expect.objectContaining({ code: "BUS_PAYLOAD_TOO_LARGE" }));
    expect(() => a.publish(order, { n: 2 }, { headers: { "a b": "c" } })).toThrow(expect.objectContaining({ code: "BUS_INVALID_HEADER" }));
    a.publish(order, { n: 3 });
    await world.fault?.reconnect(own);
    await expect.poll(() => got).toEqual([1, 3]);
    expect(a.pendingOut).toBe(0);
  });

  test("drained while kept messages wait for their receivers: they leave first", async () => {
    await using there = await two(300);
    const { own, a, b } = there;
    const got = orders(b);
    await b.flush();
    await world.fault?.disconnect(own);
    for (const n of [1, 2, 3]) a.publish(order, { n });
    await world.fault?.reconnect(own);
    expect(a.pendingOut).toBe(3);
    await a.drain();
    await expect.poll(() => got).toEqual([1, 2, 3]);
    expect([...a.counters]).toEqual([]);
  });

  test("a drain that has no time for the wait sends them at once", async () => {
    await using there = await two(60_000);
    const { own, a, b } = there;
    const got = orders(b);
    await b.flush();
    await world.fault?.disconnect(own);
    for (const n of [1, 2, 3]) a.publish(order, { n });
    await world.fault?.reconnect(own);
    await a.drain({ timeoutMs: 20 });
    await expect.poll(() => got).toEqual([1, 2, 3]);
  });

  test("flush means that what was published has been routed, also what waits", async () => {
    await using there = await two(100);
    const { own, a, b } = there;
    const got = orders(b);
    await b.flush();
    await world.fault?.disconnect(own);
    a.publish(order, { n: 1 });
    await expect(a.flush()).rejects.toMatchObject({ code: "BUS_DISCONNECTED" });
    await world.fault?.reconnect(own);
    await a.flush();
    expect(a.pendingOut).toBe(0);
    await b.flush();
    await expect.poll(() => got).toEqual([1]);
    await world.fault?.disconnect(own);
    a.publish(order, { n: 2 });
    await world.fault?.reconnect(own);
    await expect(a.flush(AbortSignal.timeout(5))).rejects.toMatchObject({ name: "TimeoutError" });
    const lost = expect(a.flush()).rejects.toMatchObject({ code: "BUS_DISCONNECTED" });
    await world.fault?.disconnect(own);
    await lost;
    await world.fault?.reconnect(own);
    await a.flush();
  });
});

test("a carrier that refuses one kept message costs that one, counted, and nothing else", async () => {
  const clock = handClock();
  await using there = await pair({ clock });
  const { hub, own, a, b } = there;
  const got = orders(b);
  await b.flush();
  hub.disconnect(own);
  for (const n of [1, 2, 3]) a.publish(order, { n });
  const publish = own.publish.bind(own);
  own.publish = (subject, data, options) => {
    if (own.status === "connected" && String(data).includes("2")) throw new Error("not this one");
    return publish(subject, data, options);
  };
  hub.reconnect(own);
  clock.advance(1);
  await expect.poll(() => got).toEqual([1, 3]);
  expect([...a.counters]).toEqual([["k.order dropped_refused", 1]]);
});

test("a carrier that takes no more for a while: the rest leaves later, in order, without a reconnect", async () => {
  const clock = handClock();
  await using there = await pair({ clock });
  const { hub, own, a, b } = there;
  const got = orders(b);
  await b.flush();
  const publish = own.publish.bind(own);
  let room = 0;
  own.publish = (...args) => room-- > 0 && publish(...args);
  for (const n of [1, 2, 3]) a.publish(order, { n });
  expect(a.pendingOut).toBe(3);
  room = 1;
  clock.advance(1_000);
  room = 100;
  clock.advance(1_000);
  await expect.poll(() => got).toEqual([1, 2, 3]);
  hub.disconnect(own);
  for (const n of [4, 5]) a.publish(order, { n });
  hub.reconnect(own);
  room = 0;
  clock.advance(1);
  room = 100;
  clock.advance(1_000);
  await expect.poll(() => got).toEqual([1, 2, 3, 4, 5]);
});

test("a connection that breaks in the middle of the release", async () => {
  const clock = handClock();
  await using there = await pair({ clock });
  const { hub, own, a, b } = there;
  const got = orders(b);
  await b.flush();
  a.publish(order, { n: 0 });
  hub.disconnect(own);
  for (const n of [1, 2, 3, 4]) a.publish(order, { n });
  a.publish(state, { of: "x", n: 1 });
  const publish = own.publish.bind(own);
  let left = 2;
  own.publish = (...args) => {
    const sent = publish(...args);
    if (--left === 0) hub.disconnect(own);
    return sent;
  };
  hub.reconnect(own);
  clock.advance(1);
  expect(a.connected).toBe(false);
  hub.reconnect(own);
  clock.advance(1);
  await settled(a, b);
  expect(got).toEqual([0, 1, 2, 3, 4]);
  expect(a.pendingOut).toBe(0);
  expect([...a.counters]).toEqual([]);
});

test("reconnected twice within the wait: nothing leaves before the second wait is over", async () => {
  const clock = handClock();
  await using there = await pair({ clock, resumeAfterMs: 1_500 });
  const { hub, own, a, b } = there;
  const got = orders(b);
  await b.flush();
  hub.disconnect(own);
  a.publish(order, { n: 1 });
  for (let i = 0; i < 2; i++) {
    hub.reconnect(own);
    clock.advance(1_000);
    if (i === 0) hub.disconnect(own);
  }
  expect(a.pendingOut).toBe(1);
  clock.advance(500);
  await settled(a, b);
  expect(got).toEqual([1]);
});

test("the age of a message counts from when it was published, however often it is sent again", async () => {
  const clock = handClock();
  await using there = await pair({ clock });
  const { hub, own, a } = there;
  hub.disconnect(own);
  a.publish(order, { n: 1 });
  for (let i = 0; i < 6; i++) {
    clock.advance(11_000);
    hub.reconnect(own);
    clock.advance(1);
    hub.disconnect(own);
  }
  clock.advance(100);
  hub.reconnect(own);
  clock.advance(1);
  expect(a.counters.get("k.order dropped_too_old")).toBe(1);
});

test("what was published after the server was asked is not confirmed by its answer, be it the same millisecond", async () => {
  const clock = handClock();
  await using there = await pair({ clock });
  const { hub, own, a, b } = there;
  const raw: string[] = [];
  b.transport.subscribe("k.order", ({ text }) => raw.push(text));
  await b.flush();
  const publish = own.publish.bind(own);
  a.publish(order, { n: 1 });
  // Lost on the way: the server never sees it.
  own.publish = () => true;
  a.publish(order, { n: 2 });
  own.publish = publish;
  const { flush } = own;
  own.flush = () => new Promise(() => undefined);
  await settled(b);
  clock.advance(1_500);
  await settled(b);
  own.flush = flush;
  hub.disconnect(own);
  hub.reconnect(own);
  clock.advance(1);
  await settled(b);
  expect(raw).toContain('{"n":2}');
});

test("what was sent but not confirmed, and has no room to wait again, is counted as that", async () => {
  const clock = handClock();
  await using there = await pair({ clock });
  const { hub, own, a } = there;
  for (let n = 0; n < 5; n++) a.publish(few, { n });
  hub.disconnect(own);
  expect(Object.fromEntries(a.counters)).toEqual({ "k.few dropped_unconfirmed": 2 });
  a.publish(few, { n: 5 });
  expect(a.pendingOut).toBe(3);
  expect(a.counters.get("k.few dropped_unconfirmed")).toBe(3);
});

test("closed while away: what waited is counted, nothing is kept any more, nothing runs on", async () => {
  const clock = handClock();
  await using there = await pair({ clock });
  const { hub, own, a, b } = there;
  hub.disconnect(own);
  for (const n of [1, 2]) a.publish(order, { n });
  a.publish(plain, { n: 1 });
  await a[Symbol.asyncDispose]();
  await b[Symbol.asyncDispose]();
  expect(Object.fromEntries(a.counters)).toEqual({ "k.plain dropped_while_disconnected": 1, "k.order dropped_while_disconnected": 2 });
  expect(a.pendingOut).toBe(0);
  expect(clock.waiting).toBe(0);
});

test("the carrier closes for good while messages wait to leave", async () => {
  const clock = handClock();
  await using there = await pair({ clock });
  const { hub, own, a } = there;
  hub.disconnect(own);
  a.publish(order, { n: 1 });
  hub.reconnect(own);
  await own[Symbol.asyncDispose]();
  clock.advance(10_000);
  expect(a.pendingOut).toBe(0);
  expect(a.counters.get("k.order dropped_while_disconnected")).toBe(1);
});
