import assert from "node:assert/strict";
import type { Transport } from "../transport.ts";
import { question } from "./messages.ts";
import { collector, eventsOf, eventually, fresh, item, manualClock, numbers, passed, ready } from "./tools.ts";
import type { Cases } from "./world.ts";

/** Listeners that each answer with their number. */
const answering = async (by: Transport, subject: string, count: number): Promise<void> => {
  for (let n = 0; n < count; n++) by.subscribe(subject, ({ reply = "" }) => void by.publish(reply, JSON.stringify({ n })));
  await ready(by);
};

/** Items 23 to 27: one question to everybody. */
export const gatherCases: Cases = {
  "23 a gather ends with as many answers as were asked for; the rest is dropped": item(async ({ bus, connect }) => {
    const asking = await bus();
    const b = await connect();
    const asked = question();
    const events = eventsOf(asking);
    await answering(b, asked.subject, 5);
    for (const ownInbox of [false, true]) {
      const from = performance.now();
      const answers = await asking.gather(asked, { n: 0 }, { waitMs: 60_000, max: 3, ownInbox });
      assert.equal(new Set(answers.map(({ n }) => n)).size, 3);
      assert.equal(answers.length, 3);
      assert.ok(performance.now() - from < 10_000);
      await passed(b, asking.transport);
    }
    assert.deepEqual([events, [...asking.counters]], [[], []]);
  }),

  "24 a gather ends at its time with the answers that came, without an error": item(async ({ bus, connect }) => {
    const asking = await bus();
    const b = await connect();
    const asked = question();
    await answering(b, asked.subject, 2);
    const from = performance.now();
    assert.deepEqual((await asking.gather(asked, { n: 0 }, { waitMs: 400, max: 3 })).map(({ n }) => n).sort(), [0, 1]);
    assert.ok(performance.now() - from >= 380, "too early");
    assert.deepEqual(await asking.gather(question(), { n: 0 }, { waitMs: 60_000 }), [], "nobody there is known at once");
  }),

  "25 a gather ends when the answers stall, with a shared inbox and with its own": item(async ({ bus, connect }) => {
    const asking = await bus();
    const b = await connect();
    const asked = question();
    await answering(b, asked.subject, 3);
    for (const ownInbox of [false, true]) {
      const from = performance.now();
      assert.deepEqual((await asking.gather(asked, { n: 0 }, { waitMs: 60_000, stallMs: 500, ownInbox })).map(({ n }) => n).sort(), [0, 1, 2]);
      const took = performance.now() - from;
      assert.ok(took >= 450 && took < 20_000, `${took} ms`);
    }
  }),

  "26 a gather ends at an empty answer, which is not data": item(async ({ bus, connect }) => {
    const asking = await bus();
    const b = await connect();
    const asked = question();
    b.subscribe(asked.subject, ({ reply = "" }) => ["{\"n\":1}", "{\"n\":2}", "", "{\"n\":3}"].forEach((answer) => b.publish(reply, answer)));
    await ready(b);
    for (const ownInbox of [false, true])
      assert.deepEqual((await asking.gather(asked, { n: 0 }, { waitMs: 60_000, sentinel: true, ownInbox })).map(({ n }) => n), [1, 2]);
    assert.deepEqual([...asking.counters], []);
  }),

  "27 leaving the loop of answers ends its timers and its inbox": item(async ({ bus, connect }) => {
    const clock = manualClock();
    const asking = await bus({ clock });
    const b = await connect();
    const asked = question();
    const heard = collector();
    b.subscribe(asked.subject, (packet) => {
      heard.receive(packet);
      for (const n of numbers(3)) b.publish(packet.reply ?? "", JSON.stringify({ n }));
    });
    await ready(b);
    const before = clock.waiting;
    for (const ownInbox of [false, true]) {
      const seen: number[] = [];
      for await (const { n } of asking.answers(asked, { n: 0 }, { waitMs: 60_000, stallMs: 30_000, ownInbox })) if (seen.push(n) === 2) break;
      assert.deepEqual(seen, [0, 1]);
      assert.equal(clock.waiting, before, "timers left");
    }
    await asking.flush();
    // Its own inbox is gone: who writes there is told that nobody listens.
    const told = collector();
    const reply = fresh("told");
    b.subscribe(reply, told.receive);
    await ready(b);
    b.publish(heard.got[1]?.reply ?? "", "late", { reply });
    await eventually(() => told.got[0]?.status?.code === 503, "nobody listens there");
    // The shared one knows the late answer no more.
    b.publish(heard.got[0]?.reply ?? "", "late");
    await passed(b, asking.transport);
    assert.deepEqual([...asking.counters], []);
  }),
};
