import assert from "node:assert/strict";
import { question, saying } from "./messages.ts";
import { awaited, collector, eventsOf, eventually, fresh, gate, item, manualClock, numbers, passed, ready, texts } from "./tools.ts";
import { type Cases, need } from "./world.ts";

/** Items 31 to 35 and 43: how things end. */
export const endingCases: Cases = {
  "31 a subscription with a maximum gets exactly so many": item(async ({ pair, bus }) => {
    const [a, b] = await pair();
    const subject = fresh();
    const [plain, member] = [collector(), collector()];
    b.subscribe(subject, plain.receive, { max: 5 });
    b.subscribe(subject, member.receive, { max: 3, queue: "group" });
    const typed = await bus();
    const said = saying(subject);
    const five = typed.subscribe(said, { max: 5 });
    await ready(b, typed.transport);
    for (let n = 0; n < 10; n++) a.publish(subject, JSON.stringify({ n }));
    await passed(a, b, typed.transport);
    assert.deepEqual([plain.got.length, member.got.length], [5, 3]);
    const seen: number[] = [];
    for await (const { body } of five) seen.push(body.n);
    assert.deepEqual(seen, numbers(5));
    // One that is used up is interest no more.
    const inbox = collector();
    const reply = fresh("inbox");
    a.subscribe(reply, inbox.receive);
    await ready(a);
    a.publish(subject, "{}", { reply });
    await inbox.until(1);
    assert.equal(inbox.got[0]?.status?.code, 503);
  }),

  "31 (continued) a reconnect does not start the count anew": item(async ({ world, pair }) => {
    const fault = need(world, "fault");
    const [a, b] = await pair();
    const subject = fresh();
    const got = collector();
    b.subscribe(subject, got.receive, { max: 5 });
    await ready(b);
    for (let n = 0; n < 2; n++) a.publish(subject, String(n));
    await got.until(2);
    await fault.disconnect(b);
    await fault.reconnect(b);
    await ready(b);
    for (let n = 2; n < 12; n++) a.publish(subject, String(n));
    await passed(a, b);
    assert.deepEqual(texts(got.got).map(Number), numbers(5));
  }),

  "32 after unsubscribe nothing new comes, what the reader has is still read; drain also takes what is on the way": item(async ({ bus, pair }) => {
    const [a, b] = await pair();
    const subject = fresh();
    const got = collector();
    const taken = b.subscribe(subject, got.receive);
    await ready(b);
    a.publish(subject, "before");
    await got.until(1);
    taken.unsubscribe();
    taken.unsubscribe();
    await ready(b);
    a.publish(subject, "after");
    await passed(a, b);
    assert.deepEqual(texts(got.got), ["before"]);

    const reading = await bus();
    const said = saying();
    const kept = reading.subscribe(said);
    await ready(reading.transport);
    for (const n of numbers(3)) a.publish(said.subject, JSON.stringify({ n }));
    await passed(a, reading.transport);
    kept[Symbol.dispose]();
    await ready(reading.transport);
    a.publish(said.subject, JSON.stringify({ n: 9 }));
    await passed(a, reading.transport);
    const seen: number[] = [];
    for await (const { body } of kept) seen.push(body.n);
    assert.deepEqual(seen, [0, 1, 2]);

    const own = fresh();
    const flying = collector();
    const draining = a.subscribe(own, flying.receive);
    await ready(a);
    for (const n of numbers(100)) a.publish(own, String(n));
    const drained = draining.drain();
    await drained;
    assert.equal(flying.got.length, 100, "drained before all had come");
    a.publish(own, "after");
    await passed(a, a);
    assert.equal(flying.got.length, 100);
  }),

  "33 draining a bus lets handlers finish and their messages leave, and takes nothing new from the start": item(async ({ bus, connect }) => {
    const working = await bus();
    const b = await connect();
    const [asked, done] = [question(), saying()];
    const finished = collector();
    const hold = gate();
    let begun = false;
    working.subscribe(asked, async ({ respond }) => {
      begun = true;
      await hold.opened;
      working.publish(done, { n: 1 });
      respond({ n: 2 });
    });
    b.subscribe(done.subject, finished.receive);
    const inbox = collector();
    const reply = fresh("inbox");
    b.subscribe(reply, inbox.receive);
    await ready(b, working.transport);
    b.publish(asked.subject, JSON.stringify({ n: 1 }), { reply });
    await eventually(() => begun, "the handler");
    let closed = false;
    const draining = working.drain().then(() => (closed = true));
    assert.throws(() => working.subscribe(asked), { code: "BUS_DRAINING" });
    await assert.rejects(working.request(asked, { n: 1 }), { code: "BUS_DRAINING" });
    await passed(b, b);
    assert.equal(closed, false, "closed under a handler at work");
    hold.open();
    await draining;
    await Promise.all([finished.until(1), inbox.until(1)]);
    assert.deepEqual([texts(inbox.got), texts(finished.got).length], [["{\"n\":2}"], 1]);
    assert.equal(working.transport.status, "closed");
  }),

  "33 (continued) a drain ends although a handler does not": item(async ({ bus, connect }) => {
    const clock = manualClock();
    const working = await bus({ clock });
    const b = await connect();
    const said = saying();
    let begun = false;
    working.subscribe(said, () => {
      begun = true;
      return new Promise(() => undefined);
    });
    await ready(working.transport);
    b.publish(said.subject, "{\"n\":1}");
    await eventually(() => begun, "the handler");
    const draining = awaited(working.drain({ timeoutMs: 5_000 }));
    await eventually(() => clock.waiting > 0, "the time of the drain");
    // Closing the connection may take its own moments of that time.
    const pushed = setInterval(() => clock.advance(5_001), 20);
    await draining;
    clearInterval(pushed);
    await working.closed;
    assert.throws(() => working.publish(said, { n: 1 }), { code: "BUS_CLOSED" });
  }),

  "34 after closing every call says so, and closed resolves": item(async ({ bus, connect }) => {
    const a = await connect();
    const events = eventsOf(a);
    const taken = a.subscribe(fresh(), () => undefined);
    await a[Symbol.asyncDispose]();
    await a[Symbol.asyncDispose]();
    assert.equal(await a.closed, undefined);
    assert.equal(a.status, "closed");
    assert.deepEqual(events.map(({ type }) => type), ["closed"]);
    const refused = { code: "BUS_CLOSED" };
    assert.throws(() => a.publish("x", "x"), refused);
    assert.throws(() => a.subscribe("x", () => undefined), refused);
    await assert.rejects(a.flush(), refused);
    taken.unsubscribe();
    await taken.drain();
    const typed = await bus();
    await typed[Symbol.asyncDispose]();
    await typed[Symbol.asyncDispose]();
    assert.equal(await typed.closed, undefined);
    const asked = question();
    assert.throws(() => typed.publish(asked, { n: 1 }), refused);
    assert.throws(() => typed.subscribe(asked), refused);
    await assert.rejects(typed.request(asked, { n: 1 }), refused);
    await assert.rejects(typed.gather(asked, { n: 1 }, { waitMs: 10 }), refused);
    await assert.rejects(typed.flush(), refused);
  }),

  "35 flush resolves when everything said before has been routed, and only then": item(async ({ pair }) => {
    const [a, b] = await pair();
    const subject = fresh();
    const got = collector();
    b.subscribe(subject, got.receive);
    await b.flush();
    for (let n = 0; n < 5_000; n++) a.publish(subject, String(n));
    await a.flush();
    await b.flush();
    assert.equal(got.got.length, 5_000);
    await assert.rejects(a.flush(AbortSignal.abort(new Error("enough"))), /enough/);
  }),

  "43 the time for the first message runs out once, and ends with the first message": item(async ({ bus, connect }) => {
    const clock = manualClock();
    const listening = await bus({ clock });
    const b = await connect();
    const said = saying();
    const before = clock.waiting;
    const silent = listening.subscribe(saying(), { firstWithinMs: 1_000 });
    const heard = listening.subscribe(said, { firstWithinMs: 1_000 });
    const left = listening.subscribe(saying(), { firstWithinMs: 1_000 });
    assert.equal(clock.waiting, before + 3);
    left[Symbol.dispose]();
    await ready(listening.transport);
    clock.advance(900);
    b.publish(said.subject, "{\"n\":1}");
    await eventually(() => heard.pending === 1, "the first message");
    clock.advance(200);
    assert.equal((await silent.closed)?.code, "BUS_TIMEOUT");
    await assert.rejects(silent[Symbol.asyncIterator]().next(), { code: "BUS_TIMEOUT" });
    assert.equal(await left.closed, undefined);
    assert.equal(clock.waiting, before, "timers left");
    clock.advance(10_000);
    b.publish(said.subject, "{\"n\":2}");
    await eventually(() => heard.pending === 2, "the second message");
  }),
};
