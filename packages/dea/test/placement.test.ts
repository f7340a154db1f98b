import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { place, type PlacementHost, type PlacementRequest, type RefusalCode, runtimeAnswers } from "../src/placement.ts";

const GiB = 1024 ** 3;
const MiB = 1024 ** 2;
const host = (id: string, over: Partial<PlacementHost> = {}): PlacementHost =>
  ({ id, stacks: ["cflinuxfs4"], memory: { freeBytes: GiB }, disk: { freeBytes: 4 * GiB }, ...over });
const wish: PlacementRequest = { app: "a", stack: "cflinuxfs4", memoryBytes: 256 * MiB, diskBytes: GiB };

describe("what does not fit, with its numbers (dea.md 11: filters)", () => {
  test.each<[RefusalCode, PlacementHost[], Partial<PlacementRequest>, object, string]>([
    ["no-hosts", [], {}, { hosts: 0, considered: 0 }, "no host has announced itself"],
    ["no-pool", [host("1")], { pool: "gold" }, { pool: "gold", considered: 1 }, "no host belongs to the isolation segment gold (of 1 host)"],
    ["no-pool", [host("1", { pool: "gold" })], {}, { pool: undefined }, "every host belongs to an isolation segment (of 1 host)"],
    ["no-stack", [host("1", { stacks: ["other"] }), host("2", { stacks: [] })], {}, { stack: "cflinuxfs4", considered: 2 }, "no host has the stack cflinuxfs4 (of 2 hosts)"],
    ["no-runtime", [host("1", { runtimes: [{ name: "node", version: "18.1.0" }] }), host("2", { stacks: [] })], { runtimes: [{ name: "node", version: "20" }, { name: "java" }] },
      { considered: 1, runtimes: [{ name: "node", version: "20" }, { name: "java" }] }, "no host has node 20 and java (of 1 host)"],
    ["no-limits", [host("1", { enforces: ["memory"] }), host("2", { stacks: [] }), host("3")], { requires: ["memory", "egress"] },
      { considered: 2, requires: ["memory", "egress"] }, "no host enforces memory and egress (of 2 hosts)"],
    ["no-memory", [host("1", { memory: { freeBytes: 255 * MiB } }), host("2", { memory: { freeBytes: -GiB } })], {}, { askedBytes: 256 * MiB, mostBytes: 255 * MiB, considered: 2 },
      "memory: 256 MB asked, at most 255 MB free on one of 2 hosts"],
    ["no-memory", [host("1", { memory: { freeBytes: -GiB } })], {}, { mostBytes: -GiB }, "memory: 256 MB asked, at most 0 MB free on one of 1 host"],
    ["no-disk", [host("1", { disk: { freeBytes: 1 } }), host("2", { memory: { freeBytes: 1 } })], {}, { askedBytes: GiB, mostBytes: 1, considered: 1 }, "disk: 1024 MB asked, at most 0 MB free on one of 1 host"],
    ["no-instances", [host("1", { freeInstances: 0 })], {}, { considered: 1 }, "each of 1 host with room is at its limit of instances"],
  ])("%s", (code, hosts, over, numbers, text) => {
    expect(place({ ...wish, ...over }, hosts)).toMatchObject({ ok: false, refusal: { code, text, hosts: hosts.length, ...numbers } });
  });

  test("hosts that have refused are left out, and that is said", () => {
    expect(place(wish, [host("1"), host("2", { memory: { freeBytes: 300 * MiB } })], { leaveOut: new Set(["1"]) })).toEqual({ ok: true, host: "2" });
    expect(place(wish, [host("1"), host("2", { memory: { freeBytes: 1 } })], { leaveOut: new Set(["1"]) }))
      .toMatchObject({ ok: false, refusal: { code: "left-out", considered: 1, text: "only hosts that were left out have room (1)" } });
  });
});

