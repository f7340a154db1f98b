import assert from "node:assert/strict";
import { collector, eventsOf, eventually, item, passed, ready, texts } from "./tools.ts";
import { type Cases, need } from "./world.ts";

/** Item 45: who may do what. */
export const rightsCases: Cases = {
  "45 who publishes or subscribes without a right gets the same typed event, and nothing else happens": item(async ({ world, connect }) => {
    need(world, "users");
    const [free, limited] = [await connect(), await connect({ user: "limited" })];
    const events = eventsOf(limited);
    const [heard, mine] = [collector(), collector()];
    free.subscribe("rights.>", heard.receive);
    free.subscribe("other", heard.receive);
    limited.subscribe("rights.>", mine.receive);
    await ready(free, limited);
    const inbox = collector();
    limited.subscribe("_INBOX.rights", inbox.receive);
    assert.equal(limited.publish("rights.open.a", "may"), true);
    assert.equal(limited.publish("rights.open.secret", "denied", { reply: "_INBOX.rights" }), true);
    assert.equal(limited.publish("other", "not allowed"), true);
    limited.subscribe("other", mine.receive);
    limited.subscribe("rights.hidden.x", mine.receive);
    limited.subscribe("rights.hidden.*", mine.receive);
    limited.subscribe(">", mine.receive);
    await eventually(() => events.length >= 6, () => `6 events, not ${events.length}`);
    for (const subject of ["rights.seen", "rights.hidden.x", "other"]) free.publish(subject, subject);
    await passed(free, free);
    await ready(limited);
    free.publish("rights.last", "last");
    await eventually(() => texts(mine.got).includes("last") && texts(heard.got).includes("last"), "the last one");
    assert.deepEqual(texts(heard.got).sort(), ["last", "may", "other", "rights.hidden.x", "rights.seen"]);
    assert.deepEqual(texts(mine.got).sort(), ["last", "may", "rights.seen"]);
    assert.equal(inbox.got.length, 0, "a refusal is not `nobody listens`");
    assert.ok(events.every((event) => event.type === "error" && event.error.code === "BUS_FORBIDDEN"), "BUS_FORBIDDEN");
    const told = events.map((event) => (event.type === "error" ? `${event.operation ?? ""} ${event.subject ?? ""}` : event.type)).sort();
    assert.deepEqual(told, ["publish other", "publish rights.open.secret", "subscribe >", "subscribe other", "subscribe rights.hidden.*", "subscribe rights.hidden.x"]);
    assert.equal(limited.status, "connected");
  }),

  "45 (continued) who may only answer, answers what it was asked, once": item(async ({ world, connect }) => {
    need(world, "users");
    const [free, answering] = [await connect(), await connect({ user: "answering" })];
    const events = eventsOf(answering);
    const inbox = collector();
    free.subscribe("_INBOX.asked", inbox.receive);
    answering.subscribe("rights.ask", ({ reply = "" }) => {
      answering.publish(reply, "first");
      answering.publish(reply, "second");
    });
    await ready(free, answering);
    answering.publish("_INBOX.asked", "unasked");
    await eventually(() => events.length === 1, "the first refusal");
    free.publish("rights.ask", "?", { reply: "_INBOX.asked" });
    await inbox.until(1);
    await eventually(() => events.length === 2, "the second refusal");
    await ready(answering, free);
    assert.deepEqual(texts(inbox.got), ["first"]);
    assert.deepEqual(events.map((event) => event.type === "error" && [event.error.code, event.operation, event.subject]), [
      ["BUS_FORBIDDEN", "publish", "_INBOX.asked"], ["BUS_FORBIDDEN", "publish", "_INBOX.asked"],
    ]);
  }),

  "45 (continued) a right may be that of one queue group alone": item(async ({ world, connect }) => {
    need(world, "users");
    const [free, worker] = [await connect(), await connect({ user: "worker" })];
    const events = eventsOf(worker);
    const [member, others] = [collector(), collector()];
    worker.subscribe("rights.work", member.receive, { queue: "pool" });
    worker.subscribe("rights.work", others.receive, { queue: "other" });
    worker.subscribe("rights.work", others.receive);
    await eventually(() => events.length === 2, "two refusals");
    free.publish("rights.work", "1");
    await member.until(1);
    await free.flush();
    await worker.flush();
    assert.deepEqual([member.got.length, others.got.length], [1, 0]);
    assert.deepEqual(events.map((event) => event.type === "error" && [event.error.code, event.operation, event.subject]), [
      ["BUS_FORBIDDEN", "subscribe", "rights.work"], ["BUS_FORBIDDEN", "subscribe", "rights.work"],
    ]);
  }),

  "45 (continued) rights hold after a reconnect too": item(async ({ world, connect }) => {
    need(world, "users");
    const fault = need(world, "fault");
    const [free, limited] = [await connect(), await connect({ user: "limited" })];
    const mine = collector();
    limited.subscribe("rights.again", mine.receive);
    await ready(limited);
    await fault.disconnect(limited);
    await fault.reconnect(limited);
    await ready(limited);
    const events = eventsOf(limited);
    limited.publish("other", "not allowed");
    free.publish("rights.again", "heard");
    await mine.until(1);
    await eventually(() => events.some((event) => event.type === "error" && event.error.code === "BUS_FORBIDDEN"), "the refusal");
  }),
};
