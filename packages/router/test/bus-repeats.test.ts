import { createBus, memoryTransport } from "@opencf/bus";
import { routerRegister, routerUnregister } from "@opencf/bus/messages/route";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createFingerprints } from "../src/bus/fingerprint.ts";
import { Lot } from "../src/bus/lot.ts";
import { createRepeats } from "../src/bus/repeats.ts";
import { routesFromBus } from "../src/bus-link.ts";
import { createRouteTable } from "../src/index.ts";
import { silentLogger } from "../src/ports.ts";
import { manualClock } from "./fixtures/rig.ts";

/** A table fed by a bus, without a router around it. */
async function fed() {
  const bus = await createBus({ transport: memoryTransport() });
  const failed: unknown[] = [];
  bus.on((event) => { if (event.type === "handler_failed") failed.push(event.error); });
  const clock = manualClock();
  const table = createRouteTable({ clock });
  const source = await routesFromBus(bus, { hosts: ["10.0.0.9"] }).start({ table, routerId: "router-1", log: silentLogger, clock });
  return {
    bus, clock, table, failed,
    async flush() { await bus.flush(); await new Promise((resolve) => setImmediate(resolve)); },
    numbers: () => source.numbers?.() ?? {},
    async [Symbol.asyncDispose]() { await source[Symbol.asyncDispose](); await bus[Symbol.asyncDispose](); },
  };
}

const registration = fc.record({
  host: fc.constantFrom("10.0.0.1", "10.0.0.2"), port: fc.constantFrom(80, 81), app: fc.constantFrom("p", "q", ""),
  uris: fc.constantFrom<string[][]>(["a.com"], ["b.com/x"], ["a.com", "b.com/x"], ["b.com/x", "c.com", "a.com"], ["a.com", "no route"]),
  options: fc.constantFrom(undefined, { loadbalancing: "least-connection" }),
});
type Said = typeof registration extends fc.Arbitrary<infer T> ? T : never;
const act = fc.oneof(
  { weight: 3, arbitrary: fc.record({ act: fc.constant("register" as const), body: registration }) },
  { weight: 6, arbitrary: fc.record({ act: fc.constant("repeat" as const), nth: fc.nat(3) }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constant("unregister" as const), nth: fc.nat(3) }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constant("pass" as const), ms: fc.constantFrom(10_000, 60_000, 130_000) }) },
);

test("whether messages repeat each other byte for byte or say the same in other words makes no difference to the table", async () => {
  await fc.assert(fc.asyncProperty(fc.array(act, { maxLength: 40 }), async (acts) => {
    await using same = await fed();
    await using other = await fed();
    const said: Said[] = [];
    for (const [at, one] of acts.entries()) {
      const body = one.act === "register" ? one.body : one.act === "pass" ? undefined : said.at(-1 - one.nth);
      if (one.act === "pass") for (const { clock } of [same, other]) clock.advance(one.ms);
      if (body === undefined) continue;
      if (one.act === "register") said.push(body);
      const kind = one.act === "unregister" ? routerUnregister : routerRegister;
      same.bus.publish(kind, body);
      // A field that nobody reads, with another value each time.
      other.bus.publish(kind, { ...body, nonce: at } as typeof body);
      for (const { clock, flush } of [same, other]) {
        await flush();
        clock.advance(1_000);
      }
      const shown = [same, other].map(({ table }) => table.snapshot().map(({ route, options, endpoints }) => [route, options, endpoints.map(({ address, app, lastSeenMs }) => [address, app, lastSeenMs])]));
      expect(shown[0]).toEqual(shown[1]);
      expect([same.table.routeCount, same.table.lastUpdateMs]).toEqual([other.table.routeCount, other.table.lastUpdateMs]);
      expect(same.numbers()).toEqual(other.numbers());
      expect([...same.failed, ...other.failed]).toEqual([]);
    }
  }), { numRuns: 150 });
});