describe("what is chosen", () => {
  test.each<[string, PlacementHost[], Partial<PlacementRequest>, string]>([
    ["memory to the last byte fits", [host("1", { memory: { freeBytes: 256 * MiB } })], {}, "1"],
    ["unknown disk is enough (dea.md 11)", [{ id: "1", stacks: ["cflinuxfs4"], memory: { freeBytes: GiB } }], {}, "1"],
    ["what is required is enforced, though it is fuller", [host("1", { enforces: ["memory"] }), host("2", { enforces: ["egress", "memory", "disk"], memory: { freeBytes: 300 * MiB } })], { requires: ["memory", "egress"] }, "2"],
    ["overcommit makes room", [host("1", { memory: { totalBytes: 200 * MiB, reservedBytes: 0, overcommit: 1.5 } })], {}, "1"],
    ["fewest instances of the app, though it is fuller", [host("1", { instances: { a: 1 } }), host("2", { memory: { freeBytes: 300 * MiB } })], {}, "2"],
    ["the emptier zone, though its host is fuller", [host("1", { zone: "x", instances: { a: 1 } }), host("2", { zone: "x" }), host("3", { zone: "y", memory: { freeBytes: 300 * MiB } })], {}, "3"],
    ["a missing zone is the zone `default`", [host("1", { instances: { a: 1 } }), host("2", { zone: "default" }), host("3", { zone: "y", memory: { freeBytes: 300 * MiB } })], {}, "3"],
    ["instances on hosts that do not fit count for their zone", [host("1", { zone: "x", stacks: [], instances: { a: 2 } }), host("2", { zone: "x" }), host("3", { zone: "y", instances: { a: 1 } })], {}, "3"],
    ["those of another pool do not", [host("1", { zone: "x", pool: "gold", instances: { a: 2 } }), host("2", { zone: "x" }), host("3", { zone: "y", instances: { a: 1 } })], {}, "2"],
    ["equal zones before single hosts", [host("1", { zone: "x", instances: { a: 1 } }), host("2", { zone: "y", instances: { a: 1 } }), host("3", { zone: "y", instances: { a: 1 } }), host("4", { zone: "y" })], {}, "1"],
    ["single hosts before equal zones, where asked for", [host("1", { zone: "x", instances: { a: 1 } }), host("2", { zone: "y", instances: { a: 1 } }), host("3", { zone: "y", instances: { a: 1 } }), host("4", { zone: "y" })], { spreadFirst: "host" }, "4"],
    ["most free bytes, where hosts do not tell their size", [host("1", { memory: { freeBytes: 300 * MiB } }), host("2")], {}, "2"],
    ["the largest part free, where they do", [host("1", { memory: { totalBytes: 8 * GiB, freeBytes: 2 * GiB } }), host("2", { memory: { totalBytes: 2 * GiB, freeBytes: GiB } })], {}, "2"],
    ["the scarcer of memory and disk counts", [host("1", { disk: { totalBytes: 100 * GiB, freeBytes: 2 * GiB }, memory: { totalBytes: 2 * GiB, freeBytes: 2 * GiB } }), host("2", { disk: { totalBytes: 8 * GiB, freeBytes: 4 * GiB }, memory: { totalBytes: 2 * GiB, freeBytes: GiB } })], {}, "2"],
    ["its own pool and no other", [host("1"), host("2", { pool: "gold", memory: { freeBytes: 300 * MiB } }), host("3", { pool: "silver" })], { pool: "gold" }, "2"],
    ["the host with the runtime", [host("1"), host("2", { runtimes: [{ name: "node", version: "20.19.2" }] })], { runtimes: [{ name: "node", version: "20" }] }, "2"],
    ["an app by the name of a method", [host("1"), host("2", { instances: { constructor: 1 } })], { app: "constructor" }, "1"],
  ])("%s", (_, hosts, over, expected) => {
    expect(place({ ...wish, ...over }, hosts)).toEqual({ ok: true, host: expected });
  });

  test("the example of the README", async () => {
    const text = await readFile(fileURLToPath(new URL("../README.md", import.meta.url)), "utf8");
    const [, code = "", answer = ""] = /(const GiB = 1024 \*\* 3;\nplace\([\s\S]*?\n\]\)); \/\/ (.*)\n/.exec(text) ?? [];
    expect(runInNewContext(code, { place: (request: PlacementRequest, list: PlacementHost[]) => place(request, list) })).toEqual({ ok: true, host: "b" });
    expect(answer).toBe('{ ok: true, host: "b" }');
  });

  test.each([["node", undefined, true], ["node", "20", true], ["node", "20.19", true], ["node", "20.19.2", true], ["node", "2", false], ["node", "20.1", false], ["node", "20.19.2.1", false], ["ruby", undefined, false]] as const)(
    "node 20.19.2 for %s %s: %s", (name, version, expected) => {
      expect(runtimeAnswers({ name: "node", version: "20.19.2" }, version === undefined ? { name } : { name, version })).toBe(expected);
    });
  test("a runtime of unknown version is none of a certain one", () => {
    expect(runtimeAnswers({ name: "node" }, { name: "node", version: "20" })).toBe(false);
    expect(runtimeAnswers({ name: "node" }, { name: "node" })).toBe(true);
  });

  test.each<[string, () => unknown, string]>([
    ["no amount of memory", () => place({ ...wish, memoryBytes: Number.NaN }, []), "DEA_INVALID_SPEC"],
    ["less than no disk", () => place({ ...wish, diskBytes: -1 }, []), "DEA_INVALID_SPEC"],
    ["a host with NaN free", () => place(wish, [host("1", { memory: { freeBytes: Number.NaN } })]), "DEA_INVALID_HOST"],
    ["a host of negative size", () => place(wish, [host("1", { memory: { totalBytes: -1, reservedBytes: 0 } })]), "DEA_INVALID_HOST"],
    ["one id twice", () => place(wish, [host("1"), host("1")]), "DEA_INVALID_HOST"],
  ])("refuses to guess: %s", (_, run, code) => expect(run).toThrow(expect.objectContaining({ code })));
});

