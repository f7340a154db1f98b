import fc from "fast-check";
import { expect, test } from "vitest";
import { createRouteTable } from "../../src/table/route-table.ts";
import { manualClock } from "../fixtures/rig.ts";

/** What a table is, said in the plainest way: a list of registrations. */
interface Held {
  readonly route: string;
  readonly port: number;
  readonly tls: boolean;
  readonly app: string;
  readonly index: number | undefined;
  seenMs: number;
  readonly staleMs: number | undefined;
  /** What it was marked with last. */
  token: number;
}

const route = fc.constantFrom("a.com", "a.com/x", "a.com/x/y", "*.com", "b.com", "B.com/X");
const port = fc.integer({ min: 1, max: 4 });
const act = fc.oneof(
  { weight: 6, arbitrary: fc.record({ act: fc.constant("register" as const), route, port, tls: fc.boolean(), app: fc.constantFrom("", "p", "q"), index: fc.option(fc.nat(3), { nil: undefined }), staleMs: fc.option(fc.constantFrom(1_000, 5_000), { nil: undefined }) }) },
  { weight: 3, arbitrary: fc.record({ act: fc.constant("unregister" as const), route, port, index: fc.option(fc.nat(3), { nil: undefined }) }) },
  { weight: 2, arbitrary: fc.record({ act: fc.constant("pass" as const), ms: fc.constantFrom(500, 2_000, 4_000) }) },
  { weight: 2, arbitrary: fc.record({ act: fc.constant("prune" as const) }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constant("refresh" as const) }) },
  { weight: 2, arbitrary: fc.record({ act: fc.constant("mark" as const), nth: fc.nat(3) }) },
  { weight: 4, arbitrary: fc.record({ act: fc.constant("renew" as const), nth: fc.nat(5) }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constant("eject" as const), route, nth: fc.nat(3) }) },
);
const keyOf = (uri: string): string => (uri === "B.com/X" ? "b.com/X" : uri);
/** Whether what is held gives way; the table has no tag where the registration had none. */
const mayFollow = (held: number | undefined, next: number | undefined): boolean => held === undefined || next === undefined || next >= held;

test("13.17, 13.19, 13.23, 13.24, 13.26 whatever happens to it, a table holds what a plain list would hold, and tells it truly", () => {
  fc.assert(fc.property(fc.array(act, { maxLength: 40 }), (acts) => {
    const clock = manualClock();
    const table = createRouteTable({ clock });
    let model: Held[] = [];
    const marks: { place: number; token: number }[] = [];
    const told = new Map<string, number>();
    table.onChange(({ type, route: at, endpoint }) => {
      const key = `${at} ${endpoint.address}`;
      told.set(key, (told.get(key) ?? 0) + (type === "added" ? 1 : type === "removed" ? -1 : 0));
    });

    for (const one of acts) {
      switch (one.act) {
        case "pass": clock.advance(one.ms); break;
        case "refresh":
          table.refreshAll();
          for (const held of model) held.seenMs = clock.now();
          break;
        case "mark": {
          const held = model.at(-1 - one.nth);
          if (held === undefined) break;
          held.token = marks.length + 1;
          marks.push({ place: table.mark(held.route, { host: "h", port: held.port }, held.token) as number, token: held.token });
          break;
        }
        case "renew": {
          const mark = marks.at(-1 - one.nth);
          if (mark === undefined) break;
          const held = model.find(({ token }) => token === mark.token);
          expect(table.renew(mark.place, mark.token)).toBe(held !== undefined);
          if (held !== undefined) held.seenMs = clock.now();
          break;
        }
        case "prune": {
          const before = model.length;
          model = model.filter(({ tls, staleMs, seenMs }) => tls || staleMs === undefined || clock.now() - seenMs <= staleMs);
          expect(table.prune()).toBe(before - model.length);
          break;
        }
        case "eject": {
          const pool = [...table.snapshot()].find(({ route: at }) => at === keyOf(one.route));
          const endpoint = pool?.endpoints[one.nth];
          const found = pool === undefined ? undefined : table.lookup(keyOf(one.route).split("/")[0] as string, keyOf(one.route).slice(keyOf(one.route).indexOf("/")));
          if (endpoint === undefined || found?.key !== pool?.route || found === undefined) break;
          table.eject(found, endpoint);
          model = model.filter((held) => !(held.route === found.key && held.port === endpoint.backend.port));
          break;
        }
        case "unregister": {
          const at = model.findIndex((held) => held.route === keyOf(one.route) && held.port === one.port);
          const gone = at >= 0 && mayFollow(model[at]?.index, one.index);
          if (gone) model.splice(at, 1);
          expect(table.unregister(one.route, { host: "h", port: one.port, ...(one.index === undefined ? {} : { modificationTag: { guid: "g", index: one.index } }) })).toBe(gone);
          break;
        }
        case "register": {
          const next: Held = { route: keyOf(one.route), port: one.port, tls: one.tls, app: one.app, index: one.index, staleMs: one.staleMs, seenMs: clock.now(), token: 0 };
          const at = model.findIndex((held) => held.route === next.route && held.port === next.port);
          const held = model[at];
          const result = table.register(one.route, {
            host: "h", ...(one.tls ? { tlsPort: one.port } : { port: one.port }), app: one.app,
            ...(one.staleMs === undefined ? {} : { staleAfterMs: one.staleMs }), ...(one.index === undefined ? {} : { modificationTag: { guid: "g", index: one.index } }),
          });
          if (held !== undefined && !mayFollow(held.index, next.index)) {
            expect(result).toBe("ignored");
            break;
          }
          const same = held !== undefined && held.tls === next.tls && held.app === next.app && held.index === next.index && held.staleMs === next.staleMs;
          expect(result).toBe(held === undefined ? "added" : same ? "refreshed" : "updated");
          if (same) next.token = held.token;
          if (held === undefined) model.push(next);
          else model[at] = next;
          // Another app on the same socket: what was there before is gone. Plain and TLS are two sockets to the table.
          if (!same && next.app !== "") model = model.filter((other) => other === next || other.port !== next.port || other.tls !== next.tls || other.app === "" || other.app === next.app);
          break;
        }
      }
      const routes = new Map<string, number[]>();
      for (const held of model) routes.set(held.route, [...routes.get(held.route) ?? [], held.port]);
      const snapshot = table.snapshot().filter(({ endpoints }) => endpoints.length > 0);
      for (const { route: at, endpoints } of snapshot) for (const { backend, lastSeenMs } of endpoints) {
        const seenMs = model.find((held) => held.route === at && held.port === backend.port)?.seenMs ?? NaN;
        // Who was refreshed together with all others keeps its own time.
        expect(lastSeenMs).toBeLessThanOrEqual(seenMs);
        if (!acts.some((each) => each.act === "refresh")) expect(lastSeenMs).toBe(seenMs);
      }
      expect(Object.fromEntries(snapshot.map(({ route: at, endpoints }) => [at, endpoints.map(({ backend }) => backend.port).sort()]))).toEqual(Object.fromEntries([...routes].map(([at, ports]) => [at, ports.sort()])));
      expect([table.routeCount, table.addressCount]).toEqual([routes.size, new Set(model.map(({ port: at, tls }) => `${at} ${tls}`)).size]);
      for (const [key, times] of told) expect(times, key).toBe(model.some((held) => `${held.route} h:${held.port}` === key) ? 1 : 0);
      for (const { endpoints } of snapshot) for (const { backend } of endpoints) expect(backend.isRouted).toBe(true);
    }
  }), { numRuns: 300 });
});
