import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createRouteTable, type RouteTable, type TableChange } from "../../src/table/route-table.ts";
import { manualClock } from "../fixtures/rig.ts";

const at = (port: number, more: object = {}) => ({ host: "10.0.0.1", port, ...more });
const found = (table: RouteTable, host: string, path = "/"): string | undefined => table.lookup(host, path)?.key;
const ports = (table: RouteTable, host: string, path = "/"): number[] => (table.lookup(host, path)?.endpoints ?? []).map(({ backend }) => backend.port);

describe("matching", () => {
  for (const order of [["a.com", "a.com/foo", "a.com/foo/bar"], ["a.com/foo/bar", "a.com/foo", "a.com"]]) {
    test(`13.13 longest path wins, registered as ${order.join(", ")}`, () => {
      const table = createRouteTable();
      order.forEach((uri, index) => table.register(uri, at(1_000 + index)));
      for (const [path, key] of [
        ["/", "a.com"], ["/foo", "a.com/foo"], ["/foo/", "a.com/foo"], ["/foo/x/y", "a.com/foo"], ["/foobar", "a.com"], ["/foo/bar", "a.com/foo/bar"],
        ["/foo/bar/baz", "a.com/foo/bar"], ["/foo/barbaz", "a.com/foo"], ["//foo", "a.com"], ["", "a.com"],
      ] as const) expect(found(table, "a.com", path), path).toBe(key);
    });
  }

  test("a path alone serves nothing above it", () => {
    const table = createRouteTable();
    table.register("a.com/foo", at(1));
    expect(found(table, "a.com", "/")).toBeUndefined();
    expect(found(table, "a.com", "/fo")).toBeUndefined();
  });

  test("13.9, 13.12 case: hosts never, paths by option", () => {
    for (const [pathCase, expected] of [["sensitive", undefined], ["insensitive", "a.com/app"]] as const) {
      const table = createRouteTable({ pathCase });
      table.register("A.com/App", at(1));
      expect(found(table, "a.com", "/app")).toBe(expected);
      expect(table.lookup("a.com", "/App")?.contextPath).toBe("/App");
      expect(table.unregister("a.COM/App", at(1))).toBe(true);
    }
  });

  test("13.16 exact host, then the nearest wildcard, any depth", () => {
    const table = createRouteTable();
    for (const [index, uri] of ["*.c", "*.b.c", "a.b.c"].entries()) table.register(uri, at(1 + index));
    for (const [host, key] of [["a.b.c", "a.b.c"], ["x.b.c", "*.b.c"], ["x.y.b.c", "*.b.c"], ["x.c", "*.c"], ["b.c", "*.c"], ["c", undefined], ["d", undefined]] as const) {
      expect(found(table, host), host).toBe(key);
    }
  });

  test("13.18 wildcards with paths, and dots in a path are no labels", () => {
    const table = createRouteTable();
    table.register("*.b/x", at(1));
    expect(found(table, "a.b", "/x/y")).toBe("*.b/x");
    expect(found(table, "a.b", "/y")).toBeUndefined();
    expect(found(table, "a", "/x.b")).toBeUndefined();
  });

  test("13.11 query strings of a registration are ignored", () => {
    const table = createRouteTable();
    table.register("a.com/x?y=1", at(1));
    expect(found(table, "a.com", "/x")).toBe("a.com/x");
    expect(table.unregister("a.com/x?z=2", at(1))).toBe(true);
  });

  test("13.14 finds what a plain search over all routes finds", () => {
    const segment = fc.constantFrom("x", "y", "zz");
    const path = fc.array(segment, { maxLength: 3 }).map((parts) => parts.map((part) => `/${part}`).join(""));
    const host = fc.constantFrom("a.b.c", "b.c", "*.b.c", "*.c", "d.b.c");
    fc.assert(fc.property(fc.array(fc.tuple(host, path), { maxLength: 12 }), fc.constantFrom("a.b.c", "b.c", "q.b.c", "q.r.b.c", "q.c"), path, (routes, wanted, target) => {
      const table = createRouteTable();
      for (const [h, p] of routes) table.register(h + p, at(1));
      const labels = wanted.split(".");
      const names = [wanted, ...labels.slice(1).map((_, index) => `*.${labels.slice(index + 1).join(".")}`)];
      let expected: string | undefined;
      for (const name of names) {
        const matching = routes.filter(([h, p]) => h === name && (p === "" || target === p || target.startsWith(`${p}/`))).map(([h, p]) => h + p);
        matching.sort((one, other) => other.length - one.length);
        if (matching.length > 0) { expected = matching[0]; break; }
      }
      expect(found(table, wanted, target)).toBe(expected);
    }));
  });
});