describe("repeats", () => {
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
  /** `said` gives how many routes were renewed without being read. */
  function kit({ keepMs = 1_000 } = {}) {
    const clock = manualClock();
    const table = createRouteTable({ clock });
    const repeats = createRepeats({ table, keepMs, clock });
    return {
      clock, table, repeats,
      said(text: string, uris: string[] = [text], port = 80) {
        const renewed = repeats.renew(bytes(text));
        if (renewed > 0) return renewed;
        const results = uris.map((uri) => table.register(uri, { host: "h", port }));
        if (results.every((result) => result === "refreshed")) repeats.learn(uris.length, (index, token) => table.mark(uris[index] as string, { host: "h", port }, token));
        return 0;
      },
    };
  }

  test("are known from the third time on, with all of their routes", () => {
    const { said, table, clock } = kit();
    const uris = ["a.com", "b.com", "c.com/x"];
    expect([said("m", uris), said("m", uris)]).toEqual([0, 0]);
    clock.advance(500);
    expect(said("m", uris)).toBe(3);
    expect(table.snapshot().map(({ endpoints }) => endpoints[0]?.lastSeenMs)).toEqual([clock.now(), clock.now(), clock.now()]);
  });

  test("of which one route has gone are read again, and so are those with options that were changed meanwhile", () => {
    const { said, table } = kit();
    const uris = ["a.com", "b.com"];
    for (let times = 0; times < 3; times += 1) said("m", uris);
    table.unregister("b.com", { host: "h", port: 80 });
    expect([said("m", uris), said("m", uris), said("m", uris)]).toEqual([0, 0, 2]);
    table.register("a.com", { host: "h", port: 81 }, { loadBalancing: "least-connections" });
    expect(said("m", uris)).toBe(0);
  });

  test("that another message stands for are read again", () => {
    const { said } = kit();
    expect([said("m", ["a.com"]), said("m", ["a.com"]), said("n", ["a.com"]), said("m", ["a.com"]), said("m", ["a.com"]), said("n", ["a.com"])]).toEqual([0, 0, 0, 0, 1, 0]);
  });

  test("that fall silent are forgotten, those that go on are not", () => {
    const { said, table, clock } = kit({ keepMs: 1_000 });
    for (const text of ["a.com", "b.com"]) for (let times = 0; times < 3; times += 1) said(text);
    // Time is looked at once in 1 024 messages.
    for (let turn = 0; turn < 3; turn += 1) {
      clock.advance(1_000);
      for (let times = 0; times < 1_024; times += 1) expect(said("a.com")).toBe(1);
    }
    expect(said("b.com")).toBe(0);
    expect(table.routeCount).toBe(2);
  });

  test("do not grow beyond what the table holds, whatever a talker puts into its messages", () => {
    const { said, repeats, table } = kit();
    said("first", ["a.com"]);
    for (let number = 0; number < 5_000; number += 1) said(`new ${number}`, ["a.com"]);
    expect(table.routeCount).toBe(1);
    // What was learned last is marked no more, since there was no room for it.
    expect(repeats.renew(bytes("new 4999"))).toBe(0);
    expect(repeats.renew(bytes("new 1025"))).toBe(1);
  });
});

describe("fingerprints", () => {
  test("tell apart any two messages of which one bit or the length differs", () => {
    fc.assert(fc.property(fc.uint8Array({ minLength: 1, maxLength: 400 }), fc.nat(), fc.nat(400), (bytes, bit, shorter) => {
      const of = createFingerprints();
      const { low, high } = of(bytes);
      const changed = Uint8Array.from(bytes);
      const at = bit % (bytes.length * 8);
      changed[at >> 3] = (changed[at >> 3] as number) ^ (1 << (at & 7));
      expect({ ...of(changed) }).not.toEqual({ low, high });
      expect({ ...of(Buffer.concat([bytes, new Uint8Array(shorter + 1)])) }).not.toEqual({ low, high });
      // Wherever the bytes stand.
      expect({ ...of(Buffer.concat([Buffer.from("x"), bytes]).subarray(1)) }).toEqual({ low, high });
    }));
  });

  test("of messages that differ in numbers meet no more often than chance has them meet", () => {
    const of = createFingerprints();
    const [lows, highs] = [new Set<number>(), new Set<number>()];
    const count = 100_000;
    for (let number = 0; number < count; number += 1) {
      const { low, high } = of(Buffer.from(JSON.stringify({ host: `10.0.${number >> 8 & 255}.${number & 255}`, port: 61_000 + number % 1_000, uris: [`app-${number}.example.com`] })));
      lows.add(low);
      highs.add(high);
    }
    // Of so many numbers of 32 bits one meets another 1.2 times.
    expect(lows.size).toBeGreaterThan(count - 15);
    expect(highs.size).toBeGreaterThan(count - 15);
  });
});

test("a lot holds what a map would hold", () => {
  fc.assert(fc.property(fc.array(fc.record({ low: fc.oneof(fc.integer({ min: -5, max: 5 }), fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })), high: fc.integer({ min: 1, max: 3 }), place: fc.nat(1_000), routes: fc.nat(9) }), { maxLength: 500, size: "max" }), (entries) => {
    const lot = new Lot();
    const model = new Map<string, { place: number; routes: number }>();
    for (const { low, high, place, routes } of entries) {
      lot.set(low, high, { place, routes });
      model.set(`${low} ${high}`, { place, routes });
    }
    expect(lot.size).toBe(model.size);
    for (const [key, { place, routes }] of model) {
      const [low = 0, high = 0] = key.split(" ").map(Number);
      expect([lot.get(low, high), lot.routes]).toEqual([place, routes]);
      expect(lot.get(low, 4)).toBe(-1);
    }
  }));
});
