import { expect, describe, test, vi } from "vitest";
import { createBus, createMemoryHub } from "@opencf/bus";
import { kinds, pair, settled } from "./fixtures/bus-kit.ts";

const { ask, plain } = kinds;
const never = Symbol("still waiting");
const within = <T>(ms: number, work: Promise<T>): Promise<T | typeof never> => Promise.race([work, new Promise<typeof never>((done) => setTimeout(() => done(never), ms))]);

describe("deadlines", () => {
  test.each([0, -5, Number.NEGATIVE_INFINITY])("%d ms: over at once", async (ms) => {
    await using there = await pair();
    const { a, b } = there;
    b.subscribe(ask, () => undefined);
    await b.flush();
    await expect(a.request(ask, { n: 1 }, { timeoutMs: ms })).rejects.toMatchObject({ code: "BUS_TIMEOUT" });
    expect(await a.gather(ask, { n: 1 }, { waitMs: ms })).toEqual([]);
    await expect(a.replies(ask, { n: 1 }, { timeoutMs: ms }).next()).rejects.toMatchObject({ code: "BUS_TIMEOUT" });
    expect(await a.subscribe(plain, { firstWithinMs: ms }).closed).toMatchObject({ code: "BUS_TIMEOUT" });
    await b.drain({ timeoutMs: ms });
  });

  test.each([2 ** 31, 2 ** 40, Infinity])("%d ms: not over at once, and no warning", async (ms) => {
    const warned = vi.spyOn(process, "emitWarning");
    await using there = await pair();
    const { a, b } = there;
    b.subscribe(ask, () => undefined);
    await b.flush();
    const stopping = new AbortController();
    const { signal } = stopping;
    const sub = a.subscribe(plain, { firstWithinMs: ms, signal });
    const work: Promise<unknown>[] = [
      a.request(ask, { n: 1 }, { timeoutMs: ms, signal }), a.gather(ask, { n: 1 }, { waitMs: ms, signal }), a.replies(ask, { n: 1 }, { timeoutMs: ms, signal }).next(), sub.closed,
    ];
    expect(await Promise.all(work.map((each) => within(40, each)))).toEqual([never, never, never, never]);
    stopping.abort();
    expect((await Promise.allSettled(work)).map(({ status }) => status)).toEqual(["rejected", "rejected", "rejected", "fulfilled"]);
    await a.drain({ timeoutMs: ms });
    expect(warned).not.toHaveBeenCalled();
  });
});

test("questions that ended, however they did, are forgotten", async () => {
  await using there = await pair();
  const { a, b } = there;
  let inboxes = 0;
  const { subscribe } = a.transport;
  a.transport.subscribe = function (...args) {
    inboxes++;
    const taken = subscribe.apply(this, args);
    const { unsubscribe } = taken;
    taken.unsubscribe = function () {
      inboxes--;
      unsubscribe.call(taken);
    };
    return taken;
  };
  b.subscribe(ask, ({ body, respond }) => void (body.n > 0 && respond(body)));
  await b.flush();
  for (const ownInbox of [true, false]) {
    const aborted = new AbortController();
    const outcomes = Promise.allSettled([
      a.request(ask, { n: 1 }, { ownInbox }), a.request(ask, { n: 0 }, { timeoutMs: 20, ownInbox }), a.request(ask, { n: 0 }, { signal: aborted.signal, ownInbox }),
      a.request(ask, { n: 0.5 }, { ownInbox }), a.request(ask, { n: 0 }, { ownInbox, headers: { "a b": "" } }), a.gather(ask, { n: 1 }, { waitMs: 20, ownInbox }),
    ]);
    await settled(a, b);
    aborted.abort();
    expect((await outcomes).map(({ status }) => status)).toEqual(["fulfilled", "rejected", "rejected", "rejected", "rejected", "fulfilled"]);
    for await (const _ of a.answers(ask, { n: 1 }, { waitMs: 1_000, ownInbox })) break;
  }
  // The shared inbox stays.
  expect(inboxes).toBe(1);
});

test("a user that may not listen for answers is told so, not left to wait", async () => {
  const hub = createMemoryHub({ users: { mute: { publish: { allow: [">"] }, subscribe: { deny: ["_INBOX.>"] } }, all: {} } });
  await using a = await createBus({ transport: hub.connect({ user: "mute" }) });
  await using b = await createBus({ transport: hub.connect({ user: "all" }) });
  b.subscribe(ask, () => undefined);
  await b.flush();
  for (const ownInbox of [false, true, false])
    await expect(a.request(ask, { n: 1 }, { ownInbox })).rejects.toMatchObject({ code: "BUS_FORBIDDEN" });
});

test("a flood of answers that make no sense ends with the time given", async () => {
  await using there = await pair();
  const { a, b } = there;
  let on = true;
  b.transport.subscribe("k.ask", ({ reply }) => {
    const say = (): void => {
      for (let i = 0; i < 200; i++) b.transport.publish(reply ?? "", "nonsense");
      if (on) setImmediate(say);
    };
    say();
  });
  await b.flush();
  const startedMs = performance.now();
  expect(await a.gather(ask, { n: 1 }, { waitMs: 50 })).toEqual([]);
  expect(performance.now() - startedMs).toBeLessThan(2_000);
  on = false;
});
