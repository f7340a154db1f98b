import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createMemoryHub, isPattern, isSubject, matches, type Transport, type TransportEvent } from "@opencf/bus";
import { permissionsFor } from "@opencf/bus/permissions";
import { isWithin, overlap } from "../src/memory/rights.ts";

const record = (transport: Transport): TransportEvent[] => {
  const events: TransportEvent[] = [];
  transport.on((event) => events.push(event));
  return events;
};
const token = fc.constantFrom("a", "b", "c");
const subject = fc.array(token, { minLength: 1, maxLength: 4 }).map((tokens) => tokens.join("."));
const pattern = fc.tuple(fc.array(fc.constantFrom("a", "b", "*"), { maxLength: 3 }), fc.constantFrom("a", "*", ">")).map(([tokens, last]) => [...tokens, last].join("."));

describe("routing", () => {
  test("whatever comes and goes, a packet reaches exactly those whose pattern takes its subject", async () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant("subscribe" as const), pattern, queue: fc.option(fc.constantFrom("q", "r"), { nil: undefined }) }),
      fc.record({ kind: fc.constant("unsubscribe" as const), at: fc.nat(20) }),
      fc.record({ kind: fc.constant("publish" as const), subject }),
    );
    await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const hub = createMemoryHub();
      await using transport = hub.connect();
      const there: { id: number; pattern: string; queue: string | undefined; unsubscribe(): void }[] = [];
      const got: string[] = [];
      for (const [id, each] of steps.entries()) {
        if (each.kind === "subscribe") {
          const { queue } = each;
          const taken = transport.subscribe(each.pattern, () => got.push(queue ?? `plain ${id}`), queue === undefined ? {} : { queue });
          there.push({ id, pattern: each.pattern, queue, unsubscribe: () => taken.unsubscribe() });
        } else if (each.kind === "unsubscribe") there.splice(each.at % Math.max(1, there.length), 1)[0]?.unsubscribe();
        else {
          transport.publish(each.subject, "x");
          await transport.flush();
          const reached = there.filter((one) => matches(one.pattern, each.subject));
          const plain = reached.flatMap((one) => (one.queue === undefined ? [`plain ${one.id}`] : []));
          const groups = [...new Set(reached.flatMap((one) => one.queue ?? []))];
          expect(got.splice(0).sort()).toEqual([...plain, ...groups].sort());
        }
      }
    }), { numRuns: 150 });
  });

  test("many subjects are not remembered for ever, and are still found", async () => {
    const hub = createMemoryHub();
    await using transport = hub.connect();
    let count = 0;
    transport.subscribe("many.*", () => count++);
    for (let n = 0; n < 20_000; n++) transport.publish(`many.${n}`, "");
    transport.publish("many.0", "");
    await transport.flush();
    expect(count).toBe(20_001);
  });

  test("a busy bus lets timers and sockets have their turn", async () => {
    const hub = createMemoryHub();
    await using transport = hub.connect();
    let seen = 0;
    let stop = false;
    // It never becomes idle, and each turn of it is long.
    transport.subscribe("busy", () => {
      for (const end = performance.now() + 0.05; performance.now() < end; );
      seen++;
      if (!stop) transport.publish("busy", "");
    });
    for (let n = 0; n < 5_000; n++) transport.publish("busy", "");
    await new Promise((done) => setTimeout(done, 20));
    stop = true;
    expect(seen).toBeGreaterThan(0);
    expect(seen).toBeLessThan(5_000);
  });
});

describe("permissions", () => {
  test("a pattern within another takes no subject that the other does not take; what overlaps shares one", () => {
    fc.assert(fc.property(pattern, pattern, fc.array(subject, { minLength: 30, maxLength: 60 }), (one, two, subjects) => {
      const both = subjects.filter((each) => matches(one, each) && matches(two, each));
      if (isWithin(one, two)) expect(subjects.filter((each) => matches(one, each))).toEqual(both);
      if (both.length > 0) expect(overlap(one, two)).toBe(true);
      expect(overlap(one, two)).toBe(overlap(two, one));
      expect(isWithin(one, ">") && isWithin(one, one)).toBe(true);
    }));
  });

  test("who is not known may not connect", () => {
    const hub = createMemoryHub({ users: { router: {} } });
    for (const user of [undefined, "nobody", "constructor"])
      expect(() => hub.connect(user === undefined ? {} : { user })).toThrow(expect.objectContaining({ code: "BUS_UNAUTHORIZED" }));
    expect(hub.connect({ user: "router" }).status).toBe("connected");
  });

  test("a wide subscription does not show what is denied, nor does the right to answer last for ever", async () => {
    let nowMs = 0;
    const clock = { now: () => nowMs, after: () => ({ [Symbol.dispose]: () => undefined }) };
    const hub = createMemoryHub({
      clock,
      users: { all: {}, some: { subscribe: { deny: ["secret.>"] }, publish: { allow: [] }, allowResponses: { max: 2, expiresMs: 1_000 } } },
    });
    const [all, some] = [hub.connect({ user: "all" }), hub.connect({ user: "some" })];
    const events = record(some);
    const [seen, answers]: [string[], string[]] = [[], []];
    some.subscribe(">", ({ subject: at }) => seen.push(at));
    all.subscribe("inbox", ({ text }) => answers.push(text));
    all.publish("secret.a", "", { reply: "inbox" });
    all.publish("open.a", "", { reply: "inbox" });
    await all.flush();
    expect(seen).toEqual(["open.a"]);
    for (const text of ["1", "2", "3"]) some.publish("inbox", text);
    all.publish("open.b", "", { reply: "inbox" });
    await all.flush();
    nowMs = 1_001;
    some.publish("inbox", "late");
    await all.flush();
    await expect.poll(() => events.length).toBe(2);
    expect(answers.filter((text) => text !== "")).toEqual(["1", "2"]);
  });
});

