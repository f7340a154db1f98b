import { describe, expect, test } from "vitest";
import { choose, type Choice } from "../src/balance.ts";
import { createBackend, createEndpoint, type Backend, type Endpoint } from "../src/endpoint.ts";
import { forgive, isUp, markFailed } from "../src/health.ts";
import { createPool, putEndpoint, type Pool } from "../src/pool.ts";

const now = 1_000_000;
const backendAt = (port: number): Backend => createBackend({ host: "10.0.0.1", port }, port);

describe("an address that fails", () => {
  test("13.32 is held off twice as long each time, up to the most; those under way with it count once", () => {
    const backend = backendAt(1);
    let at = now;
    for (const held of [30_000, 60_000, 120_000, 240_000, 240_000]) {
      markFailed(backend, at, 30_000, 240_000);
      markFailed(backend, at + 5, 30_000, 240_000);
      expect(backend.failedUntil - at).toBe(held);
      expect([isUp(backend, at + held - 1), isUp(backend, at + held)]).toEqual([false, true]);
      at += held;
    }
    forgive(backend);
    expect([backend.failures, backend.failedUntil, isUp(backend, at)]).toEqual([0, 0, true]);
  });

  test("is half open afterwards: one request at a time finds out", () => {
    const pool: Pool = createPool("a.b", "a.b", "");
    const [one, other] = [1, 2].map((port) => {
      const endpoint = createEndpoint({ host: "10.0.0.1", port }, backendAt(port), now);
      putEndpoint(pool, endpoint);
      return endpoint;
    }) as [Endpoint, Endpoint];
    markFailed(one.backend, now, 1_000, 1_000);
    const choice: Choice = { nowMs: now + 1_000, algorithm: "least-connections", maxPerEndpoint: 0, tried: [] };
    other.backend.inFlight = 5;
    expect(choose(pool, choice)).toBe(one);
    one.backend.probing = true;
    expect(choose(pool, choice)).toBe(other);
    forgive(one.backend);
    expect(choose(pool, choice)).toBe(one);
  });

  test("13.32 when all have failed they are all tried again", () => {
    const pool: Pool = createPool("a.b", "a.b", "");
    for (const port of [1, 2, 3]) {
      const backend = backendAt(port);
      markFailed(backend, now, 30_000, 30_000);
      putEndpoint(pool, createEndpoint({ host: "10.0.0.1", port }, backend, now));
    }
    expect(typeof choose(pool, { nowMs: now, algorithm: "round-robin", maxPerEndpoint: 0, tried: [] })).toBe("object");
    expect(pool.endpoints.map(({ backend }) => backend.failures)).toEqual([0, 0, 0]);
  });

  test("a time of 0 holds nobody off", () => {
    const backend = backendAt(1);
    markFailed(backend, now, 0, 0);
    expect(isUp(backend, now)).toBe(true);
  });
});
