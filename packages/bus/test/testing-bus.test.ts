import { Type } from "@sinclair/typebox";
import { describe, expect, test, vi } from "vitest";
import { createBus, type Bus, type BusOptions } from "@opencf/bus";
import { createLease, type Lease } from "@opencf/bus/kv";
import { deaStop } from "@opencf/bus/messages";
import { simulate, type Simulation } from "@opencf/bus/testing";
import { buffer, latestPerKey } from "../src/policy.ts";
import { message } from "../src/schema.ts";

const about = { about: "test", from: [], to: [] };
const ask = message("sim.ask.{id}", Type.Object({ n: Type.Integer() }), { ...about, reply: Type.Object({ n: Type.Integer(), by: Type.String() }) });
const order = message("sim.order", Type.Object({ order_id: Type.String() }), { ...about, id: "order_id", onDisconnect: buffer(1_000, 600_000) });
const unnamed = message("sim.unnamed", Type.Object({ n: Type.Integer() }), { ...about, onDisconnect: buffer(1_000, 600_000) });
const state = message("sim.state", Type.Object({ of: Type.String(), n: Type.Integer() }), { ...about, onDisconnect: latestPerKey("of") });

const busOf = (sim: Simulation, name: string, options: Partial<BusOptions> = {}): Promise<Bus> =>
  createBus({ transport: sim.connect(name), clock: sim.clockOf(name), name, ...options });
const sleep = (sim: Simulation, ms: number): Promise<void> => sim.advance(ms);
const bad = { drop: 0.05, duplicate: 0.1, reorder: 0.1, delayMs: [0, 30] } as const;

/** Buses that ask, gather, order and tell, with connections that break. */
async function market(sim: Simulation): Promise<void> {
  const [a, b, c] = [await busOf(sim, "a"), await busOf(sim, "b"), await busOf(sim, "c")];
  for (const bus of [b, c]) {
    bus.subscribe(ask, ({ body, respond }) => respond({ n: body.n, by: bus.name as string }));
    bus.subscribe(order, async () => sleep(sim, 5));
    bus.subscribe(state, () => undefined);
  }
  await Promise.all([a, b, c].map((bus) => bus.flush()));
  const outcomes: string[] = [];
  for (let n = 0; n < 10; n++) {
    if (n === 3) sim.disconnect("a");
    if (n === 5) sim.reconnect("a");
    if (n === 7) sim.partition(["b"], ["a", "c"]);
    if (n === 9) sim.heal();
    a.publish(order, { order_id: String(n) });
    a.publish(state, { of: "a", n });
    outcomes.push(await a.request(ask, { n }, { params: { id: "1" }, timeoutMs: 200 }).then(({ by }) => by, (error: { code: string }) => error.code));
    outcomes.push(String((await a.gather(ask, { n }, { params: { id: "2" }, waitMs: 100, max: 2 }).catch(() => [])).length));
  }
  sim.trace.note(outcomes.join(" "));
  await sleep(sim, 10_000);
  for (const bus of [a, b, c]) await bus.drain();
}

test("the same seed gives the same trace, bit for bit, with buses, requests, outboxes and reconnects", async () => {
  const traces = async (): Promise<string[]> => {
    const all: string[] = [];
    await simulate({ runs: 5, faults: bad }, async (sim) => {
      await market(sim);
      all.push(sim.trace.toString());
    });
    return all;
  };
  const [one, two] = [await traces(), await traces()];
  expect(one).toEqual(two);
  expect(new Set(one).size).toBe(5);
  const text = one.join("\n");
  for (const word of ["_INBOX.~", "BUS_DISCONNECTED", "duplicate", "drop", "cut"]) expect(text).toContain(word);
});

