import assert from "node:assert/strict";
import { buffer, drop, latestPerKey } from "../policy.ts";
import { question, saying } from "./messages.ts";
import { collector, eventsOf, eventually, fresh, item, numbers, passed, ready, texts } from "./tools.ts";
import { type Cases, need } from "./world.ts";

/** Items 39 to 42 and 46: the way is cut, or the server asks to move. */
export const faultCases: Cases = {
  "39 a cut is told as disconnected, reconnecting, connected, and every subscription and group is there again": item(async ({ world, pair }) => {
    const fault = need(world, "fault");
    const [a, b] = await pair();
    const root = fresh("cut");
    const events = eventsOf(b);
    const [plain, wild, group, ended, late] = [collector(), collector(), collector(), collector(), collector()];
    b.subscribe(`${root}.x`, plain.receive);
    b.subscribe(`${root}.>`, wild.receive);
    b.subscribe(`${root}.x`, group.receive, { queue: "group" });
    b.subscribe(`${root}.x`, group.receive, { queue: "group" });
    const gone = b.subscribe(`${root}.x`, ended.receive);
    await ready(b);
    await fault.disconnect(b);
    assert.equal(b.status, "disconnected");
    await assert.rejects(b.flush(), { code: "BUS_DISCONNECTED" });
    gone.unsubscribe();
    b.subscribe(`${root}.x`, late.receive);
    assert.equal(b.publish(`${root}.x`, "lost"), false);
    await fault.reconnect(b);
    assert.equal(b.status, "connected");
    await ready(b);
    a.publish(`${root}.x`, "1");
    a.publish(`${root}.x`, "2");
    await passed(a, b);
    for (const { got } of [plain, wild, group, late]) assert.deepEqual(texts(got), ["1", "2"]);
    assert.equal(ended.got.length, 0);
    assert.deepEqual(events.map(({ type }) => type), ["disconnected", "reconnecting", "connected"]);
  }),

  "39 (continued) a flush that is under way fails with the cut": item(async ({ world, connect }) => {
    const fault = need(world, "fault");
    const a = await connect();
    const flushing = new Set(numbers(3).map(() => a.flush().then(() => "routed", (error: { code?: string }) => error.code)));
    await fault.disconnect(a);
    for (const outcome of await Promise.all(flushing)) assert.ok(outcome === "routed" || outcome === "BUS_DISCONNECTED", outcome);
    await fault.reconnect(a);
    await a.flush();
  }),

  "40 what others say meanwhile is lost for the one that is cut": item(async ({ world, pair }) => {
    const fault = need(world, "fault");
    const [a, b] = await pair();
    const subject = fresh();
    const [cut, kept] = [collector(), collector()];
    b.subscribe(subject, cut.receive);
    a.subscribe(subject, kept.receive);
    await ready(a, b);
    a.publish(subject, "before");
    await passed(a, a, b);
    await fault.disconnect(b);
    a.publish(subject, "meanwhile");
    await passed(a, a);
    await fault.reconnect(b);
    await ready(b);
    a.publish(subject, "after");
    await passed(a, a, b);
    assert.deepEqual([texts(cut.got), texts(kept.got)], [["before", "after"], ["before", "meanwhile", "after"]]);
  }),

  "41 what one says oneself meanwhile goes by the policy of the message": item(async ({ world, bus, connect }) => {
    const fault = need(world, "fault");
    const speaking = await bus({ resumeAfterMs: 20 });
    const b = await connect();
    const root = fresh("policy");
    const [dropped, latest, kept, aged] = [
      saying(`${root}.drop`, { onDisconnect: drop }), saying(`${root}.latest`, { onDisconnect: latestPerKey("key") }),
      saying(`${root}.buffer`, { onDisconnect: buffer(3, 60_000) }), saying(`${root}.aged`, { onDisconnect: buffer(3, 1) }),
    ];
    const got = collector();
    b.subscribe(`${root}.>`, got.receive);
    await ready(b);
    const heard = (): string[] => got.got.map(({ subject, text }) => {
      const { n, key } = JSON.parse(text) as { n: number; key?: string };
      return `${subject.slice(root.length + 1)} ${key ?? ""}${n}`;
    });
    for (const round of [1, 2]) {
      got.got.length = 0;
      await fault.disconnect(speaking.transport);
      for (const n of numbers(5)) {
        speaking.publish(dropped, { n });
        speaking.publish(latest, { n, key: n % 2 === 0 ? "even" : "odd" });
        speaking.publish(kept, { n });
        speaking.publish(aged, { n });
      }
      await new Promise((done) => setTimeout(done, 30));
      await fault.reconnect(speaking.transport);
      await eventually(() => got.got.length >= 5, () => `round ${round}: ${heard().join(", ")}`);
      await eventually(() => speaking.pendingOut === 0, "nothing kept back");
      speaking.publish(dropped, { n: 99 });
      await eventually(() => heard().includes("drop 99"), "what is said afterwards");
      assert.deepEqual(heard().filter((text) => text.startsWith("buffer")), ["buffer 2", "buffer 3", "buffer 4"]);
      assert.deepEqual(heard().filter((text) => text.startsWith("latest")).sort(), ["latest even4", "latest odd3"]);
      assert.deepEqual(heard().filter((text) => /^(drop|aged)/.test(text)), ["drop 99"]);
      assert.equal(speaking.counters.get(`${root}.drop dropped_while_disconnected`), 5 * round);
    }
  }),

  "42 requests that are under way fail with the cut, not with their time": item(async ({ world, bus, connect }) => {
    const fault = need(world, "fault");
    const asking = await bus();
    const b = await connect();
    const asked = question();
    const heard = collector();
    b.subscribe(asked.subject, heard.receive);
    await ready(b);
    const from = performance.now();
    const waiting = [false, true].map((ownInbox) => asking.request(asked, { n: 1 }, { timeoutMs: 60_000, ownInbox }).catch((error: { code?: string }) => error.code));
    await heard.until(2);
    await fault.disconnect(asking.transport);
    assert.deepEqual(await Promise.all(waiting), ["BUS_DISCONNECTED", "BUS_DISCONNECTED"]);
    await assert.rejects(asking.request(asked, { n: 1 }, { timeoutMs: 60_000 }), { code: "BUS_DISCONNECTED" });
    assert.ok(performance.now() - from < 20_000);
    await fault.reconnect(asking.transport);
    b.subscribe(asked.subject, ({ reply = "" }) => void b.publish(reply, "{\"n\":1}"));
    await ready(b, asking.transport);
    assert.equal((await asking.request(asked, { n: 1 })).n, 1);
  }),

  "46 a server that is about to stop says so; its clients move, and nothing is lost": item(async ({ world }) => {
    if (!world.lameDuck) need(world, "lameDuck");
    await using scene = await (world.lameDuck as NonNullable<typeof world.lameDuck>)();
    const { moving, staying } = scene;
    const root = fresh("move");
    const events = eventsOf(moving);
    const [work, out] = [new Map<string, number>(), new Map<string, number>()];
    const all = collector();
    const count = (into: Map<string, number>) => ({ text }: { text: string }) => void into.set(text, (into.get(text) ?? 0) + 1);
    moving.subscribe(`${root}.in`, count(work), { queue: "workers" });
    staying.subscribe(`${root}.in`, count(work), { queue: "workers" });
    moving.subscribe(`${root}.in`, all.receive);
    staying.subscribe(`${root}.out`, count(out));
    await ready(moving, staying);
    await passed(moving, staying);
    await passed(staying, moving);
    let said = 0;
    let refused = 0;
    const say = (): void => {
      staying.publish(`${root}.in`, String(said));
      // Who moves may be between two servers: what it could not say is its own to say again.
      if (!moving.publish(`${root}.out`, String(said))) refused++;
      said++;
    };
    const talking = setInterval(say, 2);
    try {
      await eventually(() => said >= 20, "some talk");
      await scene.begin();
      await eventually(() => events.some(({ type }) => type === "lame_duck"), "the event");
      await scene.left();
      await eventually(() => moving.status === "connected", "a connection that stands");
      const moved = said;
      await eventually(() => said >= moved + 20, "some talk after the move");
    } finally {
      clearInterval(talking);
    }
    await ready(moving, staying);
    await eventually(() => work.size === said && all.got.length >= said && out.size === said - refused, () => `of ${said} packets ${work.size} came in and ${out.size} out, ${refused} were refused`);
    await passed(moving, staying);
    assert.ok([...work.values(), ...out.values()].every((times) => times === 1), "something came twice");
    assert.deepEqual(texts(all.got).map(Number), numbers(said));
    assert.equal(moving.status, "connected");
  }),
};
