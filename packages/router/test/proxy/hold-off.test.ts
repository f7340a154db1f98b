import { describe, expect, test } from "vitest";
import { createRetryBudget } from "../../src/proxy/retry-budget.ts";
import { createPool, putEndpoint } from "../../src/pool.ts";
import { createBackend, createEndpoint } from "../../src/endpoint.ts";
import { echo, httpBackend, misbehaving } from "../fixtures/backend.ts";
import { ask, eventually } from "../fixtures/client.ts";
import { manualClock, rig } from "../fixtures/rig.ts";

describe("an address that fails and comes back", () => {
  test("13.32 one request finds out, and its answer brings the others back", async () => {
    const clock = manualClock();
    let broken = true;
    const waiting: (() => void)[] = [];
    await using app = await httpBackend((request, response) => {
      if (broken) request.socket.resetAndDestroy();
      else waiting.push(() => response.end("back"));
    });
    await using other = await httpBackend((_, response) => response.end("other"));
    await using r = await rig({ clock });
    r.serve([app, other]);
    for (let n = 0; n < 4; n += 1) expect((await ask(r.port)).body).toBe("other");
    expect(app.requests.length).toBe(1);
    clock.advance(29_999);
    for (let n = 0; n < 4; n += 1) expect((await ask(r.port)).body).toBe("other");
    expect(app.requests.length).toBe(1);
    broken = false;
    clock.advance(1);
    // Of many who could go there now, one does until it is answered.
    const many = Array.from({ length: 6 }, () => ask(r.port));
    await eventually(() => waiting.length === 1 && other.requests.length === 13);
    expect(app.requests.length).toBe(2);
    waiting.shift()?.();
    expect((await Promise.all(many)).map(({ body }) => body).sort()).toEqual(["back", "other", "other", "other", "other", "other"]);
    const after = Array.from({ length: 4 }, () => ask(r.port));
    await eventually(() => waiting.length === 2);
    for (const answer of waiting.splice(0)) answer();
    await Promise.all(after);
  });

  test("a probe that fails holds it off twice as long", async () => {
    const clock = manualClock();
    await using dead = await misbehaving.refuses();
    await using app = await httpBackend(echo);
    await using r = await rig({ clock, failureMarkMs: 1_000, maxFailureMarkMs: 3_000 });
    r.serve([dead, app]);
    const failedAttempts = async (times: number): Promise<number> => {
      const before = r.records.length;
      for (let n = 0; n < times; n += 1) expect((await ask(r.port)).status).toBe(200);
      await eventually(() => r.records.length === before + times);
      return r.records.slice(before).reduce((sum, record) => sum + record.failedAttempts, 0);
    };
    for (const held of [1_000, 2_000, 3_000, 3_000]) {
      expect(await failedAttempts(4)).toBe(1);
      clock.advance(held - 1);
      expect(await failedAttempts(4)).toBe(0);
      clock.advance(1);
    }
  });

  test("13.87 a reset marks the address; whoever registers there anew starts without marks", async () => {
    await using bad = await misbehaving.resets();
    await using app = await httpBackend(echo);
    await using r = await rig();
    r.serve([{ host: bad.host, port: bad.port, instanceId: "i-1" }, app]);
    for (let n = 0; n < 2; n += 1) expect((await ask(r.port)).status).toBe(200);
    const backend = r.router.table.lookup("app.example.com", "/")?.endpoints[0]?.backend;
    expect(backend).toMatchObject({ failures: 1 });
    r.serve([{ host: bad.host, port: bad.port, instanceId: "i-2" }]);
    expect(backend).toMatchObject({ failures: 0, failedUntil: 0 });
  });
});

describe("repetitions", () => {
  test("stop when their time is over", async () => {
    await using other = await httpBackend(echo);
    await using slow = await httpBackend((request) => void setTimeout(() => request.socket.destroy(), 120));
    await using r = await rig({ retryDeadlineMs: 50 });
    r.serve([slow, other]);
    const pool = r.router.table.lookup("app.example.com", "/");
    if (pool !== undefined) pool.cursor = 0;
    expect([(await ask(r.port)).status, other.requests.length]).toEqual([502, 0]);
  });

  test("are a share of what is under way, beyond a few", () => {
    const pool = createPool("a", "a", "");
    const backend = createBackend({ host: "h", port: 1 }, 1);
    putEndpoint(pool, createEndpoint({ host: "h", port: 1 }, backend, 0));
    const budget = createRetryBudget(50);
    for (let n = 0; n < 50; n += 1) expect(budget.begin(pool)).toBe(true);
    expect([budget.begin(pool), budget.refused]).toEqual([false, 1]);
    backend.inFlight = 200;
    for (let n = 50; n < 100; n += 1) expect(budget.begin(pool)).toBe(true);
    expect(budget.begin(pool)).toBe(false);
    budget.end(pool);
    expect([budget.begin(pool), budget.refused]).toEqual([true, 2]);
    const other = createPool("b", "b", "");
    expect(budget.begin(other)).toBe(true);
    const unbounded = createRetryBudget(100);
    for (let n = 0; n < 500; n += 1) expect(unbounded.begin(pool)).toBe(true);
  });

  test("that are refused give the client what the first attempt gave", async () => {
    await using bad = await misbehaving.hangsUp();
    await using app = await httpBackend(echo);
    await using r = await rig({ retryBudgetPercent: 0 });
    r.serve([bad, app]);
    const answers = await Promise.all(Array.from({ length: 200 }, () => ask(r.port)));
    for (const { status } of answers) expect([200, 502]).toContain(status);
    await eventually(() => r.router.inFlight === 0);
    // Every place and every permission is given back: the next request is repeated again.
    const pool = r.router.table.lookup("app.example.com", "/");
    if (pool !== undefined) pool.cursor = 0;
    expect((await ask(r.port)).status).toBe(200);
    expect(pool?.endpoints.map(({ backend }) => backend.inFlight)).toEqual([0, 0]);
  });
});
