import { afterEach, expect, test } from "vitest";
import { Type } from "@sinclair/typebox";
import { buffer, type Bus, type BusEvent, createBus, createMemoryHub, headerNames, latestPerKey, message } from "@opencf/bus";

const common = { about: "test", from: "test", to: "test" };
const Numbered = Type.Object({ n: Type.Integer() });
const plain = message("t.plain", Numbered, { ...common, reply: Numbered });
const next = message("t.next", Numbered, common);
const last = message("t.last", Numbered, common);
const beat = message("t.beat", Type.Object({ id: Type.String(), n: Type.Integer() }), { ...common, onDisconnect: latestPerKey("id"), ttlMs: 60_000 });
const order = message("t.order", Numbered, { ...common, onDisconnect: buffer(3, 5_000) });
const command = message("t.command.{to}", Type.Object({ command_id: Type.String(), n: Type.Integer() }), { ...common, reply: Numbered, id: "command_id" });
const logs = message("t.logs", Numbered, { ...common, lane: "bulk" });

const open: AsyncDisposable[] = [];
afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each[Symbol.asyncDispose]();
});
const keep = <T extends AsyncDisposable>(each: T): T => (open.push(each), each);

/** Time that moves when it is told to. */
function handClock() {
  let ms = 1_000_000;
  const timers = new Set<{ at: number; run: () => void }>();
  return {
    now: () => ms,
    after(wait: number, run: () => void) {
      const timer = { at: ms + wait, run };
      timers.add(timer);
      return { [Symbol.dispose]: () => void timers.delete(timer) };
    },
    advance(by: number) {
      ms += by;
      for (const timer of [...timers].sort((a, b) => a.at - b.at)) if (timer.at <= ms && timers.delete(timer)) timer.run();
    },
  };
}

async function pair(options: { clock?: ReturnType<typeof handClock> } = {}) {
  const hub = createMemoryHub();
  const [own, theirs] = [hub.connect(), hub.connect()];
  const a = keep(await createBus({ transport: own, name: "a/0", resumeAfterMs: 0, ...options }));
  const b = keep(await createBus({ transport: theirs, name: "b/0", ...options }));
  return { hub, own, a, b };
}
const settled = async (...buses: Bus[]): Promise<void> => {
  for (const bus of buses) await bus.flush();
  await new Promise((done) => setImmediate(done));
};

test("a trace flows from message to message, through awaits, and says who caused what", async () => {
  const { a, b } = await pair();
  b.subscribe(next, async ({ body }) => {
    await new Promise((done) => setTimeout(done, 5));
    b.publish(last, { n: body.n + 1 });
  });
  const seen = keep(a.subscribe(last))[Symbol.asyncIterator]();
  const first = keep(b.subscribe(next))[Symbol.asyncIterator]();
  a.trace(() => a.publish(next, { n: 1 }));
  const start = (await first.next()).value;
  const end = (await seen.next()).value;
  expect(start?.trace).toMatchObject({ sender: "a/0", causationId: undefined });
  expect(end?.trace).toMatchObject({ sender: "b/0", traceId: start?.trace?.traceId, causationId: start?.trace?.messageId });
  expect(end?.trace?.messageId).not.toBe(start?.trace?.messageId);
});

test("an untraced message does not inherit the trace of whoever was being handled", async () => {
  const { a, b } = await pair();
  const headers: unknown[] = [];
  a.subscribe(last, (delivery) => headers.push(delivery.headers));
  b.subscribe(plain, () => b.publish(last, { n: 0 }));
  b.subscribe(next, () => {
    // Handed on by the in-process line while this one is being handled.
    a.publish(last, { n: 1 }, { headers: { Mine: "yes" } });
  });
  a.trace(() => a.publish(next, { n: 1 }));
  await settled(a, b, a);
  b.publish(plain, { n: 2 });
  await expect.poll(() => headers.length).toBe(2);
  expect(headers[0]).toMatchObject({ Mine: ["yes"], [headerNames.trace]: [expect.any(String)] });
  expect(headers[1]).toBeUndefined();
});

