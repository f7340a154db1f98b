import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { diffRoutes } from "../../src/table/diff.ts";
import { createRouteTable } from "../../src/table/route-table.ts";
import { manualClock } from "../fixtures/rig.ts";

const at = (port: number, more: object = {}) => ({ host: "10.0.0.1", port, ...more });

describe("waiting for endpoints", () => {
  test("resolves at once when they are there", async () => {
    const table = createRouteTable();
    table.register("a.com", at(1));
    expect((await table.waitFor("A.com/")).endpoints.map(({ backend }) => backend.port)).toEqual([1]);
    expect((await table.waitFor("nobody.com", { endpoints: 0 })).endpoints).toEqual([]);
  });

  test("resolves with the registration that makes the number full, in either direction", async () => {
    const table = createRouteTable();
    const two = table.waitFor("a.com/x", { endpoints: 2 });
    for (const port of [1, 2]) table.register("a.com/x", at(port));
    expect((await two).endpoints.length).toBe(2);
    const none = table.waitFor("a.com/x", { endpoints: 0 });
    for (const port of [1, 2]) table.unregister("a.com/x", at(port));
    expect(await none).toEqual({ route: "a.com/x", options: {}, endpoints: [] });
  });

  test("a condition on the number, and other routes do not count", async () => {
    const table = createRouteTable();
    const many = table.waitFor("a.com", { endpoints: (count) => count >= 3 });
    for (const port of [1, 2, 3, 4]) table.register("b.com", at(port));
    for (const port of [1, 2]) table.register("a.com", at(port));
    let done = false;
    void many.then(() => { done = true; });
    await Promise.resolve();
    expect(done).toBe(false);
    table.register("a.com", at(3));
    expect((await many).endpoints.length).toBe(3);
  });

  test("has a deadline, which tells what is missing", async () => {
    const clock = manualClock();
    const table = createRouteTable({ clock });
    table.register("a.com", at(1));
    const waiting = table.waitFor("a.com", { endpoints: 3, timeoutMs: 5_000 });
    clock.advance(5_000);
    await expect(waiting).rejects.toMatchObject({ code: "ROUTER_WAIT_TIMEOUT", retryable: true, message: "a.com has 1 endpoints, not 3 endpoints, after 5000 ms" });
  });

  test("ends with its signal, also with one that is over already, and leaves no listener behind", async () => {
    const table = createRouteTable();
    const reason = new Error("enough");
    await expect(table.waitFor("a.com", { signal: AbortSignal.abort(reason) })).rejects.toMatchObject({ code: "ROUTER_ABORTED", cause: reason });
    const control = new AbortController();
    let asked = 0;
    const waiting = table.waitFor("a.com", { signal: control.signal, endpoints: () => { asked += 1; return false; } });
    control.abort(reason);
    await expect(waiting).rejects.toMatchObject({ code: "ROUTER_ABORTED", cause: reason });
    const before = asked;
    table.register("a.com", at(1));
    expect(asked).toBe(before);
  });

  test("a condition that throws ends it, a route that is none is refused", async () => {
    const table = createRouteTable();
    await expect(table.waitFor("a.com", { endpoints: () => { throw new Error("mine"); } })).rejects.toThrow("mine");
    await expect(table.waitFor("https://a.com")).rejects.toMatchObject({ code: "ROUTER_BAD_URI" });
  });
});

describe("the difference of two snapshots", () => {
  test("names what came, went and changed, and what is said of routes", () => {
    const table = createRouteTable();
    table.register("a.com", at(1, { instanceIndex: "0" }));
    table.register("a.com", at(2));
    table.register("gone.com", at(3), { loadBalancing: "least-connections" });
    const before = table.snapshot();
    table.register("a.com", at(1, { instanceIndex: "1" }), { maxAttempts: 5 });
    table.unregister("a.com", at(2));
    table.unregister("gone.com", at(3));
    table.register("new.com/x", at(4));
    const { added, updated, removed, options } = diffRoutes(before, table.snapshot());
    expect(added.map(({ route, endpoint }) => `${route} ${endpoint.address}`)).toEqual(["new.com/x 10.0.0.1:4"]);
    expect(updated.map(({ route, before: was, after }) => `${route} ${was.instanceIndex} ${after.instanceIndex}`)).toEqual(["a.com 0 1"]);
    expect(removed.map(({ route, endpoint }) => `${route} ${endpoint.address}`).sort()).toEqual(["a.com 10.0.0.1:2", "gone.com 10.0.0.1:3"]);
    expect([...options].sort((one, other) => (one.route < other.route ? -1 : 1))).toEqual([
      { route: "a.com", before: {}, after: { maxAttempts: 5 } }, { route: "gone.com", before: { loadBalancing: "least-connections" }, after: {} },
    ]);
  });

  test("heartbeats and the order of options are no difference", () => {
    const clock = manualClock();
    const table = createRouteTable({ clock });
    table.register("a.com", at(1), { maxAttempts: 2, hashBalance: 0 });
    const before = table.snapshot();
    clock.advance(20_000);
    table.register("a.com", at(1), { hashBalance: 0, maxAttempts: 2 });
    expect(diffRoutes(before, table.snapshot())).toEqual({ added: [], updated: [], removed: [], options: [] });
  });

  test("applied to the first it makes the second, whatever happened between", () => {
    const act = fc.record({ uri: fc.constantFrom("a.com", "a.com/x", "*.com", "b.com"), port: fc.integer({ min: 1, max: 4 }), index: fc.constantFrom("0", "1"), on: fc.boolean() });
    fc.assert(fc.property(fc.array(act, { maxLength: 20 }), fc.array(act, { maxLength: 20 }), (first, second) => {
      const table = createRouteTable();
      const run = (acts: typeof first): Set<string> => {
        for (const { uri, port, index, on } of acts) {
          if (on) table.register(uri, at(port, { instanceIndex: index }));
          else table.unregister(uri, at(port));
        }
        return new Set(table.snapshot().flatMap(({ route, endpoints }) => endpoints.map(({ address, instanceIndex }) => `${route} ${address} ${instanceIndex}`)));
      };
      const held = run(first);
      const before = table.snapshot();
      const after = run(second);
      const { added, updated, removed } = diffRoutes(before, table.snapshot());
      for (const { route, endpoint } of removed) held.delete(`${route} ${endpoint.address} ${endpoint.instanceIndex}`);
      for (const { route, before: was, after: is } of updated) {
        held.delete(`${route} ${was.address} ${was.instanceIndex}`);
        held.add(`${route} ${is.address} ${is.instanceIndex}`);
      }
      for (const { route, endpoint } of added) held.add(`${route} ${endpoint.address} ${endpoint.instanceIndex}`);
      expect(held).toEqual(after);
    }));
  });
});
