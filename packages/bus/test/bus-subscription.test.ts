import { getEventListeners } from "node:events";
import { describe, expect, test } from "vitest";
import { type BusEvent, createBus, createMemoryHub } from "@opencf/bus";
import { kinds, pair, settled } from "./fixtures/bus-kit.ts";

const { plain, ask, order } = kinds;
const pause = (ms: number) => new Promise((done) => setTimeout(done, ms));

describe("a handler", () => {
  const odd = Object.create(null) as object;
  test.each<[string, () => unknown]>([
    ["throws", () => { throw new Error("x"); }],
    ["throws what is no text", () => { throw odd as Error; }],
    ["rejects", () => Promise.reject(new Error("x"))],
    ["rejects with what is no text", () => Promise.reject(odd as Error)],
    ["rejects late", async () => {
      await pause(2);
      throw new Error("x");
    }],
    ["returns a thenable that throws", () => ({ then() { throw new Error("x"); } })],
    ["returns a thenable whose `then` cannot be read", () => Object.defineProperty({}, "then", { get() { throw new Error("x"); } })],
    ["returns a thenable that fails twice", () => ({ then(_: unknown, fail: (error: Error) => void) {
      fail(new Error("x"));
      fail(new Error("y"));
    } })],
  ])("that %s: counted and told once, the next message is handled, and a drain ends", async (_, fail) => {
    const unhandled: unknown[] = [];
    const note = (error: unknown): void => void unhandled.push(error);
    process.on("unhandledRejection", note);
    try {
      await using there = await pair();
      const { a, b } = there;
      const events: BusEvent[] = [];
      b.on((event) => events.push(event));
      const got: number[] = [];
      b.subscribe(plain, ({ body }) => {
        got.push(body.n);
        return body.n === 2 ? undefined : fail();
      }, { concurrency: 1 });
      for (const n of [0, 1, 2]) a.publish(plain, { n });
      await expect.poll(() => got).toEqual([0, 1, 2]);
      await b.drain();
      expect(events.filter(({ type }) => type === "handler_failed")).toHaveLength(2);
      expect(b.counters.get("k.plain handler_failed")).toBe(2);
      expect(unhandled).toEqual([]);
    } finally {
      process.off("unhandledRejection", note);
    }
  });

  test("that settles its thenable twice counts as one handler at work", async () => {
    await using there = await pair();
    const { a, b } = there;
    let [now, most] = [0, 0];
    b.subscribe(plain, ({ body }) => {
      if (body.n === 0) return { then(done: () => void) {
        done();
        done();
        done();
      } };
      most = Math.max(most, ++now);
      return pause(2).then(() => now--);
    }, { concurrency: 1 });
    for (let n = 0; n < 10; n++) a.publish(plain, { n });
    await settled(a, b);
    await expect.poll(() => now).toBe(0);
    expect(most).toBe(1);
  });

  test("with concurrency 1 sees everything in order, whether it waits or not", async () => {
    await using there = await pair();
    const { a, b } = there;
    const got: number[] = [];
    b.subscribe(plain, async ({ body }) => {
      if (body.n % 3 === 0) await pause(1);
      got.push(body.n);
    }, { concurrency: 1 });
    for (let n = 0; n < 60; n++) a.publish(plain, { n });
    await expect.poll(() => got.length).toBe(60);
    expect(got).toEqual(Array.from({ length: 60 }, (_, n) => n));
  });

  test.each([["disposed", 0], ["aborted", 1]] as const)("whose subscription is %s is not called again, though messages wait", async (_, how) => {
    await using there = await pair();
    const { a, b } = there;
    const stopping = new AbortController();
    const got: number[] = [];
    const sub = b.subscribe(plain, async ({ body }) => {
      got.push(body.n);
      await pause(1);
      if (how === 0) sub[Symbol.dispose]();
      else stopping.abort();
    }, { concurrency: 1, signal: stopping.signal });
    for (let n = 0; n < 10; n++) a.publish(plain, { n });
    await settled(a, b);
    expect(await sub.closed).toBeUndefined();
    await pause(20);
    expect(got).toEqual([0]);
    expect(sub.pending).toBe(0);
  });

  test("that closes the whole bus: it ends, and no other message is handled", async () => {
    await using there = await pair();
    const { a, b } = there;
    const got: number[] = [];
    let ended = false;
    b.subscribe(plain, async ({ body }) => {
      got.push(body.n);
      void b.drain({ timeoutMs: 30 }).then(() => (ended = true));
      await new Promise(() => undefined);
    }, { concurrency: 1 });
    for (let n = 0; n < 10; n++) a.publish(plain, { n });
    await expect.poll(() => ended).toBe(true);
    expect(got).toEqual([0]);
  });

  test("`max`, with few at work at a time: exactly so many, all of them handled", async () => {
    await using there = await pair();
    const { a, b } = there;
    const got: number[] = [];
    const sub = b.subscribe(plain, async ({ body }) => {
      await pause(1);
      got.push(body.n);
    }, { concurrency: 1, max: 5 });
    for (let n = 0; n < 20; n++) a.publish(plain, { n });
    expect(await sub.closed).toBeUndefined();
    await expect.poll(() => got).toEqual([0, 1, 2, 3, 4]);
  });

  test("is cut when it is too slow, and what it had begun ends in peace", async () => {
    await using there = await pair();
    const { a, b } = there;
    const got: number[] = [];
    const sub = b.subscribe(plain, async ({ body }) => {
      await pause(5);
      got.push(body.n);
    }, { concurrency: 2, maxPending: 3, whenFull: "cut" });
    for (let n = 0; n < 20; n++) a.publish(plain, { n });
    expect(await sub.closed).toMatchObject({ code: "BUS_SLOW_CONSUMER" });
    await expect.poll(() => got).toEqual([0, 1]);
    expect(b.counters.get("k.plain slow_consumer_cut")).toBe(1);
  });
});