// Hosts of every kind, small enough that nothing fits now and then.
const hosts = fc.uniqueArray(fc.record({
  id: fc.integer({ min: 0, max: 40 }).map(String),
  zone: fc.constantFrom("x", "y", "z"),
  pool: fc.constantFrom(undefined, undefined, "gold"),
  stacks: fc.constantFrom(["s"], ["s", "t"], ["t"]),
  runtimes: fc.constantFrom([], [{ name: "node", version: "20.1" }], [{ name: "node", version: "18.1" }, { name: "java" }]),
  memory: fc.oneof(
    fc.record({ freeBytes: fc.integer({ min: -100, max: 1_000 }) }),
    fc.record({ freeBytes: fc.integer({ min: -100, max: 1_000 }), totalBytes: fc.integer({ min: 1, max: 2_000 }) }),
    fc.record({ totalBytes: fc.integer({ min: 0, max: 800 }), reservedBytes: fc.integer({ min: 0, max: 400 }), overcommit: fc.constantFrom(1, 1.1, 2) }),
  ),
  disk: fc.option(fc.record({ freeBytes: fc.integer({ min: 0, max: 1_000 }), totalBytes: fc.integer({ min: 1, max: 1_000 }) }), { nil: undefined }),
  freeInstances: fc.option(fc.integer({ min: 0, max: 3 }), { nil: undefined }),
  instances: fc.dictionary(fc.constantFrom("a", "b"), fc.integer({ min: 0, max: 3 })),
}).map(({ pool, disk, freeInstances, ...rest }): PlacementHost => ({ ...rest, ...(pool && { pool }), ...(disk && { disk }), ...(freeInstances !== undefined && { freeInstances }) })),
{ selector: ({ id }) => id, maxLength: 14 });
const requests = fc.record({
  app: fc.constantFrom("a", "b"), memoryBytes: fc.integer({ min: 0, max: 500 }), diskBytes: fc.integer({ min: 0, max: 500 }), spreadFirst: fc.constantFrom("zone" as const, "host" as const),
  stack: fc.option(fc.constantFrom("s", "t"), { nil: undefined }), pool: fc.option(fc.constant("gold"), { nil: undefined }),
  runtimes: fc.constantFrom([], [{ name: "node" }], [{ name: "node", version: "20" }], [{ name: "node" }, { name: "java" }]),
}).map(({ stack, pool, ...rest }): PlacementRequest => ({ ...rest, ...(stack && { stack }), ...(pool && { pool }) }));

// Said anew from the description, not taken from the code.
const freeOf = (room: PlacementHost["memory"]): number => "freeBytes" in room ? room.freeBytes : room.totalBytes * (room.overcommit ?? 1) - room.reservedBytes;
const fits = (each: PlacementHost, { pool, stack, runtimes = [], memoryBytes, diskBytes = 0 }: PlacementRequest): boolean =>
  each.pool === pool && (stack === undefined || each.stacks!.includes(stack)) && freeOf(each.memory) >= memoryBytes && (!each.disk || freeOf(each.disk) >= diskBytes) && (each.freeInstances ?? 1) > 0
  && runtimes.every(({ name, version }) => each.runtimes!.some((one) => one.name === name && (version === undefined || `${one.version}.`.startsWith(`${version}.`))));
const here = ({ instances }: PlacementHost, app: string): number => instances?.[app] ?? 0;
const inZone = (list: readonly PlacementHost[], zone: string | undefined, { app, pool }: PlacementRequest): number =>
  list.filter((each) => each.zone === zone && each.pool === pool).reduce((sum, each) => sum + here(each, app), 0);
const after = (each: PlacementHost, { app, memoryBytes, diskBytes = 0 }: PlacementRequest): PlacementHost => ({
  ...each,
  memory: { freeBytes: freeOf(each.memory) - memoryBytes, ...("totalBytes" in each.memory && each.memory.totalBytes !== undefined && { totalBytes: each.memory.totalBytes }) },
  ...(each.disk && { disk: { ...each.disk, freeBytes: freeOf(each.disk) - diskBytes } }),
  ...(each.freeInstances !== undefined && { freeInstances: each.freeInstances - 1 }),
  instances: { ...each.instances, [app]: here(each, app) + 1 },
});

