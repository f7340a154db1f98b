import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createSimulation, type Faults, type Simulation } from "@opencf/bus/testing";

const bad: Partial<Faults> = { drop: 0.1, duplicate: 0.1, reorder: 0.2, delayMs: [0, 20] };

/** Several nodes talk, ask, and lose each other. */
async function busyScenario(sim: Simulation): Promise<string> {
  const names = ["a", "b", "c", "d"];
  const nodes = names.map((name) => sim.connect(name));
  nodes.forEach((node, i) => {
    node.subscribe("news.>", () => undefined);
    node.subscribe("work", (packet) => void (packet.reply && node.publish(packet.reply, names[i] as string)), { queue: "workers" });
    const inbox = `${node.inboxPrefix}.${Math.random().toString(36).slice(2)}`;
    node.subscribe(`${inbox}.*`, () => undefined);
    const speak = (n: number): void => {
      if (n > 10 || node.status === "closed") return;
      node.publish(`news.${i}`, String(n));
      node.publish(n % 3 === 0 ? "nobody.there" : "work", "", { reply: `${inbox}.${n}` });
      sim.clockOf(names[i] as string).after(5 + Math.floor(sim.random() * 20), () => speak(n + 1));
    };
    speak(0);
  });
  await sim.advance(40);
  sim.partition(["a"], ["b", "c"]);
  await sim.advance(40);
  sim.disconnect("d");
  sim.pause("b");
  await sim.advance(40);
  sim.heal();
  sim.reconnect("d");
  sim.resume("b");
  await sim.settle();
  await sim.advance(1_000);
  return sim.trace.toString();
}

const under = async (options: Parameters<typeof createSimulation>[0], run: (sim: Simulation) => Promise<string>): Promise<string> => {
  await using sim = createSimulation(options);
  return await run(sim);
};

describe("the same seed gives the same trace", () => {
  test("four nodes with all kinds of faults, ten seeds, three times each", async () => {
    const seen = new Set<string>();
    for (let seed = 1; seed <= 10; seed++) {
      const traces = await Promise.all([1, 2, 3].map(() => under({ seed, faults: bad }, busyScenario)));
      expect(new Set(traces).size).toBe(1);
      for (const word of ["deliver", "drop", "duplicate", "reorder", "cut", "lost", "no_responders"]) expect(traces[0]).toContain(word);
      seen.add(traces[0] as string);
    }
    expect(seen.size).toBe(10);
  });

  test("two simulations side by side do not disturb each other", async () => {
    const alone = [await under({ seed: 5, faults: bad }, busyScenario), await under({ seed: 6, faults: bad }, busyScenario)];
    expect(await Promise.all([under({ seed: 5, faults: bad }, busyScenario), under({ seed: 6, faults: bad }, busyScenario)])).toEqual(alone);
  });
});

