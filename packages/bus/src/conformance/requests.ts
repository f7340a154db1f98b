import assert from "node:assert/strict";
import { question } from "./messages.ts";
import { awaited, collector, eventsOf, eventually, fresh, item, manualClock, passed, ready } from "./tools.ts";
import type { Cases } from "./world.ts";

/** Items 19 to 22, 28 to 30: one question, its answers and its inbox. */
export const requestCases: Cases = {
  "19 a request takes the first answer; later ones are dropped without a word": item(async ({ bus, connect }) => {
    const asking = await bus();
    const b = await connect();
    const asked = question();
    const events = eventsOf(asking);
    b.subscribe(asked.subject, ({ reply = "" }) => [1, 2, 3].forEach((n) => b.publish(reply, JSON.stringify({ n }))));
    await ready(b);
    for (const ownInbox of [false, true]) {
      assert.equal((await asking.request(asked, { n: 0 }, { ownInbox })).n, 1);
      await passed(b, asking.transport);
      assert.equal((await asking.request(asked, { n: 0 }, { ownInbox })).n, 1, "an answer of the one before");
    }
    assert.deepEqual([events, [...asking.counters]], [[], []]);
  }),

  "20 a request that nobody answers ends at its time, with BUS_TIMEOUT": item(async ({ bus, connect }) => {
    const clock = manualClock();
    const [asking, timed] = [await bus({ clock }), await bus()];
    const b = await connect();
    const asked = question();
    const heard = collector();
    b.subscribe(asked.subject, heard.receive);
    await ready(b);
    const ended: { code?: string; retryable?: boolean }[] = [];
    const request = asking.request(asked, { n: 1 }, { timeoutMs: 10_000 }).catch((error: object) => void ended.push(error));
    await heard.until(1);
    clock.advance(9_000);
    await new Promise(setImmediate);
    assert.deepEqual(ended, []);
    clock.advance(2_000);
    await request;
    assert.deepEqual(ended.map(({ code, retryable }) => [code, retryable]), [["BUS_TIMEOUT", true]]);
    // By the real clock, the best of three: other things happen on a machine too.
    const took: number[] = [];
    for (let n = 0; n < 3 && !took.some((ms) => ms < 550); n++) {
      const from = performance.now();
      await assert.rejects(timed.request(asked, { n: 1 }, { timeoutMs: 500 }), { code: "BUS_TIMEOUT" });
      took.push(performance.now() - from);
    }
    assert.ok(took.every((ms) => ms >= 450) && Math.min(...took) <= 550, `500 ms took ${took.map(Math.round).join(", ")} ms`);
  }),

  "21 no interest is told long before the time is over; the asker's own subscription is interest": item(async ({ bus, connect }) => {
    const asking = await bus();
    const asked = question();
    const from = performance.now();
    for (const ownInbox of [false, true])
      await assert.rejects(asking.request(asked, { n: 1 }, { timeoutMs: 60_000, ownInbox }), { code: "BUS_NO_RESPONDERS" });
    assert.ok(performance.now() - from < 10_000);
    using own = asking.subscribe(asked, ({ respond }) => respond({ n: 7 }));
    assert.equal((await asking.request(asked, { n: 1 })).n, 7);
    void own;
    // Only the asker is told.
    const [a, b] = [await connect(), await connect()];
    const reply = fresh("inbox");
    const [mine, others] = [collector(), collector()];
    a.subscribe(reply, mine.receive);
    b.subscribe(reply, others.receive);
    await ready(a, b);
    a.publish(fresh("void"), "?", { reply });
    await mine.until(1);
    await passed(a, a, b);
    assert.deepEqual([mine.got.map(({ status }) => status?.code), others.got.length], [[503], 0]);
  }),

  "22 a listener in a queue group is interest": item(async ({ bus, connect }) => {
    const asking = await bus();
    const b = await connect();
    const asked = question();
    b.subscribe(asked.subject, ({ reply = "" }) => void b.publish(reply, JSON.stringify({ n: 2 })), { queue: "group" });
    await ready(b);
    assert.equal((await asking.request(asked, { n: 1 })).n, 2);
  }),

  "28 inboxes are unique; their prefix is a matter of choice, without wildcards": item(async ({ world, bus, connect }) => {
    const mine = await connect({ inboxPrefix: "_MINE.of" });
    const [asking, other] = [await bus({ transport: mine }), await bus()];
    const b = await connect();
    const asked = question();
    const inboxes: string[] = [];
    b.subscribe(asked.subject, ({ reply = "" }) => {
      inboxes.push(reply);
      b.publish(reply, JSON.stringify({ n: 1 }));
    });
    await ready(b);
    for (let n = 0; n < 100; n++)
      await Promise.all([asking, other].flatMap((each) => [false, true].map((ownInbox) => each.request(asked, { n }, { ownInbox }))));
    assert.equal(new Set(inboxes).size, 400);
    assert.deepEqual([mine.inboxPrefix, other.transport.inboxPrefix], ["_MINE.of", "_INBOX"]);
    assert.deepEqual([inboxes.filter((each) => each.startsWith("_MINE.of.")).length, inboxes.filter((each) => each.startsWith("_INBOX.")).length], [200, 200]);
    for (const inboxPrefix of ["_X.*", "*", "_X.>", ">", "", "a b", "a."])
      await assert.rejects(async () => world.connect({ inboxPrefix }), { code: "BUS_INVALID_SUBJECT" }, inboxPrefix);
  }),

  "29 respond() to what wants no answer returns false": item(async ({ bus }) => {
    const [a, b] = [await bus(), await bus()];
    const asked = question();
    const said: boolean[] = [];
    b.subscribe(asked, ({ respond, body }) => void said.push(respond({ n: body.n })));
    await ready(b.transport);
    a.publish(asked, { n: 1 });
    await eventually(() => said.length === 1, "the handler");
    assert.equal((await a.request(asked, { n: 2 })).n, 2);
    assert.deepEqual(said, [false, true]);
  }),

  "30 several answers on one inbox come in order, and the time starts anew with each": item(async ({ bus, pair }) => {
    const [a, b] = await pair();
    const clock = manualClock();
    const asking = await bus({ clock });
    const asked = question();
    const heard = collector();
    b.subscribe(asked.subject, heard.receive);
    await ready(b);
    const replies = asking.replies(asked, { n: 0 }, { timeoutMs: 1_000 });
    for (const n of [1, 2, 3]) {
      const next = awaited(replies.next());
      await heard.until(1);
      await eventually(() => clock.waiting > 0, "the time of the next answer");
      clock.advance(900);
      b.publish(heard.got[0]?.reply ?? "", JSON.stringify({ n }));
      assert.equal((await next).value?.n, n);
    }
    const last = awaited(assert.rejects(replies.next(), { code: "BUS_TIMEOUT" }));
    await eventually(() => clock.waiting > 0, "the time of the last answer");
    clock.advance(1_001);
    await last;
    assert.equal(clock.waiting, 0);
    // As a stager does it, by hand.
    const inbox = collector();
    const reply = fresh("inbox");
    a.subscribe(reply, inbox.receive);
    await ready(a);
    a.publish(asked.subject, "{}", { reply });
    await heard.until(2);
    b.publish(reply, "started");
    b.publish(reply, "done");
    await inbox.until(2);
    assert.deepEqual(inbox.got.map(({ text }) => text), ["started", "done"]);
  }),
};