describe("commands", () => {
  test("a command that comes twice is handled once, whatever else goes wrong", async () => {
    const report = await simulate({ name: "once", faults: { drop: 0.1, duplicate: 0.5, reorder: 0.3, delayMs: [0, 40] } }, async (sim) => {
      const [from, to] = [await busOf(sim, "from"), await busOf(sim, "to")];
      const handled = new Map<string, number>();
      const count = (id: string): void => void handled.set(id, (handled.get(id) ?? 0) + 1);
      to.subscribe(order, async ({ body }) => {
        count(body.order_id);
        await sleep(sim, sim.random() * 50);
      });
      to.subscribe(unnamed, ({ body }) => count(String(body.n)));
      await to.flush();
      for (let n = 0; n < 30; n++) {
        from.publish(order, { order_id: `order ${n}` });
        from.publish(unnamed, { n });
        await sleep(sim, sim.random() * 20);
      }
      await sim.settle();
      expect([...handled].filter(([, times]) => times > 1)).toEqual([]);
      expect(handled.size).toBeGreaterThan(30);
    });
    expect(report.faults).toBeGreaterThan(1_000);
  });

  test("without `once` they are handled twice, so the test above can fail", async () => {
    await expect(simulate({ faults: { duplicate: 0.5 }, runs: 5, shrinkRuns: 0 }, async (sim) => {
      const [from, to] = [await busOf(sim, "from"), await busOf(sim, "to")];
      let times = 0;
      to.subscribe(order, () => times++, { once: false });
      await to.flush();
      for (let n = 0; n < 10; n++) from.publish(order, { order_id: String(n) });
      await sim.settle();
      if (times > 10) throw new Error("twice");
    })).rejects.toThrow("twice");
  });

  test("a sender whose connection breaks again and again loses no buffered command, repeats none, and keeps the last state", async () => {
    await simulate({ name: "outbox", faults: { delayMs: [0, 40] } }, async (sim) => {
      const [from, to] = [await busOf(sim, "from"), await busOf(sim, "to")];
      const handled: string[] = [];
      let last = -1;
      to.subscribe(order, ({ body }) => handled.push(body.order_id));
      to.subscribe(state, ({ body }) => (last = body.n));
      await to.flush();
      const count = 60;
      for (let n = 0; n < count; n++) {
        const chance = sim.random();
        if (chance < 0.2) sim.disconnect("from");
        else if (chance < 0.5) sim.reconnect("from");
        from.publish(order, { order_id: String(n) });
        from.publish(state, { of: "from", n });
        await sleep(sim, sim.random() * 400);
      }
      sim.reconnect("from");
      await sleep(sim, 10_000);
      expect([...handled].sort()).toEqual(Array.from({ length: count }, (_, n) => String(n)).sort());
      expect(last).toBe(count - 1);
    });
  });
});

describe("leases", () => {
  let terms = 0;
  /** Three candidates; partitions, broken connections, pauses and lost answers, then quiet. */
  const election = async (sim: Simulation): Promise<void> => {
    // Waits between two tries have a jitter that is drawn by chance.
    vi.spyOn(Math, "random").mockImplementation(sim.random);
    const names = ["a", "b", "c"];
    const holders = new Map<number, Set<string>>();
    const leases: Lease[] = [];
    for (const name of names) {
      const lease = createLease({ transport: sim.connect(name) }, "reconciler", { ttlMs: 3_000, holder: name, clock: sim.clockOf(name) });
      leases.push(lease);
      lease.onChange(({ fencing }) => {
        if (fencing === undefined) return;
        terms++;
        sim.trace.note(`${name} leads with ${fencing}`);
        holders.set(fencing, (holders.get(fencing) ?? new Set()).add(name));
      });
    }
    const look = (): void => {
      const leading = leases.filter(({ held }) => held).map(({ holder }) => holder);
      if (leading.length > 1) throw new Error(`${leading.join(" and ")} lead at once`);
      for (const [fencing, who] of holders) if (who.size > 1) throw new Error(`${[...who].join(" and ")} lead with number ${fencing}`);
    };
    const trouble: (() => void)[] = names.flatMap((name) => [
      () => sim.partition([name]), () => sim.partition([name, "store"]), () => sim.heal(),
      () => sim.disconnect(name), () => sim.reconnect(name), () => sim.pause(name), () => sim.resume(name),
    ]);
    for (let n = 0; n < 40; n++) {
      trouble[Math.floor(sim.random() * trouble.length)]?.();
      for (let i = 0; i < 10; i++) {
        await sleep(sim, sim.random() * 200);
        look();
      }
    }
    sim.heal();
    for (const name of names) {
      sim.resume(name);
      sim.reconnect(name);
    }
    sim.faults.drop = 0;
    await sim.until(() => (look(), leases.some(({ held }) => held)), { withinMs: 30_000 });
    const numbers = [...holders.keys()];
    expect(numbers).toEqual([...numbers].sort((x, y) => x - y));
    await Promise.all(leases.map((lease) => lease[Symbol.asyncDispose]()));
  };

  test("never two leaders with one number, nor two at one moment; numbers grow; in the end somebody leads", async () => {
    await simulate({ name: "lease", runs: 60, faults: { drop: 0.05, delayMs: [0, 100] } }, election);
    expect(terms).toBeGreaterThan(200);
  }, 60_000);

  test("the same seed gives the same election", async () => {
    const traces: string[] = [];
    for (let i = 0; i < 2; i++)
      await simulate({ seed: 3, faults: { drop: 0.05, delayMs: [0, 100] } }, async (sim) => {
        await election(sim);
        traces.push(sim.trace.toString());
      });
    expect(traces[0]).toBe(traces[1]);
    expect(traces[0]).toContain("leads with");
  });
});

test("the example of the README", async () => {
  await simulate({ runs: 100, faults: { drop: 0.1, duplicate: 0.1, reorder: 0.1 } }, async (sim) => {
    const [shop, books] = await Promise.all(["shop", "books"].map((name) => createBus({ transport: sim.connect(name), clock: sim.clock }))) as [Bus, Bus];
    let stops = 0;
    books.subscribe(deaStop, () => stops++);
    await books.flush();
    shop.publish(deaStop, { droplet: "app-1" });
    await sim.settle();
    if (stops > 1) throw new Error(`stopped ${stops} times`);
  });
});