describe("properties", () => {
  test("what is chosen fits, and something is chosen wherever something fits", () =>
    fc.assert(fc.property(hosts, requests, (list, request) => {
      const placed = place(request, list);
      expect(placed.ok).toBe(list.some((each) => fits(each, request)));
      if (placed.ok) expect(fits(list.find(({ id }) => id === placed.host)!, request)).toBe(true);
    }), { numRuns: 1_000 }));

  test("the same for the same input, in whatever order the hosts come", () =>
    fc.assert(fc.property(hosts.chain((list) => fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length }))), requests, ([list, shuffled], request) => {
      expect(place(request, shuffled)).toEqual(place(request, list));
      expect(place(request, list)).toEqual(place(request, structuredClone(list)));
    }), { numRuns: 1_000 }));

  test("hosts that are all alike: the names settle it, and other apps begin elsewhere", () => {
    fc.assert(fc.property(fc.uniqueArray(fc.string({ minLength: 1 }), { minLength: 1, maxLength: 8 }).chain((ids) => fc.tuple(fc.constant(ids), fc.shuffledSubarray(ids, { minLength: ids.length }))), ([ids, shuffled]) => {
      expect(place(wish, shuffled.map((id) => host(id)))).toEqual(place(wish, ids.map((id) => host(id))));
    }));
    const many = Array.from({ length: 20 }, (_, i) => host(`host-${i}`));
    expect(new Set(many.map((_, i) => JSON.stringify(place({ ...wish, app: `app-${i}` }, many)))).size).toBeGreaterThan(5);
    // These two have the same hash.
    for (const ids of [["costarring", "liquid"], ["liquid", "costarring"]]) expect(place(wish, ids.map((id) => host(id)))).toEqual({ ok: true, host: "costarring" });
  });

  test("never two of one app on a host, nor more in a zone, than the order of spreading makes necessary; never over capacity", () =>
    fc.assert(fc.property(hosts, requests, fc.integer({ min: 1, max: 20 }), (start, request, count) => {
      let list: readonly PlacementHost[] = start;
      for (let i = 0; i < count; i++) {
        const placed = place(request, list);
        if (!placed.ok) break;
        const before = list;
        const chosen = before.find(({ id }) => id === placed.host)!;
        const eligible = before.filter((each) => fits(each, request));
        const zoneOf = (each: PlacementHost): number => inZone(before, each.zone, request);
        const inFairZones = eligible.filter((each) => zoneOf(each) === Math.min(...eligible.map(zoneOf)));
        if (request.spreadFirst === "zone") {
          expect(inFairZones).toContain(chosen);
          for (const other of inFairZones) expect(here(chosen, request.app)).toBeLessThanOrEqual(here(other, request.app));
        } else {
          for (const other of eligible) expect(here(chosen, request.app)).toBeLessThanOrEqual(here(other, request.app));
          for (const other of eligible.filter((each) => here(each, request.app) === here(chosen, request.app))) expect(zoneOf(chosen)).toBeLessThanOrEqual(zoneOf(other));
        }
        list = before.map((each) => each === chosen ? after(each, request) : each);
        const loaded = list.find(({ id }) => id === placed.host)!;
        expect(freeOf(loaded.memory)).toBeGreaterThanOrEqual(0);
        if (loaded.disk) expect(freeOf(loaded.disk)).toBeGreaterThanOrEqual(0);
      }
    }), { numRuns: 500 }));

  test("an app alone is spread over zones within one, and over the hosts of a zone within one", () =>
    fc.assert(fc.property(fc.array(fc.constantFrom("x", "y", "z"), { minLength: 1, maxLength: 10 }), fc.integer({ min: 1, max: 30 }), (zones, count) => {
      let list: readonly PlacementHost[] = zones.map((zone, i) => ({ id: String(i), zone, memory: { freeBytes: 1e6 } }));
      const request: PlacementRequest = { app: "a", memoryBytes: 1 };
      for (let i = 0; i < count; i++) {
        const placed = place(request, list);
        list = list.map((each) => placed.ok && each.id === placed.host ? after(each, request) : each);
      }
      const spans = (numbers: readonly number[]): number => Math.max(...numbers) - Math.min(...numbers);
      expect(spans([...new Set(zones)].map((zone) => inZone(list, zone, request)))).toBeLessThanOrEqual(1);
      for (const zone of new Set(zones)) expect(spans(list.filter((each) => each.zone === zone).map((each) => here(each, "a")))).toBeLessThanOrEqual(1);
    })));

  test("the emptiest of hosts that are alike: no fuller one is taken", () =>
    fc.assert(fc.property(fc.array(fc.integer({ min: 0, max: 1_000 }), { minLength: 1, maxLength: 12 }), (free) => {
      const placed = place({ app: "a", memoryBytes: 0 }, free.map((freeBytes, i) => ({ id: String(i), memory: { freeBytes, totalBytes: 1_000 } })));
      expect(placed.ok && free[Number(placed.host)]).toBe(Math.max(...free));
    })));
});