describe("registering", () => {
  test("13.9 a repeated registration changes nothing but the time", () => {
    const clock = manualClock();
    const table = createRouteTable({ clock });
    const changes: TableChange[] = [];
    table.onChange((change) => changes.push(change));
    expect(table.register("a.com", at(1, { tags: { component: "dea-0" } }))).toBe("added");
    clock.advance(20_000);
    expect(table.register("A.COM", at(1, { tags: { component: "dea-0" } }))).toBe("refreshed");
    expect(table.lookup("a.com", "/")?.endpoints[0]?.lastSeenMs).toBe(clock.now());
    expect([table.routeCount, table.addressCount, changes.length]).toEqual([1, 1, 1]);
  });

  test("13.10 one endpoint under many routes is many routes and one address", () => {
    const table = createRouteTable();
    for (const uri of ["a.com", "b.com", "c.com/x"]) table.register(uri, at(1));
    expect([table.routeCount, table.addressCount]).toEqual([3, 1]);
    const backends = new Set(["a.com", "b.com"].map((host) => table.lookup(host, "/")?.endpoints[0]?.backend));
    expect(backends.size).toBe(1);
  });

  test("an update keeps the place in the pool and the requests under way", () => {
    const table = createRouteTable();
    table.register("a.com", at(1, { instanceIndex: "0" }));
    table.register("a.com", at(2));
    const backend = table.lookup("a.com", "/")?.endpoints[0]?.backend;
    if (backend) backend.inFlight = 7;
    expect(table.register("a.com", at(1, { instanceIndex: "1" }))).toBe("updated");
    expect(ports(table, "a.com")).toEqual([1, 2]);
    expect(table.lookup("a.com", "/")?.endpoints[0]).toMatchObject({ instanceIndex: "1", backend: { inFlight: 7 } });
  });

  test("13.4 tls_port replaces port, in place and back", () => {
    const table = createRouteTable();
    const idle: string[] = [];
    table.onIdleBackend(({ address, tls }) => idle.push(`${address} ${tls}`));
    table.register("a.com", at(443));
    table.register("a.com", { host: "10.0.0.1", port: 80, tlsPort: 443, serverCertDomainSan: "i1" });
    expect(table.lookup("a.com", "/")?.endpoints).toMatchObject([{ address: "10.0.0.1:443", backend: { tls: true, serverName: "i1" } }]);
    expect(idle).toEqual(["10.0.0.1:443 false"]);
    expect(table.unregister("a.com", { host: "10.0.0.1", port: 80, tlsPort: 443 })).toBe(true);
  });

  test("an instance may have tens of thousands of routes: each more costs no more than the first", () => {
    const table = createRouteTable();
    // Minutes, if each of them looked at all others.
    for (let at = 0; at < 50_000; at += 1) table.register(`r${at}.example.com`, { host: "10.0.0.1", port: 8080, app: "many" });
    expect(table.routeCount).toBe(50_000);
    table.register("other.example.com", { host: "10.0.0.1", port: 8080, app: "other" });
    expect(table.routeCount).toBe(1);
  });

  test.each([1, 2, 5, 40, 100])("an address that %i routes lead to knows each of them once, however often they are registered anew, and is idle with the last", (count) => {
    const table = createRouteTable();
    const idle: string[] = [];
    table.onIdleBackend(({ address }) => idle.push(address));
    const uris = Array.from({ length: count }, (_, number) => `r${number}.example.com`);
    for (const instanceIndex of ["0", "1"]) for (const uri of uris) table.register(uri, at(1, { app: "p", instanceIndex }));
    const backend = table.lookup("r0.example.com", "/")?.endpoints[0]?.backend;
    const known = (): string[] => (backend?.routes ?? []).map(({ key }) => key).sort();
    expect(known()).toEqual([...uris].sort());
    for (const [number, uri] of uris.entries()) {
      expect([backend?.isRouted, idle]).toEqual([true, []]);
      expect(table.unregister(uri, at(1))).toBe(true);
      expect(known()).toEqual(uris.slice(number + 1).sort());
    }
    expect([backend?.isRouted, idle]).toEqual([false, ["10.0.0.1:1"]]);
  });

  test("a port that another app has taken over no longer leads to it from the old routes", () => {
    const table = createRouteTable();
    table.register("old.com", at(1, { app: "old" }));
    table.register("old.com", at(2, { app: "old" }));
    table.register("static.com", at(1));
    table.register("new.com", at(1, { app: "new" }));
    expect(ports(table, "old.com")).toEqual([2]);
    expect(ports(table, "new.com")).toEqual([1]);
    expect(ports(table, "static.com")).toEqual([1]);
  });

  for (const [what, endpoint, code] of [
    ["no port", { host: "h" }, "ROUTER_BAD_ENDPOINT"], ["port 0", { host: "h", port: 0 }, "ROUTER_BAD_ENDPOINT"], ["port 65536", { host: "h", port: 65_536 }, "ROUTER_BAD_ENDPOINT"],
    ["half a port", { host: "h", port: 1.5 }, "ROUTER_BAD_ENDPOINT"], ["no host", { host: "", port: 1 }, "ROUTER_BAD_ENDPOINT"], ["a host with a path", { host: "h/x", port: 1 }, "ROUTER_BAD_ENDPOINT"],
  ] as const) {
    test(`${what} is refused and leaves nothing behind`, () => {
      const table = createRouteTable();
      expect(() => table.register("a.com", endpoint)).toThrow(expect.objectContaining({ code }));
      expect(table.snapshot()).toEqual([]);
    });
  }
  test("13.20 an unknown algorithm is refused", () => {
    const table = createRouteTable();
    expect(() => table.register("a.com", at(1), { loadBalancing: "fastest" as never })).toThrow(expect.objectContaining({ code: "ROUTER_BAD_OPTION" }));
    expect(table.snapshot()).toEqual([]);
  });
  test("13.20, 13.21 the last said options of a route count, and leave with its last endpoint", () => {
    const table = createRouteTable();
    table.register("a.com", at(1), { loadBalancing: "least-connections" });
    table.register("a.com", at(2), {});
    expect(table.lookup("a.com", "/")?.options).toEqual({});
  });
});