test("`slow_consumer` is told once per crossing, also after something was forgotten", async () => {
  await using there = await pair();
  const { a, b } = there;
  let slow = 0;
  b.on(({ type }) => void (type === "slow_consumer" && slow++));
  const sub = b.subscribe(plain, { maxPending: 10 });
  const reader = sub[Symbol.asyncIterator]();
  for (let crossing = 1; crossing <= 2; crossing++) {
    for (let n = 0; n < 30; n++) a.publish(plain, { n });
    await settled(a, b);
    expect(slow).toBe(crossing);
    while (sub.pending > 0) await reader.next();
    for (let n = 0; n < 3; n++) {
      a.publish(plain, { n });
      await settled(a, b);
      await reader.next();
    }
    expect(slow).toBe(crossing);
  }
});

describe("an iterator", () => {
  test("read by several at once gives each message to one of them, and ends for all", async () => {
    await using there = await pair();
    const { a, b } = there;
    const sub = b.subscribe(plain, { max: 6 });
    const reader = sub[Symbol.asyncIterator]();
    const eight = Array.from({ length: 8 }, () => reader.next());
    for (let n = 0; n < 10; n++) a.publish(plain, { n });
    const results = await Promise.all(eight);
    expect(results.map(({ done, value }) => (done === true ? "end" : value.body.n))).toEqual([0, 1, 2, 3, 4, 5, "end", "end"]);
    for await (const _ of sub) throw new Error("no more was to come");
  });

  test("that is left wakes whoever else waits", async () => {
    await using there = await pair();
    const { b } = there;
    const reader = b.subscribe(plain)[Symbol.asyncIterator]();
    const waiting = reader.next();
    await reader.return?.();
    expect(await waiting).toEqual({ done: true, value: undefined });
    expect(await reader.next()).toEqual({ done: true, value: undefined });
  });

  test("takes no more when its signal comes; what it has is still read, unless the loop is left", async () => {
    await using there = await pair();
    const { a, b } = there;
    for (const leave of [false, true]) {
      const stopping = new AbortController();
      const sub = b.subscribe(plain, { signal: stopping.signal });
      for (const n of [0, 1, 2]) a.publish(plain, { n });
      await settled(a, b);
      stopping.abort();
      a.publish(plain, { n: 3 });
      await settled(a, b);
      const got: number[] = [];
      for await (const { body } of sub) {
        got.push(body.n);
        if (leave) break;
      }
      for await (const { body } of sub) got.push(body.n);
      expect(got).toEqual(leave ? [0] : [0, 1, 2]);
    }
  });
});

