import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { choose, type Choice } from "../src/balance.ts";
import { createBackend, createEndpoint, type Endpoint } from "../src/endpoint.ts";
import { markFailed } from "../src/health.ts";
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
  test("13.31 visits all endpoints evenly", () => fc.assert(fc.property(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 10 }), (count, rounds) => {
    const { pool, endpoints } = poolOf(count);
    const counts = tally(pool, count * rounds);
    expect(endpoints.map((endpoint) => counts.get(endpoint))).toEqual(endpoints.map(() => rounds));
  })));

  test("13.32 avoids the failed until their time is over", () => {
    const { pool, endpoints: [bad, good] } = poolOf(2);
    (bad as Endpoint).backend.failedUntil = now + 30_000;
    expect(tally(pool, 10)).toEqual(new Map([[good, 10]]));
    expect(tally(pool, 10, choice({ nowMs: now + 30_000 }))).toEqual(new Map([[bad, 5], [good, 5]]));
  });

  test("13.32 takes the marks off when all have failed", () => {
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
  test("13.33 takes the one with the fewest under way", () => fc.assert(fc.property(fc.array(fc.nat(50), { minLength: 1, maxLength: 12 }), (loads) => {
    const { pool, endpoints } = poolOf(loads.length);
    loads.forEach((load, at) => { (endpoints[at] as Endpoint).backend.inFlight = load; });
    expect((choose(pool, least) as Endpoint).backend.inFlight).toBe(Math.min(...loads));
  })));
  test("13.33 shares among equals", () => {
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

describe("two choices", () => {
  const two = choice({ algorithm: "two-choices" });
  test("takes the less busy of those it draws: never the busiest of many", () => fc.assert(fc.property(fc.integer({ min: 3, max: 200 }), (count) => {
    const { pool, endpoints } = poolOf(count);
    endpoints.forEach(({ backend }, at) => { backend.inFlight = at; });
    for (let n = 0; n < 50; n += 1) expect(choose(pool, two)).not.toBe(endpoints[count - 1]);
  })));
  test("keeps the load of a large pool even", () => {
    const { pool, endpoints } = poolOf(100);
    for (let n = 0; n < 5_000; n += 1) (choose(pool, two) as Endpoint).backend.inFlight += 1;
    const loads = endpoints.map(({ backend }) => backend.inFlight);
    // Drawing one at random would leave some twenty or more above the mean of fifty.
    expect(Math.max(...loads) - 50).toBeLessThan(10);
    expect(50 - Math.min(...loads)).toBeLessThan(10);
  });
  test("finds the one that can be had among many that cannot", () => {
    const { pool, endpoints } = poolOf(300);
    for (const { backend } of endpoints.slice(1)) backend.failedUntil = now + 1;
    for (let n = 0; n < 20; n += 1) expect(choose(pool, two)).toBe(endpoints[0]);
  });
});

describe("zones", () => {
  const inZones = (zones: readonly string[]) => {
    const pool = createPool("a.b", "a.b", "");
    const endpoints = zones.map((availabilityZone, index) => {
      const init = { host: "10.0.0.1", port: 1_000 + index, availabilityZone };
      const endpoint = createEndpoint(init, createBackend(init, init.port), now);
      putEndpoint(pool, endpoint);
      return endpoint;
    });
    return { pool, endpoints };
  };
  for (const algorithm of ["round-robin", "least-connections", "two-choices"] as const) {
    test(`13.35 ${algorithm}: only the zone's, nothing when they are failed or full, and no mark is taken off for it`, () => {
      const { pool, endpoints: [far, near] } = inZones(["z2", "z1"]) as { pool: Pool; endpoints: [Endpoint, Endpoint] };
      const local = choice({ algorithm, zone: "z1", maxPerEndpoint: 2 });
      for (let n = 0; n < 5; n += 1) expect(choose(pool, local)).toBe(near);
      near.backend.inFlight = 2;
      expect(choose(pool, local)).toBe("none");
      near.backend.inFlight = 0;
      markFailed(near.backend, now, 30_000, 240_000);
      expect(choose(pool, local)).toBe("none");
      expect(near.backend.failures).toBe(1);
      expect(choose(pool, choice({ algorithm }))).toBe(far);
    });
  }
});

describe("hash", () => {
  const hashed = (hashKey: string | undefined, more: Partial<Choice> = {}): Choice => choice({ algorithm: "hash", hashKey, ...more });
  test("13.47 sends one key to one instance and spreads many", () => {
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
  test("13.47 is consistent: whoever comes or goes moves its own keys alone, and the order of arrival means nothing", () => {
    const ids = fc.uniqueArray(fc.stringMatching(/^[a-z0-9-]{1,12}$/), { minLength: 2, maxLength: 12 });
    const of = (names: readonly string[]): Pool => {
      const pool = createPool("a.b", "a.b", "");
      names.forEach((instanceId, index) => {
        const init = { host: "10.0.0.1", port: 1_000 + index, instanceId };
        putEndpoint(pool, createEndpoint(init, createBackend(init, init.port), now));
      });
      return pool;
    };
    const chosen = (pool: Pool, key: string): string => (choose(pool, hashed(key)) as Endpoint).instanceId;
    fc.assert(fc.property(ids, fc.array(fc.string(), { minLength: 1, maxLength: 30 }), fc.nat(), (names, keys, at) => {
      const leaver = names[at % names.length] as string;
      const [all, fewer, turned] = [of(names), of(names.filter((name) => name !== leaver)), of([...names].reverse())];
      for (const key of keys) {
        const before = chosen(all, key);
        expect(chosen(turned, key)).toBe(before);
        if (before === leaver) expect(chosen(fewer, key)).not.toBe(leaver);
        else expect(chosen(fewer, key)).toBe(before);
      }
    }));
  });
  test("13.47 the balance bounds every endpoint, however one-sided the keys", () => fc.assert(fc.property(fc.integer({ min: 2, max: 10 }), fc.array(fc.constantFrom("a", "b"), { minLength: 10, maxLength: 200 }), (count, keys) => {
    const { pool, endpoints } = poolOf(count);
    keys.forEach((key, n) => {
      (choose(pool, hashed(key, { hashBalance: 1.25 })) as Endpoint).backend.inFlight += 1;
      for (const { backend } of endpoints) expect(backend.inFlight).toBeLessThanOrEqual(Math.ceil(((n + 1) / count) * 1.25));
    });
  })));
  test("13.47 a failed one's keys go to the next in their order, and come back", () => {
    const { pool } = poolOf(4);
    const first = choose(pool, hashed("k")) as Endpoint;
    markFailed(first.backend, now, 1_000, 1_000);
    const second = choose(pool, hashed("k")) as Endpoint;
    expect(second).not.toBe(first);
    expect(choose(pool, hashed("k", { tried: [first] }))).toBe(second);
    expect(choose(pool, hashed("k", { nowMs: now + 1_000 }))).toBe(first);
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
  for (const algorithm of ["round-robin", "least-connections", "two-choices", "hash"] as const) {
    test(`13.34 ${algorithm} skips the full, and says so when all are`, () => {
      const { pool, endpoints: [one, other] } = poolOf(2) as { pool: Pool; endpoints: [Endpoint, Endpoint] };
      one.backend.inFlight = 2;
      expect(tally(pool, 4, choice({ algorithm, maxPerEndpoint: 2, hashKey: "k" }))).toEqual(new Map([[other, 4]]));
      other.backend.inFlight = 2;
      expect(choose(pool, choice({ algorithm, maxPerEndpoint: 2, hashKey: "k" }))).toBe("overloaded");
    });
  }
  test("13.78 never the same endpoint twice, though it was registered anew meanwhile", () => {
    const { pool, endpoints: [one] } = poolOf(1) as { pool: Pool; endpoints: [Endpoint] };
    putEndpoint(pool, { ...one });
    expect(choose(pool, choice({ tried: [one] }))).toBe("none");
  });
  test("nothing in an empty pool", () => expect(choose(createPool("a", "a", ""), choice())).toBe("none"));
});