describe("unregistering", () => {
  test("13.17 takes only that address from only that route", () => {
    const table = createRouteTable();
    for (const uri of ["a.com", "b.com"]) for (const port of [1, 2]) table.register(uri, at(port));
    expect(table.unregister("a.com", at(1))).toBe(true);
    expect([ports(table, "a.com"), ports(table, "b.com")]).toEqual([[2], [1, 2]]);
  });
  test("13.17 of what is not there is harmless", () => {
    const table = createRouteTable();
    table.register("a.com", at(1));
    expect(table.unregister("a.com", at(9))).toBe(false);
    expect(table.unregister("b.com/x", at(1))).toBe(false);
    expect(ports(table, "a.com")).toEqual([1]);
  });
  test("13.18 leaves nothing of a route, and keeps what is below it", () => {
    const table = createRouteTable();
    for (const uri of ["a.com", "a.com/x", "a.com/x/y", "*.com/x"]) table.register(uri, at(1));
    table.unregister("a.com/x", at(1));
    expect(found(table, "a.com", "/x/y")).toBe("a.com/x/y");
    expect(found(table, "a.com", "/x")).toBe("a.com");
    for (const uri of ["a.com", "a.com/x/y", "*.com/x"]) expect(table.unregister(uri, at(1))).toBe(true);
    expect([table.routeCount, table.addressCount, found(table, "a.com", "/x"), found(table, "b.com", "/x")]).toEqual([0, 0, undefined, undefined]);
  });
  test("any sequence ends as a plain map would", () => {
    const uri = fc.constantFrom("a.com", "a.com/x", "a.com/x/y", "*.com");
    fc.assert(fc.property(fc.array(fc.tuple(fc.boolean(), uri, fc.integer({ min: 1, max: 3 })), { maxLength: 60 }), (commands) => {
      const table = createRouteTable();
      const model = new Map<string, Set<number>>();
      for (const [add, route, port] of commands) {
        if (add) { table.register(route, at(port)); model.set(route, (model.get(route) ?? new Set()).add(port)); }
        else { table.unregister(route, at(port)); model.get(route)?.delete(port); if (model.get(route)?.size === 0) model.delete(route); }
      }
      const held = Object.fromEntries(table.snapshot().map(({ route, endpoints }) => [route, endpoints.map(({ backend }) => backend.port).sort()]));
      expect(held).toEqual(Object.fromEntries([...model].map(([route, set]) => [route, [...set].sort()])));
      expect(table.routeCount).toBe(model.size);
      expect(table.addressCount).toBe(new Set([...model.values()].flatMap((set) => [...set])).size);
    }));
  });
});

