import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { choose, type Choice } from "../src/balance.ts";
import { createBackend, createEndpoint, type Endpoint } from "../src/endpoint.ts";
import { createPool, putEndpoint, type Pool } from "../src/pool.ts";

const now = 1_000_000;

function poolOf(count: number): { pool: Pool; endpoints: Endpoint[] } {
  const pool = createPool("a.b", "a.b", "");
  const endpoints = Array.from({ length: count }, (_, index) => {
    const init = { host: "10.0.0.1", port: 1_000 + index, instanceId: `i${index}` };
    const endpoint = createEndpoint(init, createBackend(init, init.port), now);
    putEndpoint(pool, endpoint);
    return endpoint;
  });
  return { pool, endpoints };
}

const choice = (more: Partial<Choice> = {}): Choice => ({ nowMs: now, algorithm: "round-robin", maxPerEndpoint: 0, tried: [], ...more });
const tally = (pool: Pool, times: number, given = choice()): Map<unknown, number> => {
  const counts = new Map<unknown, number>();
  for (let n = 0; n < times; n += 1) {
    const chosen = choose(pool, given);
    counts.set(chosen, (counts.get(chosen) ?? 0) + 1);
  }
  return counts;
};

describe("round robin", () => {
  test("visits all endpoints evenly", () => fc.assert(fc.property(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 10 }), (count, rounds) => {
    const { pool, endpoints } = poolOf(count);
    const counts = tally(pool, count * rounds);
    expect(endpoints.map((endpoint) => counts.get(endpoint))).toEqual(endpoints.map(() => rounds));
  })));

  test("avoids the failed until their time is over", () => {
    const { pool, endpoints: [bad, good] } = poolOf(2);
    (bad as Endpoint).backend.failedUntil = now + 30_000;
    expect(tally(pool, 10)).toEqual(new Map([[good, 10]]));
    expect(tally(pool, 10, choice({ nowMs: now + 30_000 }))).toEqual(new Map([[bad, 5], [good, 5]]));
  });

  test("takes the marks off when all have failed", () => {
    const { pool, endpoints } = poolOf(3);
    for (const { backend } of endpoints) backend.failedUntil = now + 30_000;
    expect(tally(pool, 30).size).toBe(3);
    expect(endpoints.map(({ backend }) => backend.failedUntil)).toEqual([0, 0, 0]);
  });

  test("leaves the marks of those it could not have chosen", () => {
    const { pool, endpoints } = poolOf(3);
    for (const { backend } of endpoints) backend.failedUntil = now + 30_000;
    const [far, near] = endpoints as [Endpoint, Endpoint];
    expect(choose(pool, choice({ eligible: (endpoint) => endpoint === near }))).toBe(near);
    expect(far.backend.failedUntil).toBe(now + 30_000);
  });
});

describe("least connections", () => {
  const least = choice({ algorithm: "least-connections" });
  test("takes the one with the fewest under way", () => fc.assert(fc.property(fc.array(fc.nat(50), { minLength: 1, maxLength: 12 }), (loads) => {
    const { pool, endpoints } = poolOf(loads.length);
    loads.forEach((load, at) => { (endpoints[at] as Endpoint).backend.inFlight = load; });
    expect((choose(pool, least) as Endpoint).backend.inFlight).toBe(Math.min(...loads));
  })));
  test("shares among equals", () => {
    const { pool } = poolOf(4);
    expect([...tally(pool, 40, least).values()]).toEqual([10, 10, 10, 10]);
  });
  test("is not drawn to a dead endpoint that has nothing to do", () => {
    const { pool, endpoints: [dead, busy] } = poolOf(2) as { pool: Pool; endpoints: [Endpoint, Endpoint] };
    dead.backend.failedUntil = now + 1;
    busy.backend.inFlight = 9;
    expect(choose(pool, least)).toBe(busy);
  });
});

describe("hash", () => {
  const hashed = (hashKey: string | undefined, more: Partial<Choice> = {}): Choice => choice({ algorithm: "hash", hashKey, ...more });
  test("sends one key to one instance and spreads many", () => {
    const { pool } = poolOf(5);
    expect(tally(pool, 20, hashed("tenant-1")).size).toBe(1);
    const counts = new Map<unknown, number>();
    for (let n = 0; n < 2_000; n += 1) {
      const chosen = choose(pool, hashed(`tenant-${n}`));
      counts.set(chosen, (counts.get(chosen) ?? 0) + 1);
    }
    for (const count of counts.values()) expect(count).toBeGreaterThan(250);
    expect(counts.size).toBe(5);
  });
  test("moves only the keys of an endpoint that leaves", () => {
    const { pool, endpoints } = poolOf(5);
    const before = Array.from({ length: 300 }, (_, n) => choose(pool, hashed(`k${n}`)));
    pool.endpoints.splice(pool.endpoints.indexOf(endpoints[2] as Endpoint), 1);
    before.forEach((held, n) => { if (held !== endpoints[2]) expect(choose(pool, hashed(`k${n}`))).toBe(held); });
  });
  test("goes on to another on a retry", () => {
    const { pool } = poolOf(3);
    const first = choose(pool, hashed("k")) as Endpoint;
    expect(choose(pool, hashed("k", { tried: [first] }))).not.toBe(first);
  });
  test("keeps within the balance", () => {
    const { pool } = poolOf(2);
    const first = choose(pool, hashed("k", { hashBalance: 1.25 })) as Endpoint;
    first.backend.inFlight = 10;
    expect(choose(pool, hashed("k", { hashBalance: 1.25 }))).not.toBe(first);
  });
  test("without the header it is round robin", () => expect(tally(poolOf(3).pool, 9, hashed(undefined)).size).toBe(3));
});

describe("limits", () => {
  for (const algorithm of ["round-robin", "least-connections", "hash"] as const) {
    test(`${algorithm} skips the full, and says so when all are`, () => {
      const { pool, endpoints: [one, other] } = poolOf(2) as { pool: Pool; endpoints: [Endpoint, Endpoint] };
      one.backend.inFlight = 2;
      expect(tally(pool, 4, choice({ algorithm, maxPerEndpoint: 2, hashKey: "k" }))).toEqual(new Map([[other, 4]]));
      other.backend.inFlight = 2;
      expect(choose(pool, choice({ algorithm, maxPerEndpoint: 2, hashKey: "k" }))).toBe("overloaded");
    });
  }
  test("never the same endpoint twice, though it was registered anew meanwhile", () => {
    const { pool, endpoints: [one] } = poolOf(1) as { pool: Pool; endpoints: [Endpoint] };
    putEndpoint(pool, { ...one });
    expect(choose(pool, choice({ tried: [one] }))).toBe("none");
  });
  test("nothing in an empty pool", () => expect(choose(createPool("a", "a", ""), choice())).toBe("none"));
});