test("requests and commands start a trace, soft state does not", async () => {
  const { a, b } = await pair();
  const traced: [string, boolean][] = [];
  b.subscribe(beat, ({ trace }) => traced.push(["beat", trace !== undefined]));
  b.subscribe(order, ({ trace }) => traced.push(["order", trace !== undefined]));
  b.subscribe(plain, ({ trace, respond }) => (traced.push(["plain", trace !== undefined]), respond({ n: 1 })));
  a.publish(beat, { id: "x", n: 1 });
  a.publish(order, { n: 1 });
  await a.request(plain, { n: 1 });
  expect(traced).toEqual([["beat", false], ["order", true], ["plain", true]]);
});

test("while away: dropped, the latest per key, a bounded buffer; in order when the bus is back, each counted", async () => {
  const { hub, own, a, b } = await pair();
  const got: unknown[] = [];
  b.subscribe(beat, ({ body }) => got.push(`${body.id}${body.n}`));
  b.subscribe(order, ({ body }) => got.push(body.n));
  b.subscribe(next, () => got.push("never"));
  hub.disconnect(own);
  expect(a.connected).toBe(false);
  a.publish(next, { n: 0 });
  for (const n of [1, 2, 3]) a.publish(beat, { id: "x", n });
  a.publish(beat, { id: "y", n: 1 });
  for (const n of [1, 2, 3, 4, 5]) a.publish(order, { n });
  expect(a.pendingOut).toBe(5);
  hub.reconnect(own);
  await expect.poll(() => got.length).toBe(5);
  expect(got).toEqual(["x3", "y1", 3, 4, 5]);
  expect(Object.fromEntries(a.counters)).toEqual({ "t.next dropped_while_disconnected": 1, "t.order dropped_outbox_full": 2 });
  expect(a.pendingOut).toBe(0);
});

test("what is too old does not leave any more", async () => {
  const clock = handClock();
  const { hub, own, a, b } = await pair({ clock });
  const got: number[] = [];
  b.subscribe(order, ({ body }) => got.push(body.n));
  hub.disconnect(own);
  a.publish(order, { n: 1 });
  clock.advance(4_000);
  a.publish(order, { n: 2 });
  clock.advance(2_000);
  hub.reconnect(own);
  clock.advance(1);
  await expect.poll(() => got).toEqual([2]);
  expect(a.counters.get("t.order dropped_too_old")).toBe(1);
});

test("what may have been lost on the way is sent again, and a subscriber sees it once", async () => {
  const clock = handClock();
  const { hub, own, a, b } = await pair({ clock });
  const got: number[] = [];
  const raw: unknown[] = [];
  b.subscribe(order, ({ body }) => got.push(body.n));
  b.transport.subscribe("t.order", (packet) => raw.push(packet.headers?.[headerNames.message]?.[0]));
  a.publish(order, { n: 1 });
  await expect.poll(() => raw.length).toBe(1);
  hub.disconnect(own);
  hub.reconnect(own);
  clock.advance(1);
  await expect.poll(() => raw.length).toBe(2);
  expect(raw[0]).toBe(raw[1]);
  expect(got).toEqual([1]);
  expect(b.counters.get("t.order repeated_message")).toBe(1);
  // Confirmed and a second old: not sent again.
  await settled(a);
  clock.advance(1_500);
  await settled(a);
  clock.advance(1_500);
  await settled(a);
  hub.disconnect(own);
  hub.reconnect(own);
  clock.advance(10);
  await settled(a, b);
  expect(raw).toHaveLength(2);
});

test("a command that is repeated is carried out once and answered again", async () => {
  const { a, b } = await pair();
  let carriedOut = 0;
  b.subscribe(command, async ({ body, respond }) => {
    carriedOut++;
    await new Promise((done) => setTimeout(done, 20));
    respond({ n: body.n * 2 });
  }, { once: true });
  const ask = () => a.request(command, { command_id: "c1", n: 21 }, { params: { to: "x" } });
  expect(await Promise.all([ask(), ask()])).toEqual([{ n: 42 }, { n: 42 }]);
  expect(await ask()).toEqual({ n: 42 });
  expect(carriedOut).toBe(1);
  await a.request(command, { command_id: "c2", n: 1 }, { params: { to: "x" } });
  expect(carriedOut).toBe(2);
});

test("a template without its value is refused when publishing", async () => {
  const { a } = await pair();
  expect(() => a.publish(command, { command_id: "c", n: 1 })).toThrow(expect.objectContaining({ code: "BUS_INVALID_SUBJECT" }));
});

