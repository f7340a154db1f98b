import assert from "node:assert/strict";
import { collector, eventsOf, fresh, item, passed, ready, texts } from "./tools.ts";
import type { Cases } from "./world.ts";

/** Items 1 to 7: who gets what. */
export const subjectCases: Cases = {
  "1 publishing with nobody listening returns normally and reports nothing": item(async ({ pair }) => {
    const [a, b] = await pair();
    const events = eventsOf(a);
    assert.equal(a.publish(fresh("nobody"), "x"), true);
    await a.flush();
    await passed(a, a, b);
    assert.deepEqual(events, []);
  }),

  "2 an exact subject gives one copy to each subscription": item(async ({ pair }) => {
    const [a, b] = await pair();
    const subject = fresh();
    const all = [collector(), collector(), collector()] as const;
    a.subscribe(subject, all[0].receive);
    b.subscribe(subject, all[1].receive);
    b.subscribe(subject, all[2].receive);
    await ready(a, b);
    a.publish(subject, "hello");
    await Promise.all(all.map((each) => each.until(1)));
    await passed(a, a, b);
    assert.deepEqual(all.map(({ got }) => texts(got)), [["hello"], ["hello"], ["hello"]]);
    assert.equal(all[1].got[0]?.subject, subject);
  }),

  "3 * is exactly one token": item(async ({ pair }) => {
    const [a, b] = await pair();
    const root = fresh("star");
    const star = collector();
    b.subscribe(`${root}.*.c`, star.receive);
    b.subscribe(`${root}.*`, star.receive);
    await ready(b);
    for (const tail of ["", ".c", ".b.c", ".b.b.c", ".b.c.d"]) a.publish(root + tail, tail);
    await passed(a, b);
    assert.deepEqual(texts(star.got), [".c", ".b.c"]);
  }),

  "4 > is one token or more, never none": item(async ({ pair }) => {
    const [a, b] = await pair();
    const root = fresh("tail");
    const tail = collector();
    b.subscribe(`${root}.>`, tail.receive);
    await ready(b);
    for (const end of ["", ".b", ".b.c", ".b.c.d.e"]) a.publish(root + end, end);
    await passed(a, b);
    assert.deepEqual(texts(tail.got), [".b", ".b.c", ".b.c.d.e"]);
  }),

  "5 several patterns of one connection each get the packet; case matters": item(async ({ pair }) => {
    const [a, b] = await pair();
    const root = fresh("a");
    const [star, tail, upper] = [collector(), collector(), collector()];
    b.subscribe(`${root}.*.c`, star.receive);
    b.subscribe(`${root}.>`, tail.receive);
    b.subscribe(`${root.toUpperCase()}.>`, upper.receive);
    await ready(b);
    a.publish(`${root}.b.c`, "1");
    a.publish(`${root}.B.C`, "2");
    await passed(a, b);
    assert.deepEqual([texts(star.got), texts(tail.got), texts(upper.got)], [["1"], ["1", "2"], []]);
  }),

  "6 malformed subjects are refused in the caller": item(async ({ pair }) => {
    const [a, b] = await pair();
    const subject = fresh();
    const refused = { code: "BUS_INVALID_SUBJECT" };
    for (const bad of ["", " ", "a b", "a\tb", "a\r\nPUB x 0", "a\nb", ".a", "a.", "a..b"]) {
      assert.throws(() => a.publish(bad, "x"), refused, JSON.stringify(bad));
      assert.throws(() => a.publish(subject, "x", { reply: bad }), refused, `reply ${JSON.stringify(bad)}`);
      assert.throws(() => a.subscribe(bad, () => undefined), refused, JSON.stringify(bad));
    }
    assert.throws(() => a.subscribe("a.>.b", () => undefined), refused);
    const got = collector();
    b.subscribe(subject, got.receive);
    await ready(a, b);
    a.publish(subject, "still alive");
    await passed(a, b);
    assert.deepEqual(texts(got.got), ["still alive"]);
  }),

  "7 a wildcard in a published subject is an ordinary token": item(async ({ pair }) => {
    const [a, b] = await pair();
    const root = fresh("literal");
    const [exact, star] = [collector(), collector()];
    b.subscribe(`${root}.b`, exact.receive);
    b.subscribe(`${root}.b.c`, exact.receive);
    b.subscribe(`${root}.*`, star.receive);
    await ready(b);
    a.publish(`${root}.*`, "star");
    a.publish(`${root}.>`, "tail");
    a.publish(`${root}.b`, "b");
    await passed(a, b);
    assert.deepEqual(texts(exact.got), ["b"]);
    assert.deepEqual(star.got.map((packet) => [packet.subject, packet.text]), [[`${root}.*`, "star"], [`${root}.>`, "tail"], [`${root}.b`, "b"]]);
  }),
};
