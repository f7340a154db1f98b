import assert from "node:assert/strict";
import { collector, eventually, fresh, item, numbers, passed, ready, texts } from "./tools.ts";
import type { Cases } from "./world.ts";

const sorted = (texts: readonly string[]): number[] => texts.map(Number).sort((a, b) => a - b);

/** Items 13 to 17: queue groups. */
export const groupCases: Cases = {
  "13 exactly one member of a queue group gets each packet": item(async ({ pair }) => {
    const [a, b] = await pair();
    const subject = fresh();
    const members = [collector(), collector(), collector()] as const;
    a.subscribe(subject, members[0].receive, { queue: "group" });
    b.subscribe(subject, members[1].receive, { queue: "group" });
    b.subscribe(subject, members[2].receive, { queue: "group" });
    await ready(a, b);
    for (let n = 0; n < 300; n++) a.publish(subject, String(n));
    await passed(a, a, b);
    assert.deepEqual(sorted(members.flatMap(({ got }) => texts(got))), numbers(300));
  }),

  "14 two groups and a plain subscription get three copies": item(async ({ pair }) => {
    const [a, b] = await pair();
    const subject = fresh();
    const [one, two, plain] = [collector(), collector(), collector()];
    for (const by of [a, b]) by.subscribe(subject, one.receive, { queue: "one" });
    for (const by of [a, b]) by.subscribe(subject, two.receive, { queue: "two" });
    b.subscribe(subject, plain.receive);
    await ready(a, b);
    for (let n = 0; n < 50; n++) a.publish(subject, String(n));
    await passed(a, a, b);
    for (const { got } of [one, two, plain]) assert.deepEqual(sorted(texts(got)), numbers(50));
  }),

  "15 a thousand packets spread over the members evenly enough, and not in turn": item(async ({ pair }) => {
    const [a, b] = await pair();
    const subject = fresh();
    const chosen: number[] = [];
    [a, a, b, b].forEach((by, member) => by.subscribe(subject, ({ text }) => (chosen[Number(text)] = member), { queue: "group" }));
    await ready(a, b);
    for (let n = 0; n < 1_000; n++) a.publish(subject, String(n));
    await eventually(() => chosen.filter((member) => member !== undefined).length === 1_000, "1000 packets");
    const shares = numbers(4).map((member) => chosen.filter((each) => each === member).length);
    // 250 are expected; by chance alone less than 150 happens once in 10^13 runs.
    assert.ok(shares.every((share) => share > 150), `shares ${shares.join(", ")}`);
    assert.ok(chosen.some((member, n) => n >= 4 && member !== chosen[n - 4]), "strictly in turn");
  }),

  "16 the same group on another pattern has its own packets; where patterns overlap a server goes by the name alone": item(async ({ pair }) => {
    const [a, b] = await pair();
    const root = fresh("group");
    const [one, two, star, tail] = [collector(), collector(), collector(), collector()];
    b.subscribe(`${root}.one`, one.receive, { queue: "group" });
    b.subscribe(`${root}.two`, two.receive, { queue: "group" });
    await ready(b);
    for (let n = 0; n < 20; n++) for (const name of ["one", "two"]) a.publish(`${root}.${name}`, `${name} ${n}`);
    await passed(a, b);
    assert.deepEqual([texts(one.got), texts(two.got)], [numbers(20).map((n) => `one ${n}`), numbers(20).map((n) => `two ${n}`)]);
    one.got.length = two.got.length = 0;
    b.subscribe(`${root}.*`, star.receive, { queue: "group" });
    b.subscribe(`${root}.>`, tail.receive, { queue: "other" });
    await ready(b);
    for (let n = 0; n < 200; n++) a.publish(`${root}.one`, String(n));
    await passed(a, b);
    // nats-server keeps one list of members per name for a subject, whatever pattern brought them (server/sublist.go).
    assert.deepEqual(sorted([...texts(one.got), ...texts(star.got)]), numbers(200));
    assert.ok(one.got.length > 0 && star.got.length > 0, `${one.got.length} and ${star.got.length}`);
    assert.deepEqual([two.got.length, tail.got.length], [0, 200]);
  }),

  "17 when a member leaves, nothing comes twice and everything later arrives": item(async ({ pair }) => {
    const [a, b] = await pair();
    const subject = fresh();
    const [leaving, staying] = [collector(), collector()];
    const taken = a.subscribe(subject, leaving.receive, { queue: "group" });
    b.subscribe(subject, staying.receive, { queue: "group" });
    await ready(a, b);
    for (let n = 0; n < 200; n++) b.publish(subject, String(n));
    await eventually(() => leaving.got.length > 0, "the first packet of the one that leaves");
    taken.unsubscribe();
    taken.unsubscribe();
    await passed(a, b);
    await ready(a, b);
    const atLeave = leaving.got.length;
    for (let n = 200; n < 300; n++) b.publish(subject, String(n));
    await passed(b, a, b);
    assert.equal(leaving.got.length, atLeave);
    const all = sorted([...texts(leaving.got), ...texts(staying.got)]);
    assert.equal(new Set(all).size, all.length, "something came twice");
    assert.deepEqual(all.filter((n) => n >= 200), numbers(100, 200));
  }),
};