describe("modification tags", () => {
  const tag = (guid: string, index: number) => ({ modificationTag: { guid, index } });
  for (const [what, held, next, updates, removes] of [
    ["older", tag("g", 2), tag("g", 1), "ignored", false],
    ["equal", tag("g", 2), tag("g", 2), "refreshed", true],
    ["newer", tag("g", 2), tag("g", 3), "updated", true],
    ["of another life", tag("g", 2), tag("h", 0), "updated", true],
    ["missing", tag("g", 2), {}, "updated", true],
  ] as const) {
    test(`13.19 one that is ${what}`, () => {
      const table = createRouteTable();
      table.register("a.com", at(1, held));
      expect(table.register("a.com", at(1, next))).toBe(updates);
      const other = createRouteTable();
      other.register("a.com", at(1, held));
      expect(other.unregister("a.com", at(1, next))).toBe(removes);
    });
  }
});

describe("empty pools", () => {
  test("13.29 are forgotten at once, or after their time", () => {
    const clock = manualClock();
    const table = createRouteTable({ clock, emptyPoolTimeoutMs: 5_000 });
    table.register("a.com", at(1));
    table.unregister("a.com", at(1));
    expect(table.lookup("a.com", "/")?.endpoints).toEqual([]);
    expect(table.routeCount).toBe(0);
    clock.advance(4_999);
    expect(found(table, "a.com")).toBe("a.com");
    clock.advance(1);
    expect(found(table, "a.com")).toBeUndefined();
  });
  test("that fill again stay", () => {
    const clock = manualClock();
    const table = createRouteTable({ clock, emptyPoolTimeoutMs: 5_000 });
    table.register("a.com", at(1));
    table.unregister("a.com", at(1));
    clock.advance(4_000);
    table.register("a.com", at(2));
    clock.advance(60_000);
    expect(ports(table, "a.com")).toEqual([2]);
  });
  test("13.29 after an ejection are known for a while", () => {
    const clock = manualClock();
    const table = createRouteTable({ clock });
    table.register("a.com", at(1));
    const pool = table.lookup("a.com", "/");
    if (pool?.endpoints[0]) table.eject(pool, pool.endpoints[0]);
    expect(found(table, "a.com")).toBe("a.com");
    clock.advance(30_000);
    expect(found(table, "a.com")).toBeUndefined();
  });
  test("13.15 give way to shorter paths and wildcards that have endpoints; among the empty the longest answers", () => {
    const table = createRouteTable({ emptyPoolTimeoutMs: 5_000, clock: manualClock() });
    for (const uri of ["a.com/x/y", "a.com/x", "*.com"]) table.register(uri, at(1));
    table.unregister("a.com/x/y", at(1));
    expect(found(table, "a.com", "/x/y")).toBe("a.com/x");
    table.unregister("a.com/x", at(1));
    expect(found(table, "a.com", "/x/y")).toBe("*.com");
    table.unregister("*.com", at(1));
    expect(found(table, "a.com", "/x/y")).toBe("a.com/x/y");
  });
});

describe("telling", () => {
  test("each change and its reason; a listener that throws harms nobody", () => {
    const clock = manualClock();
    const table = createRouteTable({ clock });
    const told: string[] = [];
    table.onChange(() => { throw new Error("mine"); });
    using _listening = table.onChange(({ type, route, endpoint, why }) => told.push(`${type} ${route} ${endpoint.address} ${why}`));
    table.register("a.com", at(1, { staleAfterMs: 10 }));
    table.register("a.com", at(1, { staleAfterMs: 10, app: "x" }));
    clock.advance(11);
    table.prune();
    expect(told).toEqual(["added a.com 10.0.0.1:1 registered", "updated a.com 10.0.0.1:1 registered", "removed a.com 10.0.0.1:1 stale"]);
  });
  test("when an address is used no more", () => {
    const table = createRouteTable();
    const idle: string[] = [];
    table.onIdleBackend(({ address }) => idle.push(address));
    for (const uri of ["a.com", "b.com"]) table.register(uri, at(1));
    table.unregister("a.com", at(1));
    expect(idle).toEqual([]);
    table.unregister("b.com", at(1));
    expect(idle).toEqual(["10.0.0.1:1"]);
  });
});
