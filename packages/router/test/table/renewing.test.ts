import { expect, test } from "vitest";
import { createRouteTable } from "../../src/table/route-table.ts";
import type { RouteTable } from "../../src/table/types.ts";
import { manualClock } from "../fixtures/rig.ts";

const at = { host: "h", port: 80 };

test.each<[string, (table: RouteTable) => unknown]>([
  ["unregistered", (table) => table.unregister("a.com", at)],
  ["stale", (table) => table.prune()],
  ["ejected", (table) => { const pool = table.lookup("a.com", "/"); if (pool?.endpoints[0] !== undefined) table.eject(pool, pool.endpoints[0]); }],
  ["another app's", (table) => table.register("b.com", { ...at, app: "other" })],
  ["another's that says the address is its own", (table) => table.register("a.com", { ...at, app: "other" })],
  ["registered with something new to say", (table) => table.register("a.com", { ...at, app: "app", instanceIndex: "1" })],
  ["under a route with other options", (table) => table.register("a.com", { host: "h", port: 81, app: "app" }, { loadBalancing: "least-connections" })],
  ["known by another token", (table) => table.mark("a.com", at, 8)],
])("an endpoint that is %s is not renewed, nor whoever has its place now; what it was last seen stays known", (_, change) => {
  const clock = manualClock();
  const table = createRouteTable({ clock });
  table.register("a.com", { ...at, app: "app", staleAfterMs: 1_000 });
  const endpoint = table.lookup("a.com", "/")?.endpoints[0];
  const place = table.mark("a.com", at, 7) ?? NaN;
  clock.advance(1_500);
  expect(table.renew(place, 7)).toBe(true);
  const seenMs = clock.now();
  expect(endpoint?.lastSeenMs).toBe(seenMs);
  clock.advance(1_500);
  change(table);
  table.register("new.com", { host: "new", port: 1 });
  expect(table.renew(place, 7)).toBe(false);
  expect(endpoint?.lastSeenMs).toBe(seenMs);
});

test("who registers equal options and all else anew in other objects is still known", () => {
  const table = createRouteTable();
  const say = () => table.register("a.com", { ...at, tags: { component: "x" } }, { loadBalancing: "least-connections" });
  say();
  const place = table.mark("a.com", at, 7) ?? NaN;
  expect([say(), table.renew(place, 7)]).toEqual(["refreshed", true]);
});

test("what does not stand cannot be marked", () => {
  const table = createRouteTable();
  table.register("a.com", at);
  expect([table.mark("b.com", at, 1), table.mark("a.com", { host: "h", port: 81 }, 1)]).toEqual([undefined, undefined]);
});

test("places come back: as many as ever stood at a time, however many have come and gone", () => {
  const table = createRouteTable();
  const places = new Set<number | undefined>();
  for (let number = 0; number < 20_000; number += 1) {
    table.register(`app-${number}.com`, { host: "h", port: 80 });
    places.add(table.mark(`app-${number}.com`, at, 1));
    table.unregister(`app-${number}.com`, at);
  }
  expect(places.size).toBe(1);
});