describe("a carrier that closes for good", () => {
  test("ends loops, handlers, questions and gatherings, and says why", async () => {
    await using there = await pair();
    const { own, a } = there;
    const sub = a.subscribe(plain);
    const handled = a.subscribe(order, () => undefined);
    const reading = expect(sub[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: "BUS_CLOSED" });
    const asked = expect(a.request(ask, { n: 1 }, { timeoutMs: 60_000 })).rejects.toMatchObject({ code: /BUS_CLOSED|BUS_NO_RESPONDERS/ });
    await own[Symbol.asyncDispose]();
    await reading;
    await asked;
    expect(await sub.closed).toMatchObject({ code: "BUS_CLOSED" });
    expect(await handled.closed).toMatchObject({ code: "BUS_CLOSED" });
  });
});

describe("signals", () => {
  test("an aborted one: nothing begins, and nothing stays behind", async () => {
    await using there = await pair();
    const { a } = there;
    const signal = AbortSignal.abort(new Error("enough"));
    const options = { signal, waitMs: 60_000, timeoutMs: 60_000 };
    await expect(a.request(ask, { n: 1 }, options)).rejects.toThrow("enough");
    await expect(a.gather(ask, { n: 1 }, options)).rejects.toThrow("enough");
    await expect(a.answers(ask, { n: 1 }, options).next()).rejects.toThrow("enough");
    await expect(a.replies(ask, { n: 1 }, options).next()).rejects.toThrow("enough");
    await expect(a.flush(signal)).rejects.toThrow("enough");
    const sub = a.subscribe(plain, { signal });
    expect(await sub.closed).toBeUndefined();
    for await (const _ of sub) throw new Error("nothing was to come");
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });

  test("one for ten thousand questions, gatherings and subscriptions has no listener left afterwards", async () => {
    await using there = await pair();
    const { a, b } = there;
    const { signal } = new AbortController();
    b.subscribe(ask, ({ body, respond }) => respond(body));
    await b.flush();
    for (let n = 0; n < 10_000; n += 100) {
      await Promise.all(Array.from({ length: 100 }, () => a.request(ask, { n }, { signal })));
      expect(await a.gather(ask, { n }, { signal, waitMs: 1_000, max: 1 })).toHaveLength(1);
      a.subscribe(plain, { signal })[Symbol.dispose]();
      await a.flush(signal);
    }
    await expect(a.request(kinds.command, { command_id: "c", n: 1 }, { params: { to: "x" }, signal })).rejects.toMatchObject({ code: "BUS_NO_RESPONDERS" });
    expect(getEventListeners(signal, "abort")).toHaveLength(0);
  });
});