test("handlers at work are limited; the rest waits its turn and none is lost", async () => {
  const { a, b } = await pair();
  let [now, most, done] = [0, 0, 0];
  const sub = b.subscribe(next, async () => {
    most = Math.max(most, ++now);
    await new Promise((go) => setTimeout(go, 1));
    now--;
    done++;
  }, { concurrency: 3 });
  for (let n = 0; n < 50; n++) a.publish(next, { n });
  await settled(a, b);
  expect(sub.pending).toBeGreaterThan(0);
  await expect.poll(() => done).toBe(50);
  expect(most).toBe(3);
});

test("a reader that asked to be cut is cut, told so, and its queue is gone", async () => {
  const { a, b } = await pair();
  const events: BusEvent[] = [];
  b.on((event) => events.push(event));
  const sub = b.subscribe(next, { maxPending: 5, whenFull: "cut" });
  for (let n = 0; n < 20; n++) a.publish(next, { n });
  await settled(a, b);
  expect(await sub.closed).toMatchObject({ code: "BUS_SLOW_CONSUMER" });
  await expect(sub[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: "BUS_SLOW_CONSUMER" });
  expect(sub.pending).toBe(0);
  expect(events.at(-1)).toEqual({ type: "slow_consumer", subject: "t.next", pending: 5, cut: true });
});

test("bytes bound the inbox as well", async () => {
  const { a, b } = await pair();
  const sub = b.subscribe(next, { maxPendingBytes: 100 });
  for (let n = 0; n < 50; n++) a.publish(next, { n });
  await settled(a, b);
  expect(sub.pending + sub.dropped).toBe(50);
  expect(sub.pending).toBeLessThan(10);
});

test("drain: no more is taken, handlers at work finish and their messages leave, then it is closed", async () => {
  const { a, b } = await pair();
  const heard: number[] = [];
  a.subscribe(last, ({ body }) => heard.push(body.n));
  b.subscribe(next, async ({ body }) => {
    await new Promise((done) => setTimeout(done, 30));
    b.publish(last, { n: body.n });
  });
  a.publish(next, { n: 7 });
  await a.flush();
  const drained = b.drain();
  expect(() => b.subscribe(next, () => undefined)).toThrow(expect.objectContaining({ code: "BUS_DRAINING" }));
  await expect(b.request(plain, { n: 1 })).rejects.toMatchObject({ code: "BUS_DRAINING" });
  await drained;
  await expect.poll(() => heard).toEqual([7]);
  expect(await b.closed).toBeUndefined();
  expect(() => b.publish(last, { n: 1 })).toThrow(expect.objectContaining({ code: "BUS_CLOSED" }));
});

test("drain ends although a handler never does", async () => {
  const { a, b } = await pair();
  b.subscribe(next, () => new Promise(() => undefined));
  a.publish(next, { n: 1 });
  await settled(a, b);
  await b.drain({ timeoutMs: 50 });
  expect(b.connected).toBe(false);
});

test("bulk traffic has a connection of its own where one can be opened", async () => {
  const hub = createMemoryHub();
  let opened = 0;
  const factory = () => (opened++, Promise.resolve(hub.connect()));
  const bus = keep(await createBus({ transport: factory }));
  expect(opened).toBe(2);
  expect(bus.bulk).not.toBe(bus.transport);
  const seen: string[] = [];
  const [onBulk, onControl] = [bus.bulk.publish.bind(bus.bulk), bus.transport.publish.bind(bus.transport)];
  bus.bulk.publish = (...args) => (seen.push("bulk"), onBulk(...args));
  bus.transport.publish = (...args) => (seen.push("control"), onControl(...args));
  bus.publish(logs, { n: 1 });
  bus.publish(next, { n: 1 });
  expect(seen).toEqual(["bulk", "control"]);
  const single = keep(await createBus({ transport: () => Promise.resolve(hub.connect()), lanes: "single" }));
  expect(single.bulk).toBe(single.transport);
});

test("freshness: when a kind of message was last heard", async () => {
  const clock = handClock();
  const { a, b } = await pair({ clock });
  expect(b.lastHeardMs(beat)).toBeUndefined();
  b.subscribe(beat, () => undefined);
  a.publish(beat, { id: "x", n: 1 });
  await settled(a, b);
  expect(b.lastHeardMs(beat)).toBe(1_000_000);
});