describe("time", () => {
  test("advance runs all that falls due, also what is added on the way, and no more", async () => {
    await using sim = createSimulation({ startMs: 1_000 });
    const ran: string[] = [];
    sim.clock.after(10, () => {
      ran.push(`ten at ${sim.clock.now()}`);
      sim.clock.after(0, () => ran.push(`one more at ${sim.clock.now()}`));
      sim.clock.after(1.5, () => ran.push(`two more at ${sim.clock.now()}`));
      sim.clock.after(5, () => ran.push("later"));
    });
    sim.clock.after(5, () => ran.push("five"));
    sim.clock.after(5, () => ran.push("called off"))[Symbol.dispose]();
    sim.clock.after(Infinity, () => ran.push("never"));
    await sim.advance(12);
    expect(ran).toEqual(["five", "ten at 1010", "one more at 1011", "two more at 1012"]);
    expect(sim.clock.now()).toBe(1_012);
    await sim.advance(2.9);
    expect(ran.at(-1)).toBe("two more at 1012");
    await sim.advance(0.1);
    expect(ran.at(-1)).toBe("later");
  });

  test("promises settle between two things that happen, whatever they are made of", async () => {
    await using sim = createSimulation();
    const order: string[] = [];
    const chain = async (name: string): Promise<void> => {
      for (let i = 0; i < 50; i++) await Promise.resolve();
      await new Promise((done) => process.nextTick(done));
      await new Promise((done) => setImmediate(done));
      order.push(`${name} settled`);
    };
    for (const name of ["one", "two"])
      sim.clock.after(1, () => {
        order.push(name);
        void chain(name);
      });
    await sim.advance(1);
    expect(order).toEqual(["one", "one settled", "two", "two settled"]);
  });

  test("run lets time pass until the work is done; a work that waits for nothing is told so", async () => {
    await using sim = createSimulation({ idleMs: 50 });
    const sleep = (ms: number): Promise<void> => new Promise((done) => void sim.clock.after(ms, done));
    const started = sim.clock.now();
    expect(await sim.run(async () => {
      await sleep(3_600_000);
      await Promise.all([sim.advance(10), sim.advance(20), sleep(15)]);
      return "done";
    })).toBe("done");
    expect(sim.clock.now() - started).toBe(3_600_020);
    await expect(sim.run(new Promise(() => undefined))).rejects.toThrow(/stands still/);
    await expect(sim.run(Promise.reject(new Error("own")))).rejects.toThrow("own");
  });

  test("until and settle end at their deadline, and say why", async () => {
    await using sim = createSimulation();
    let n = 0;
    const tick = (): void => void sim.clock.after(10, () => (n++, tick()));
    tick();
    await sim.until(() => n === 7);
    expect(n).toBe(7);
    await expect(sim.until(() => n === 5, { withinMs: 100 })).rejects.toThrow(/within 100 ms of virtual time.*n === 5/);
    await expect(sim.until(() => { throw new Error("own"); })).rejects.toThrow("own");
    const [a, b] = [sim.connect("a"), sim.connect("b")];
    for (const [node, other] of [[a, "b"], [b, "a"]] as const) node.subscribe(node === a ? "a" : "b", () => void node.publish(other, ""));
    a.publish("b", "");
    await sim.settle({ withinMs: 100 }).then(() => expect.fail("the two play for ever"), (error: Error) => expect(error.message).toMatch(/packets are still on their way: 1/));
  });

  test("what repeats itself without time passing is ended", async () => {
    await using sim = createSimulation({ maxSteps: 500 });
    sim.faults.delayMs = [0, 0];
    const a = sim.connect("a");
    a.subscribe("x", () => void a.publish("x", ""));
    a.publish("x", "");
    await expect(sim.advance(1)).rejects.toThrow(/500 steps/);
  });

  test("a timer that throws fails whoever waits", async () => {
    await using sim = createSimulation();
    sim.clock.after(1, () => { throw new Error("from a timer"); });
    await expect(sim.advance(5)).rejects.toThrow("from a timer");
  });
});

describe("faults", () => {
  const count = (sim: Simulation, event: string): number => sim.trace.entries.filter((entry) => entry.event === event).length;

  test("come at their rates, on all links and on one; they can be changed on the way", async () => {
    await using sim = createSimulation({ seed: 3, faults: { drop: 0.2, duplicate: 0.1, reorder: 0.3 }, traceLimit: 100_000 });
    const [a, b, c] = [sim.connect("a"), sim.connect("b"), sim.connect("c")];
    for (const node of [b, c]) node.subscribe("x", () => undefined);
    await sim.settle();
    for (let i = 0; i < 5_000; i++) a.publish("x", String(i));
    await sim.settle();
    const within = (event: string, expected: number): void => {
      expect(count(sim, event), event).toBeGreaterThan(expected * 0.9);
      expect(count(sim, event), event).toBeLessThan(expected * 1.1);
    };
    within("drop", 10_000 * 0.2);
    within("reorder", 8_000 * 0.3);
    within("duplicate", 8_000 * 0.1);
    Object.assign(sim.faults, { drop: 0, duplicate: 0, reorder: 0 });
    sim.link("a", "b").drop = 1;
    const before = [count(sim, "drop"), count(sim, "deliver")] as const;
    for (let i = 0; i < 100; i++) a.publish("x", String(i));
    await sim.settle();
    expect(count(sim, "drop") - before[0]).toBe(100);
    expect(count(sim, "deliver") - before[1]).toBe(100);
  });

  test("delays stay within their range, for packets and for what one link says otherwise", async () => {
    await using sim = createSimulation({ faults: { delayMs: [10, 30] } });
    const [a, b, c] = [sim.connect("a"), sim.connect("b"), sim.connect("c")];
    const took: number[] = [];
    b.subscribe("x", ({ text }) => took.push(sim.clock.now() - Number(text)));
    c.subscribe("x", () => undefined);
    sim.link("a", "c").delayMs = [0, 0];
    await sim.settle();
    for (let i = 0; i < 200; i++) {
      a.publish("x", String(sim.clock.now()));
      await sim.advance(50);
    }
    expect(Math.min(...took)).toBeGreaterThanOrEqual(10);
    expect(Math.max(...took)).toBeLessThanOrEqual(30);
    expect(Math.max(...took) - Math.min(...took)).toBeGreaterThan(10);
  });

  test("property: without faults every subscriber gets each publisher's messages once and in order, whatever the delays", async () => {
    await fc.assert(fc.asyncProperty(
      fc.nat(1_000_000), fc.array(fc.record({ from: fc.nat(2), waitMs: fc.nat(5) }), { minLength: 1, maxLength: 60 }), fc.nat(50),
      async (seed, says, delayMs) => {
        await using sim = createSimulation({ seed, faults: { delayMs: [0, delayMs] } });
        const nodes = ["a", "b", "c"].map((name) => sim.connect(name));
        const got: string[][] = nodes.map(() => []);
        nodes.forEach((node, i) => node.subscribe("s.>", ({ text }) => got[i]?.push(text)));
        await sim.settle();
        const said: string[][] = [[], [], []];
        for (const [n, { from, waitMs }] of says.entries()) {
          nodes[from]?.publish(`s.${n % 2}`, `${from}:${n}`);
          said[from]?.push(`${from}:${n}`);
          await sim.advance(waitMs);
        }
        await sim.settle();
        for (const heard of got) for (let from = 0; from < 3; from++) expect(heard.filter((text) => text.startsWith(`${from}:`))).toEqual(said[from]);
      },
    ), { numRuns: 50 });
  });

  test("reorder lets later ones overtake and loses none", async () => {
    await using sim = createSimulation({ faults: { reorder: 0.3, delayMs: [0, 5] } });
    const [a, b] = [sim.connect("a"), sim.connect("b")];
    const got: number[] = [];
    b.subscribe("x", ({ text }) => got.push(Number(text)));
    await sim.settle();
    for (let i = 0; i < 200; i++) a.publish("x", String(i));
    await sim.settle();
    const sorted = [...got].sort((x, y) => x - y);
    expect(got).not.toEqual(sorted);
    expect(sorted).toEqual(Array.from({ length: 200 }, (_, i) => i));
  });
});