describe("closing", () => {
  test("drain twice is one drain; disposing does not wait for the rest of a long one", async () => {
    await using there = await pair();
    const { a, b } = there;
    b.subscribe(plain, () => new Promise(() => undefined));
    a.publish(plain, { n: 1 });
    await settled(a, b);
    const long = b.drain({ timeoutMs: 60_000 });
    expect(b.drain()).toBe(long);
    const startedMs = performance.now();
    await b[Symbol.asyncDispose]();
    await long;
    expect(performance.now() - startedMs).toBeLessThan(4_000);
  });

  test("handlers at work finish although the bus is away", async () => {
    await using there = await pair();
    const { hub, own, a, b } = there;
    let done = 0;
    a.subscribe(plain, async () => {
      await pause(40);
      done++;
    });
    b.publish(plain, { n: 1 });
    await settled(b, a);
    hub.disconnect(own);
    await a.drain();
    expect(done).toBe(1);
  });

  test("the connection for bulk is away: commands go on, and a drain lets their handlers finish and answer", async () => {
    const hub = createMemoryHub();
    const connections = [hub.connect(), hub.connect()];
    let n = 0;
    const bus = await createBus({ transport: async () => connections[n++] as (typeof connections)[0] });
    await using other = await createBus({ transport: hub.connect() });
    hub.disconnect(connections[1] as (typeof connections)[0]);
    bus.subscribe(ask, async ({ body, respond }) => {
      await pause(20);
      respond(body);
    });
    expect(bus.connected).toBe(true);
    bus.publish(kinds.bulk, { n: 1 });
    expect(bus.counters.get("k.bulk dropped_while_disconnected")).toBe(1);
    await expect(bus.request(kinds.bulk, { n: 1 })).rejects.toMatchObject({ code: "BUS_DISCONNECTED" });
    await expect(bus.flush()).rejects.toMatchObject({ code: "BUS_DISCONNECTED" });
    await bus.transport.flush();
    const answer = other.request(ask, { n: 7 });
    await settled(other, other);
    await bus.drain();
    expect(await answer).toEqual({ n: 7 });
  });
});

describe("messages that are recognised", () => {
  const text = (payload: Uint8Array): string => new TextDecoder().decode(payload);

  test("are not read and reach no handler; all others do, in their order", async () => {
    await using there = await pair();
    const { a, b } = there;
    const seen: string[] = [];
    b.subscribe(plain, ({ body }) => void seen.push(`handled ${body.n}`), {
      recognise(payload) {
        const known = text(payload) === JSON.stringify({ n: 1 });
        seen.push(`${known ? "known" : "asked"} ${text(payload)}`);
        return known || undefined;
      },
    });
    for (const n of [0, 1, 2]) a.publish(plain, { n });
    await settled(a, b);
    expect(seen).toEqual(["asked {\"n\":0}", "handled 0", "known {\"n\":1}", "asked {\"n\":2}", "handled 2"]);
  });

  test("may take their time: those behind them wait as behind a handler", async () => {
    await using there = await pair();
    const { a, b } = there;
    const seen: string[] = [];
    let goOn = (): void => undefined;
    b.subscribe(plain, ({ body }) => void seen.push(`handled ${body.n}`), {
      concurrency: 1,
      recognise: (payload) => (text(payload).includes("1") ? new Promise<void>((done) => (goOn = done)).then(() => void seen.push("known")) : undefined),
    });
    for (const n of [1, 2]) a.publish(plain, { n });
    await settled(a, b);
    expect(seen).toEqual([]);
    goOn();
    await expect.poll(() => seen).toEqual(["known", "handled 2"]);
  });

  test("by a look that fails are counted and told as if the handler had failed", async () => {
    await using there = await pair();
    const { a, b } = there;
    const events: BusEvent[] = [];
    b.on((event) => events.push(event));
    const seen: number[] = [];
    b.subscribe(plain, ({ body }) => void seen.push(body.n), { recognise: (payload) => { if (text(payload).includes("1")) throw new Error("x"); } });
    for (const n of [1, 2]) a.publish(plain, { n });
    await settled(a, b);
    expect(seen).toEqual([2]);
    expect(events.map(({ type }) => type)).toEqual(["handler_failed"]);
  });

  test("are commands all the same: who wants each once is not asked", async () => {
    await using there = await pair();
    const { a, b } = there;
    const seen: number[] = [];
    b.subscribe(order, ({ body }) => void seen.push(body.n), { recognise: () => true });
    a.publish(order, { n: 1 });
    await settled(a, b);
    expect(seen).toEqual([1]);
  });
});
