import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createLogStore, type IncomingEnvelope } from "../../logs/index.ts";

const tags = { source_type: "APP/PROC/WEB" };
const line = (source_id: string, timestamp: bigint | string, payload: string): IncomingEnvelope => ({
  source_id, instance_id: "0", timestamp: String(timestamp), tags, type: "OUT", payload,
});
const at = (nowMs: number) => ({ clock: { now: () => nowMs } });

describe("log store", () => {
  test("timestamps rise strictly whatever the senders say, and never lie in the future", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.constantFrom("a", "b"), fc.bigInt(0n, 3_000_000n)), { maxLength: 60 }), (given) => {
        const store = createLogStore(at(2));
        store.append(given.map(([source, timestamp], i) => line(source, timestamp, `${i}`)));
        for (const source of ["a", "b"]) {
          const stored = store.read(source, { limit: 1_000 });
          expect(stored.map(({ payload }) => payload)).toEqual(given.flatMap(([s], i) => (s === source ? [`${i}`] : [])));
          stored.forEach((one, i) => i > 0 && expect(one.timestamp > (stored[i - 1]?.timestamp ?? 0n)).toBe(true));
          expect((stored.at(-1)?.timestamp ?? 0n) <= 2_999_999n + BigInt(stored.length)).toBe(true);
        }
      }),
    );
  });

  test("reading agrees with a plain filter", () => {
    const bound = fc.option(fc.bigInt(-5n, 60n), { nil: undefined });
    fc.assert(
      fc.property(fc.uniqueArray(fc.integer({ min: 0, max: 50 })), bound, bound, fc.integer({ min: 1, max: 20 }), fc.boolean(), (stamps, start, end, limit, descending) => {
        const store = createLogStore(at(1_000));
        const sorted = [...stamps].sort((a, b) => a - b);
        store.append(sorted.map((stamp) => line("a", BigInt(stamp), `${stamp}`)));
        const found = store.read("a", { limit, descending, ...(start !== undefined && { start }), ...(end !== undefined && { end }) });
        const inside = sorted.filter((stamp) => (start === undefined || BigInt(stamp) >= start) && (end === undefined || BigInt(stamp) < end));
        expect(found.map(({ payload }) => Number(payload))).toEqual((descending ? inside.reverse() : inside).slice(0, limit));
      }),
    );
  });

  test("a walk from the last timestamp + 1 sees each line once, while lines arrive late", () => {
    const store = createLogStore(at(10));
    const seen: string[] = [];
    let next = 0n;
    for (let round = 0; round < 50; round += 1) {
      store.append([line("a", BigInt(round * 1_000), `${round}.0`), line("a", BigInt(round * 1_000 - 700 < 0 ? 0 : round * 1_000 - 700), `${round}.1`)]);
      for (const { timestamp, payload } of store.read("a", { start: next })) {
        seen.push(payload ?? "");
        next = timestamp + 1n;
      }
    }
    expect(seen).toEqual(Array.from({ length: 50 }, (_, round) => [`${round}.0`, `${round}.1`]).flat());
  });

  test("100 MB of lines stay within the bounds, and a quiet app keeps its lines", { timeout: 60_000 }, () => {
    const maxBytes = 16 * 1024 ** 2;
    const store = createLogStore({ maxBytesPerSource: 2 * 1024 ** 2, maxBytes });
    store.append([line("quiet", 1n, "still here")]);
    const started = performance.now();
    for (let batch = 0; batch < 1_000; batch += 1)
      store.append(Array.from({ length: 1_000 }, (_, i) => line(`noisy-${i % 30}`, String(batch * 1_000 + i), `${batch} ${i} ${"x".repeat(90)}`)));
    expect(performance.now() - started).toBeLessThan(20_000);
    expect(store.bytes).toBeLessThanOrEqual(maxBytes);
    expect(store.read("quiet")).toHaveLength(1);
    let total = 0;
    for (const [source, envelopes] of store.all()) {
      const held = envelopes.reduce((sum, { bytes }) => sum + bytes, 0);
      expect([source, held <= 2 * 1024 ** 2]).toEqual([source, true]);
      total += held;
    }
    expect(total).toBe(store.bytes);
    expect(store.read("noisy-0", { limit: 1, descending: true })[0]?.payload).toMatch(/^999 990 /);
    const meta = new Map(store.meta()).get("noisy-0");
    expect((meta?.count ?? 0) + (meta?.expired ?? 0)).toBe(34_000);
  });

  test("the number of sources is bounded: the one silent for longest leaves", () => {
    const store = createLogStore({ maxSources: 3 });
    for (const source of ["a", "b", "c", "a", "d"]) store.append([line(source, 1n, "x")]);
    expect([...store.meta()].map(([source]) => source)).toEqual(["c", "a", "d"]);
    store.append([line("e", 1n, "x")]);
    expect([...store.meta()].map(([source]) => source)).toEqual(["a", "d", "e"]);
    expect(store.bytes).toBe([...store.all()].flatMap(([, all]) => all).reduce((sum, { bytes }) => sum + bytes, 0));
  });

  test("long lines are cut between characters, nonsense is refused, tags are bounded", () => {
    const store = createLogStore({ maxPayloadBytes: 10 });
    store.append([
      line("a", 1n, "ééééééé"),
      line("", 1n, "no source"),
      line("a", "soon", "no time"),
      { source_id: "a", instance_id: "0", timestamp: "1", tags },
      { source_id: "a", instance_id: "x".repeat(1_000), timestamp: "2", tags: Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`t${i}`, "v".repeat(9_000)])), payload: "" },
    ]);
    expect(store.refused).toBe(3);
    const [first, second] = store.read("a");
    expect(first?.payload).toBe("ééééé");
    expect(second?.instanceId.length).toBe(100);
    expect(Object.keys(second?.tags ?? {})).toHaveLength(24);
    expect(second?.tags["t0"]?.length).toBe(512);
  });

  test("listeners hear new envelopes of their source until they leave", () => {
    const store = createLogStore();
    const heard: unknown[] = [];
    const listening = store.listen("a", ({ payload }) => heard.push(payload));
    store.append([line("a", 1n, "1"), line("b", 1n, "2")]);
    listening[Symbol.dispose]();
    store.append([line("a", 2n, "3")]);
    expect(heard).toEqual(["1"]);
  });
});
