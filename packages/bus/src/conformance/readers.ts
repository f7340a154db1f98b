import assert from "node:assert/strict";
import { saying } from "./messages.ts";
import { collector, eventsOf, eventually, fresh, gate, item, numbers, passed, ready } from "./tools.ts";
import { type Cases, need } from "./world.ts";

/** Items 36 to 38: receivers that fail or are slow. */
export const readerCases: Cases = {
  "36 a receiver that throws or rejects harms nobody, and is told once": item(async ({ bus, pair }) => {
    const [a, b] = await pair();
    const subject = fresh();
    const raw = eventsOf(b);
    const [bad, good] = [collector(), collector()];
    b.subscribe(subject, (packet) => {
      bad.receive(packet);
      throw new Error("on purpose");
    });
    b.subscribe(subject, good.receive);
    await ready(b);
    a.publish(subject, "1");
    a.publish(subject, "2");
    await passed(a, b);
    assert.deepEqual([bad.got.length, good.got.length], [2, 2]);
    assert.deepEqual(raw.map((event) => [event.type, "subject" in event && event.subject]), [["receiver_failed", subject], ["receiver_failed", subject]]);

    const handling = await bus();
    const events = eventsOf(handling);
    const said = saying();
    const seen: number[] = [];
    handling.subscribe(said, ({ body }) => {
      if (body.n === 1) throw new Error("thrown");
      return body.n === 2 ? Promise.reject(new Error("rejected")) : undefined;
    });
    handling.subscribe(said, ({ body }) => void seen.push(body.n));
    await ready(handling.transport);
    for (const n of numbers(4)) a.publish(said.subject, JSON.stringify({ n }));
    await eventually(() => seen.length === 4 && events.length === 2, "four messages and two events");
    await passed(a, handling.transport);
    assert.deepEqual(seen, numbers(4));
    assert.deepEqual(events.map((event) => (event.type === "handler_failed" ? (event.error as Error).message : event.type)), ["thrown", "rejected"]);
  }),

  "37 a slow handler holds up nobody; what waits is visible, and told once per crossing": item(async ({ bus, connect }) => {
    const handling = await bus();
    const b = await connect();
    const events = eventsOf(handling);
    const said = saying();
    let hold = gate();
    const fast: number[] = [];
    const slowly: number[] = [];
    const slow = handling.subscribe(said, async ({ body }) => {
      await hold.opened;
      slowly.push(body.n);
    }, { concurrency: 1, slowAt: 10 });
    handling.subscribe(said, ({ body }) => void fast.push(body.n));
    await ready(handling.transport);
    const burst = async (from: number): Promise<void> => {
      for (const n of numbers(50, from)) b.publish(said.subject, JSON.stringify({ n }));
      await passed(b, handling.transport);
      assert.equal(fast.length, from + 50);
      assert.deepEqual([slow.pending, slow.dropped], [49, 0]);
      const release = hold;
      hold = gate();
      release.open();
      // Those that began to wait meanwhile go too.
      await eventually(() => (hold.open(), slowly.length === from + 50), "the slow ones");
      assert.equal(slow.pending, 0);
      hold = gate();
    };
    await burst(0);
    assert.deepEqual(events.map((event) => [event.type, "pending" in event && event.pending]), [["slow_consumer", 10]]);
    await burst(50);
    assert.deepEqual(events.map(({ type }) => type), ["slow_consumer", "slow_consumer"]);
    assert.deepEqual(slowly, numbers(100));
  }),

  "37 (continued) a reader that is too slow loses the oldest, and they are counted": item(async ({ bus, connect }) => {
    const reading = await bus();
    const b = await connect();
    const said = saying();
    const slow = reading.subscribe(said, { maxPending: 10 });
    const narrow = reading.subscribe(said, { maxPendingBytes: 5 * (said.subject.length + "{\"n\":10}".length) });
    await ready(reading.transport);
    for (const n of numbers(25, 10)) b.publish(said.subject, JSON.stringify({ n }));
    await passed(b, reading.transport);
    assert.deepEqual([slow.pending, slow.dropped, narrow.pending, narrow.dropped], [10, 15, 5, 20]);
    for await (const { body } of slow) {
      assert.equal(body.n, 25);
      break;
    }
  }),

  "38 a subscription over its limit can be cut: an event, and its queue is lost": item(async ({ bus, connect }) => {
    const reading = await bus();
    const b = await connect();
    const events = eventsOf(reading);
    const said = saying();
    const slow = reading.subscribe(said, { maxPending: 10, whenFull: "cut", slowAt: 1_000 });
    const other = reading.subscribe(said);
    await ready(reading.transport);
    for (const n of numbers(25)) b.publish(said.subject, JSON.stringify({ n }));
    await passed(b, reading.transport);
    assert.equal((await slow.closed)?.code, "BUS_SLOW_CONSUMER");
    await assert.rejects(slow[Symbol.asyncIterator]().next(), { code: "BUS_SLOW_CONSUMER" });
    assert.deepEqual([slow.pending, other.pending], [0, 25]);
    assert.deepEqual(events.map((event) => [event.type, "cut" in event && event.cut]), [["slow_consumer", true]]);
  }),

  "38 (continued) a connection that does not read is cut by the carrier; what waited is lost, then it is back": item(async ({ world, pair }) => {
    const { tooManyBytes, hold, told } = need(world, "slow");
    const [a, b] = await pair();
    const subject = fresh();
    const events = eventsOf(b);
    const [slow, other] = [collector(), collector()];
    b.subscribe(subject, slow.receive);
    a.subscribe(subject, other.receive);
    await ready(a, b);
    const release = await hold(b);
    const chunk = "x".repeat(65_536);
    const count = Math.ceil(tooManyBytes / chunk.length);
    for (let n = 0; n < count; n++) {
      a.publish(subject, chunk);
      if (n % 16 === 0) await a.flush();
    }
    await other.until(count);
    await release();
    await eventually(() => b.status === "connected" && events.some(({ type }) => type === "connected"), () => `back again: ${events.map(({ type }) => type).join(", ")}`);
    await ready(b);
    assert.ok(slow.got.length < count, `${slow.got.length} of ${count} arrived`);
    a.publish(subject, "again");
    await eventually(() => slow.got.at(-1)?.text === "again", "what is said after that");
    const types = events.map(({ type }) => type);
    assert.deepEqual(types.filter((type) => type !== "slow_consumer" && type !== "error"), ["disconnected", "reconnecting", "connected"]);
    if (told) assert.deepEqual(events.filter((event) => event.type === "slow_consumer" && event.cut).length, 1);
    assert.equal(a.status, "connected");
  }),
};
