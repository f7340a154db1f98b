import { describe, expect, test } from "vitest";
import { createPruner } from "../../src/table/pruner.ts";
import { createRouteTable } from "../../src/table/route-table.ts";
import { manualClock } from "../fixtures/rig.ts";

const stale = { staleAfterMs: 120_000, source: "bus" };

describe("pruning", () => {
  test("13.23 takes the stale, keeps the fresh, their own threshold counts, what is below a pruned route stays", () => {
    const clock = manualClock();
    const table = createRouteTable({ clock });
    using _pruner = createPruner(table, { clock });
    table.register("a.com", { host: "h", port: 1, ...stale });
    table.register("a.com/x", { host: "h", port: 2, ...stale });
    table.register("short.com", { host: "h", port: 3, ...stale, staleAfterMs: 10_000 });
    table.register("forever.com", { host: "h", port: 4 });
    clock.advance(30_000);
    expect(table.snapshot().map(({ route }) => route).sort()).toEqual(["a.com", "a.com/x", "forever.com"]);
    clock.advance(60_000);
    table.register("a.com/x", { host: "h", port: 2, ...stale });
    clock.advance(60_000);
    expect(table.snapshot().map(({ route }) => route).sort()).toEqual(["a.com/x", "forever.com"]);
  });

  test("13.23 a negative threshold is over at once", () => {
    const clock = manualClock();
    const table = createRouteTable({ clock });
    table.register("a.com", { host: "h", port: 1, staleAfterMs: -1_000 });
    expect(table.prune()).toBe(1);
  });

  test("13.24 endpoints with TLS stay: their certificate says who they are", () => {
    const clock = manualClock();
    const table = createRouteTable({ clock });
    using _pruner = createPruner(table, { clock });
    table.register("a.com", { host: "h", tlsPort: 1, ...stale });
    clock.advance(600_000);
    expect(table.routeCount).toBe(1);
  });

  test("only its own source", () => {
    const clock = manualClock();
    const table = createRouteTable({ clock });
    using _pruner = createPruner(table, { clock, source: "bus" });
    table.register("a.com", { host: "h", port: 1, ...stale });
    table.register("b.com", { host: "h", port: 2, ...stale, source: "other" });
    clock.advance(300_000);
    expect(table.snapshot().map(({ route }) => route).sort()).toEqual(["b.com"]);
  });

  test("13.26 waits while suspended, and then gives a full term", () => {
    const clock = manualClock();
    const table = createRouteTable({ clock });
    let down = false;
    using _pruner = createPruner(table, { clock, suspended: () => down });
    table.register("dead.com", { host: "h", port: 1, ...stale });
    table.register("live.com", { host: "h", port: 2, ...stale });
    down = true;
    clock.advance(3_600_000);
    expect(table.routeCount).toBe(2);
    down = false;
    clock.advance(30_000);
    expect(table.routeCount).toBe(2);
    clock.advance(90_000);
    table.register("live.com", { host: "h", port: 2, ...stale });
    clock.advance(60_000);
    expect(table.snapshot().map(({ route }) => route).sort()).toEqual(["live.com"]);
  });

  test("ends with its disposal", () => {
    const clock = manualClock();
    const table = createRouteTable({ clock });
    createPruner(table, { clock })[Symbol.dispose]();
    table.register("a.com", { host: "h", port: 1, ...stale });
    clock.advance(600_000);
    expect(table.routeCount).toBe(1);
  });
});
