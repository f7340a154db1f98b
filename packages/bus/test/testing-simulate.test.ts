import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, test } from "vitest";
import { createSimulation, simulate, SimulationError, type Simulation } from "@opencf/bus/testing";

const saved = { ...process.env };
afterEach(() => {
  for (const name of ["OPENCF_SEED", "OPENCF_RUNS"]) {
    if (saved[name] === undefined) delete process.env[name];
    else process.env[name] = saved[name];
  }
});

const failing = async (run: () => Promise<unknown>): Promise<SimulationError> => {
  const error = await run().then(() => undefined, (thrown: unknown) => thrown);
  if (!(error instanceof SimulationError)) throw new Error(`a SimulationError was expected, not ${String(error)}`);
  return error;
};

/** A consumer with a planted mistake: it adds up every order it hears, although an order may come twice. */
async function accountant(sim: Simulation): Promise<void> {
  const [shop, books] = [sim.connect("shop"), sim.connect("books")];
  let sum = 0;
  books.subscribe("orders", ({ text }) => (sum += Number(text)));
  await sim.settle();
  for (let i = 0; i < 20; i++) shop.publish("orders", "1");
  await sim.settle();
  if (sum > 20) throw new Error(`${sum} were booked, 20 were ordered`);
}

describe("a planted mistake", () => {
  const faults = { duplicate: 0.01, drop: 0.05, reorder: 0.05 };

  test("is found, told with seed, replay, smallest set of faults and last events; the seed fails again in the same way", async () => {
    const found = await failing(() => simulate({ name: "orders", faults }, accountant));
    expect(found.message).toMatch(/^scenario "orders" fails with seed \d+ \(run \d+ of 100\): 21 were booked, 20 were ordered\n/);
    expect(found.message).toContain(`replay: OPENCF_SEED=${found.seed} npx vitest run ${relative(process.cwd(), fileURLToPath(import.meta.url))}\n`);
    expect(found.only).toEqual([expect.stringMatching(/^duplicate shop>books \d+$/)]);
    expect(found.message).toContain(`in code: simulate({ seed: ${found.seed}, only: ${JSON.stringify(found.only)} }, …)`);
    expect(found.message).toMatch(/smallest set of faults with which it fails \(1 of \d+\):\n {2}duplicate shop>books \d+ {2}orders at \d+\.\d{3} ms\nlast events:\n/);
    expect(found.message).toMatch(/ms {2}duplicate {6}#\d+ {2}shop -> books {2}orders/);
    expect(found.cause).toMatchObject({ message: "21 were booked, 20 were ordered" });

    process.env["OPENCF_SEED"] = String(found.seed);
    const again = await failing(() => simulate({ name: "orders", faults }, accountant));
    expect(again.message.replace(/ \(run .*?\)/, "")).toBe(found.message.replace(/ \(run .*?\)/, ""));
    expect([again.seed, again.only, again.trace]).toEqual([found.seed, found.only, found.trace]);
    delete process.env["OPENCF_SEED"];

    const inCode = await failing(() => simulate({ faults, seed: found.seed, only: found.only }, accountant));
    expect([inCode.only, inCode.trace]).toEqual([found.only, found.trace]);
  });

  test("that needs two faults at once is reported with both, and with no others", async () => {
    const found = await failing(() => simulate({ faults: { drop: 0.1, duplicate: 0.2, reorder: 0.2 }, runs: 500 }, async (sim) => {
      const [a, b] = [sim.connect("a"), sim.connect("b")];
      const heard = new Set<string>();
      b.subscribe("x", ({ text }) => heard.add(text));
      await sim.settle();
      for (let i = 0; i < 10; i++) a.publish("x", String(i));
      await sim.settle();
      if (!heard.has("3") && !heard.has("7")) throw new Error("both are missing");
    }));
    expect(found.only).toEqual(["drop a>b 4", "drop a>b 8"]);
  });

  test("that needs a partition and an order of packets is reported so", async () => {
    const found = await failing(() => simulate({ faults: { drop: 0.01, delayMs: [0, 10] } }, async (sim) => {
      const [a, b, c] = ["a", "b", "c"].map((name) => sim.connect(name));
      const heard: string[] = [];
      c?.subscribe("x", ({ text }) => heard.push(text));
      await sim.settle();
      a?.publish("x", "first");
      await sim.advance(2);
      b?.publish("x", "second");
      sim.pause("c");
      sim.disconnect("b");
      sim.partition(["c"], ["a"]);
      sim.resume("c");
      await sim.settle();
      sim.heal();
      if (heard.length === 0) throw new Error("nothing was heard");
    }));
    expect(found.only).toContain("partition 1");
    expect(found.only).not.toContain("pause 1");
  });

  test("that needs no fault is reported so", async () => {
    const found = await failing(() => simulate({ faults: { drop: 0.2 } }, async (sim) => {
      const a = sim.connect("a");
      a.subscribe("x", () => undefined);
      for (let i = 0; i < 20; i++) a.publish("x", "");
      await sim.settle();
      throw new TypeError("always");
    }));
    expect(found.only).toEqual([]);
    expect(found.seed).toBe(1);
    expect(found.message).toContain("it fails without any fault");
  });
});

describe("runs", () => {
  const seeds = async (options: Parameters<typeof simulate>[0]): Promise<number[]> => {
    const seen: number[] = [];
    const report = await simulate(options, (sim) => void seen.push(sim.seed));
    expect(report.seeds).toEqual(seen);
    return seen;
  };

  test("a hundred seeds from 1, or those asked for, in the environment before in code", async () => {
    expect(await seeds({})).toEqual(Array.from({ length: 100 }, (_, i) => i + 1));
    expect(await seeds({ runs: 2 })).toEqual([1, 2]);
    expect(await seeds({ seed: 9 })).toEqual([9]);
    expect(await seeds({ seed: 9, runs: 3 })).toEqual([9, 10, 11]);
    process.env["OPENCF_RUNS"] = "4";
    expect(await seeds({ runs: 2 })).toEqual([1, 2, 3, 4]);
    process.env["OPENCF_SEED"] = "17";
    expect(await seeds({ seed: 9, runs: 3 })).toEqual([17]);
    process.env["OPENCF_SEED"] = "seventeen";
    await expect(seeds({})).rejects.toThrow(/OPENCF_SEED must be a whole number/);
  });

  test("in a scenario time passes by itself while everybody waits", async () => {
    await simulate({ runs: 3 }, async (sim) => {
      const a = sim.connect("a");
      await a.flush();
      const bucket = await a.openBucket!("b");
      await bucket.put("k", "v");
      expect((await bucket.get("k"))?.revision).toBe(1);
    });
  });

  test("a scenario that waits for what never comes ends", async () => {
    const found = await failing(() => simulate({ idleMs: 20, shrinkRuns: 0 }, () => new Promise(() => undefined)));
    expect(found.message).toContain("stands still");
  });
});

test("chance of the simulation is well spread", async () => {
  await using sim = createSimulation({ seed: 7 });
  const buckets = new Array<number>(10).fill(0);
  for (let i = 0; i < 10_000; i++) {
    const at = Math.floor(sim.random() * 10);
    buckets[at] = (buckets[at] ?? 0) + 1;
  }
  for (const n of buckets) expect(Math.abs(n - 1_000)).toBeLessThan(150);
});