describe("connections", () => {
  test("one that is cut for waiting too much comes back by the clock of the hub", async () => {
    const timers: [number, () => void][] = [];
    const clock = { now: () => 0, after: (ms: number, run: () => void) => (timers.push([ms, run]), { [Symbol.dispose]: () => undefined }) };
    const hub = createMemoryHub({ clock, maxPendingBytes: 10_000, reconnectWaitMs: 70 });
    const [a, b] = [hub.connect(), hub.connect()];
    const events = record(b);
    const got: string[] = [];
    b.subscribe("s", ({ text }) => got.push(text));
    for (let n = 0; n < 20; n++) a.publish("s", "x".repeat(1_000));
    expect(a.publish("s", "x")).toBe(true);
    await a.flush();
    expect([b.status, got.length]).toEqual(["disconnected", 0]);
    expect(timers.map(([ms]) => ms)).toEqual([70]);
    timers[0]?.[1]();
    a.publish("s", "again");
    await a.flush();
    expect(got).toEqual(["again"]);
    expect(events.map(({ type }) => type)).toEqual(["slow_consumer", "disconnected", "reconnecting", "connected"]);
    expect(events[0]).toMatchObject({ subject: "s", cut: true });
  });

  test("closing delivers what is on the way, and lets it be answered", async () => {
    const hub = createMemoryHub();
    const [a, b] = [hub.connect(), hub.connect()];
    const answers: string[] = [];
    a.subscribe("inbox", ({ text }) => answers.push(text));
    b.subscribe("ask", ({ reply = "" }) => void b.publish(reply, "answer"));
    a.publish("ask", "", { reply: "inbox" });
    const closing = b[Symbol.asyncDispose]();
    expect(() => b.subscribe("x", () => undefined)).toThrow(expect.objectContaining({ code: "BUS_CLOSED" }));
    a.publish("ask", "too late");
    await closing;
    await a.flush();
    expect(answers).toEqual(["answer"]);
  });

  test("who is cut off reaches no state; a connection of another hub is none of ours", async () => {
    const hub = createMemoryHub();
    const one = hub.connect();
    const bucket = await one.openBucket?.("b");
    hub.disconnect(one);
    await expect(bucket?.put("k", "v")).rejects.toMatchObject({ code: "BUS_DISCONNECTED" });
    await expect(one.openQueue?.("q")).rejects.toMatchObject({ code: "BUS_DISCONNECTED" });
    hub.reconnect(one);
    await bucket?.put("k", "v");
    expect((await (await hub.connect().openBucket?.("b"))?.get("k"))?.revision).toBe(1);
    expect(() => hub.disconnect(createMemoryHub().connect())).toThrow(TypeError);
  });

  test("what is taken for a subject may be published, and no other", () => {
    const transport = createMemoryHub().connect();
    fc.assert(fc.property(fc.oneof(subject, pattern, fc.string({ maxLength: 12 })), (text) => {
      const attempt = (run: () => unknown): boolean => {
        try {
          run();
          return true;
        } catch (error) {
          expect(error).toMatchObject({ code: "BUS_INVALID_SUBJECT" });
          return false;
        }
      };
      expect(attempt(() => transport.publish(text, ""))).toBe(isSubject(text));
      expect(attempt(() => transport.subscribe(text, () => undefined).unsubscribe())).toBe(isPattern(text));
    }));
  });
});

test("the permissions of a role are the rights of a user here too", async () => {
  const hub = createMemoryHub({ users: { router: permissionsFor("router"), free: {} } });
  const router = hub.connect({ user: "router", inboxPrefix: "_INBOX.router" });
  const events = record(router);
  router.subscribe("router.register", () => undefined);
  router.publish("router.start", "{}");
  router.publish("dea.7.start", "{}");
  await expect.poll(() => events).toMatchObject([{ type: "error", operation: "publish", subject: "dea.7.start", error: { code: "BUS_FORBIDDEN" } }]);
});