describe("nodes", () => {
  test("a partition is silent, cuts both ways, also what is on its way, and heals", async () => {
    await using sim = createSimulation({ faults: { delayMs: [10, 10] } });
    const names = ["a", "b", "c"];
    const nodes = names.map((name) => sim.connect(name));
    const got: string[] = [];
    nodes.forEach((node, i) => node.subscribe("x", ({ text }) => got.push(`${text} at ${names[i]}`)));
    await sim.settle();
    const sayAll = async (): Promise<string[]> => {
      got.length = 0;
      nodes.forEach((node, i) => node.publish("x", names[i] as string));
      await sim.settle();
      return [...got].sort();
    };
    sim.partition(["a"], ["b", "c"]);
    expect(await sayAll()).toEqual(["a at a", "b at b", "b at c", "c at b", "c at c"]);
    expect(nodes.map(({ status }) => status)).toEqual(["connected", "connected", "connected"]);
    sim.heal();
    expect(await sayAll()).toHaveLength(9);
    got.length = 0;
    nodes[0]?.publish("x", "late");
    await sim.advance(7);
    sim.partition(["a"]);
    await sim.settle();
    expect(got).toEqual(["late at a"]);
  });

  test("a request over a partition has no responders", async () => {
    await using sim = createSimulation();
    const [a, b] = [sim.connect("a"), sim.connect("b")];
    const got: (number | string)[] = [];
    a.subscribe("_INBOX.1", ({ status, text }) => got.push(status?.code ?? text));
    b.subscribe("ask", ({ reply }) => void b.publish(reply as string, "answer"));
    await sim.settle();
    a.publish("ask", "", { reply: "_INBOX.1" });
    await sim.settle();
    sim.partition(["a"], ["b"]);
    a.publish("ask", "", { reply: "_INBOX.1" });
    await sim.settle();
    expect(got).toEqual(["answer", 503]);
    expect(sim.trace.toString()).toMatch(/no_responders +#3 +a +ask/);
    expect(sim.trace.toString()).toContain("_INBOX.~1");
  });

  test("a node that is disconnected knows it, loses what is said meanwhile, and has its subscriptions again", async () => {
    await using sim = createSimulation();
    const [a, b, again] = [sim.connect("a"), sim.connect("b"), sim.connect("a")];
    const [seen, got]: [string[], string[]] = [[], []];
    a.on(({ type }) => seen.push(type));
    a.subscribe("x", ({ text }) => got.push(text));
    await sim.settle();
    b.publish("x", "on its way");
    const flushed = a.flush();
    sim.disconnect("a");
    await expect(flushed).rejects.toMatchObject({ code: "BUS_DISCONNECTED", retryable: true });
    await expect(a.flush()).rejects.toMatchObject({ code: "BUS_DISCONNECTED" });
    expect([a.status, again.status, b.status]).toEqual(["disconnected", "disconnected", "connected"]);
    expect(a.publish("x", "own")).toBe(false);
    b.publish("x", "meanwhile");
    await sim.advance(100);
    sim.reconnect("a");
    await sim.settle();
    b.publish("x", "after");
    await sim.settle();
    expect(got).toEqual(["after"]);
    expect(seen).toEqual(["disconnected", "reconnecting", "connected"]);
  });

  test("a paused node stands still: deliveries and its timers wait, in order; others go on", async () => {
    await using sim = createSimulation();
    const [a, b] = [sim.connect("a"), sim.connect("b")];
    const [atA, atB]: [string[], string[]] = [[], []];
    a.subscribe("x", ({ text }) => atA.push(text));
    b.subscribe("x", ({ text }) => atB.push(text));
    await sim.settle();
    sim.pause("a");
    sim.clockOf("a").after(50, () => atA.push(`timer at ${sim.clock.now() - Date.UTC(2020, 0, 1) >= 1_000}`));
    for (const text of ["1", "2"]) b.publish("x", text);
    await sim.settle();
    await sim.advance(1_000);
    expect([atA, atB]).toEqual([[], ["1", "2"]]);
    sim.resume("a");
    b.publish("x", "3");
    await sim.settle();
    expect(atA).toEqual(["1", "2", "timer at true", "3"]);
  });

  test("shared state: a partition makes calls run out of time, a disconnect fails them; what was done although the answer got lost is done", async () => {
    await using sim = createSimulation({ faults: { delayMs: [4, 4] } });
    await sim.run(async () => {
      const [a, b] = [sim.connect("a"), sim.connect("b")];
      const [one, two] = [await a.openBucket!("locks"), await b.openBucket!("locks")];
      expect(await one.create("k", "1")).toBe(1);
      await expect(two.create("k", "2")).rejects.toMatchObject({ code: "BUS_KEY_EXISTS" });
      const seen: string[] = [];
      void (async () => {
        for await (const event of two.watch({ include: "updates" })) if (event.type === "entry") seen.push(`${event.entry.operation} ${event.entry.revision}`);
      })();
      await sim.advance(100);
      sim.partition(["a", "store"], ["b"]);
      const started = sim.clock.now();
      await expect(two.get("k")).rejects.toMatchObject({ code: "BUS_TIMEOUT", retryable: true });
      expect(sim.clock.now() - started).toBe(5_000);
      const revision = await one.update("k", "3", 1);
      expect(seen).toEqual([]);
      sim.heal();
      await sim.until(() => seen.length === 1);
      expect(seen).toEqual([`put ${revision}`]);
      const unsure = expect(one.put("k", "4")).rejects.toMatchObject({ code: "BUS_DISCONNECTED" });
      await sim.advance(3);
      sim.disconnect("a");
      await unsure;
      await expect(one.get("k")).rejects.toMatchObject({ code: "BUS_DISCONNECTED" });
      expect(new TextDecoder().decode((await two.get("k"))?.value)).toBe("4");
      expect(sim.trace.toString()).toMatch(/store +a -> store +locks\/k update 1 +2/);
    });
  });
});

test("the trace is bounded, keeps the last, takes notes", async () => {
  await using sim = createSimulation({ traceLimit: 10 });
  const a = sim.connect("a");
  for (let i = 0; i < 100; i++) a.publish("x", "");
  sim.trace.note("half time");
  expect(sim.trace.entries).toHaveLength(10);
  expect(sim.trace.forgotten).toBe(92);
  expect(sim.trace.toString(2)).toBe("… 100 earlier\n       0.000 ms  publish        #100  a  x\n       0.000 ms  note           half time");
});

test("after its end a simulation says so, and ending it twice is quiet", async () => {
  const sim = createSimulation();
  const a = sim.connect("a");
  const waiting = expect(sim.run(new Promise(() => undefined))).rejects.toMatchObject({ code: "BUS_CLOSED" });
  await sim[Symbol.asyncDispose]();
  await sim[Symbol.asyncDispose]();
  await waiting;
  expect(await a.closed).toBeUndefined();
  expect(() => a.publish("x", "")).toThrow(expect.objectContaining({ code: "BUS_CLOSED" }));
  expect(() => sim.connect("b")).toThrow(expect.objectContaining({ code: "BUS_CLOSED" }));
  await expect(sim.advance(1)).rejects.toMatchObject({ code: "BUS_CLOSED" });
});
