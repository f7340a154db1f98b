import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Answer, createPlacer, type HostNews, place, type PlacementRequest, type Placer } from "../src/placement.ts";

const news = (id: string, over: Partial<HostNews> = {}): HostNews => ({ id, memory: { freeBytes: 1_000, totalBytes: 1_000 }, disk: { freeBytes: 9_000 }, ...over });
const wish: PlacementRequest = { app: "a", memoryBytes: 256, diskBytes: 1_024 };
const freeOn = (placer: Placer, id: string): number => {
  const room = placer.hosts().find((host) => host.id === id)?.memory;
  return room && "freeBytes" in room ? room.freeBytes : Number.NaN;
};
const reserved = (placer: Placer, request = wish, id?: string) => {
  const result = placer.reserve(request, id === undefined ? {} : { id });
  if (!result.ok) throw new Error(result.refusal.text);
  return result.reservation;
};
/** A placer whose clock the test turns. */
function timed(options = {}) {
  let at = 0;
  return { placer: createPlacer({ ...options, now: () => at }), pass: (ms: number) => void (at += ms) };
}

describe("a promise counts until the host's own numbers do (dea.md 11: pitfalls)", () => {
  test("it outlives the next advertisement", () => {
    const { placer } = timed();
    placer.hear(news("d"));
    const promise = reserved(placer);
    placer.hear(news("d"));
    expect(placer.hosts()[0]).toMatchObject({ memory: { freeBytes: 744, totalBytes: 1_000 }, disk: { freeBytes: 7_976 }, instances: { a: 1 } });
    expect(promise.open).toBe(true);
    promise.release();
    expect(placer.hosts()[0]).toMatchObject({ memory: { freeBytes: 1_000 }, disk: { freeBytes: 9_000 }, instances: {} });
  });

  test.each<[string, (placer: Placer, promise: ReturnType<typeof reserved>) => void, number]>([
    ["named by the host", (placer) => placer.hear(news("d", { memory: { freeBytes: 744 }, counted: ["p"] })), 744],
    ["not named: it is not yet counted, though the host has said yes", (placer, promise) => { promise.accept(); placer.hear(news("d", { counted: ["other"] })); }, 744],
    ["a host that names none: what it says after its yes counts it", (placer, promise) => { promise.accept(); placer.hear(news("d", { memory: { freeBytes: 744 } })); }, 744],
    ["a host that names none, overtaking its yes: one instance more of the app", (placer) => placer.hear(news("d", { memory: { freeBytes: 744 }, instances: { a: 1 } })), 744],
    ["the yes that was overtaken changes nothing", (placer, promise) => { placer.hear(news("d", { memory: { freeBytes: 744 }, instances: { a: 1 } })); promise.accept(); }, 744],
    ["instances of other apps tell nothing", (placer) => placer.hear(news("d", { memory: { freeBytes: 900 }, instances: { b: 1 } })), 644],
    ["it ended before it was advertised: no instance more, and no double count", (placer, promise) => { promise.accept(); placer.hear(news("d")); }, 1_000],
  ])("%s", (_, tell, free) => {
    const { placer } = timed();
    placer.hear(news("d"));
    tell(placer, reserved(placer, wish, "p"));
    expect(freeOn(placer, "d")).toBe(free);
  });

  test("one instance more confirms one promise, the oldest", () => {
    const { placer } = timed();
    placer.hear(news("d"));
    const [first, second] = [reserved(placer), reserved(placer)];
    placer.hear(news("d", { memory: { freeBytes: 744 }, instances: { a: 1 } }));
    expect([first.open, second.open, freeOn(placer, "d")]).toEqual([false, true, 488]);
    second.accept();
    placer.hear(news("d", { memory: { freeBytes: 488 }, instances: { a: 2 } }));
    expect([second.open, freeOn(placer, "d"), placer.size.open]).toEqual([false, 488, 0]);
  });

  test.each([["without an answer", false, 10_000], ["accepted, but never advertised", true, 15_000]])("%s it runs out", (_, accepted, ms) => {
    const { placer, pass } = timed({ hostTtlMs: 1e9 });
    placer.hear(news("d"));
    const promise = reserved(placer);
    if (accepted) promise.accept();
    pass(ms - 1);
    expect(freeOn(placer, "d")).toBe(744);
    pass(1);
    expect([freeOn(placer, "d"), promise.open]).toEqual([1_000, false]);
    promise.accept();
    promise.full();
    promise.release();
    expect(freeOn(placer, "d")).toBe(1_000);
  });

  test("bounds: hosts, open promises, one id at a time", () => {
    const { placer, pass } = timed({ maxHosts: 1, maxOpen: 1, unansweredMs: 100, hostTtlMs: 1_000 });
    expect([placer.hear(news("d")), placer.hear(news("e")), placer.hear(news("d"))]).toEqual([true, false, true]);
    reserved(placer, wish, "p");
    expect(() => placer.reserve(wish, { id: "p" })).toThrow(expect.objectContaining({ code: "DEA_INVALID_SPEC" }));
    expect(placer.reserve(wish)).toMatchObject({ ok: false, refusal: { code: "too-many-open", open: 1 } });
    pass(100);
    expect(placer.reserve(wish).ok).toBe(true);
    pass(1_000);
    expect(placer.hear(news("e"))).toBe(true);
    expect(placer.size).toEqual({ hosts: 1, open: 0 });
  });
});

describe("hosts come and go", () => {
  test("one that falls silent is none; news from all renews all", () => {
    const { placer, pass } = timed();
    placer.hear(news("d"));
    placer.hear(news("e"));
    pass(10_000);
    placer.hear(news("e"));
    pass(5_001);
    expect(placer.hosts().map(({ id }) => id)).toEqual(["e"]);
    pass(9_000);
    placer.renew();
    pass(15_000);
    expect(placer.hosts().map(({ id }) => id)).toEqual(["e"]);
    pass(1);
    expect(placer.reserve(wish)).toMatchObject({ ok: false, refusal: { code: "no-hosts" } });
  });

  test("promises go with the host, and it comes back without them", () => {
    const { placer } = timed();
    placer.hear(news("d"));
    const promise = reserved(placer);
    expect([placer.remove("d"), placer.remove("d"), promise.open, placer.size.open]).toEqual([true, false, false, 0]);
    placer.hear(news("d"));
    promise.accept();
    expect(placer.hosts()[0]).toMatchObject({ memory: { freeBytes: 1_000 }, instances: {} });
  });

  test("pool, zone, stacks and size may change from one advertisement to the next", () => {
    const { placer } = timed();
    placer.hear(news("d", { zone: "x", instances: { a: 2 } }));
    placer.hear(news("e", { zone: "x" }));
    const promise = reserved(placer);
    expect(promise.host).toBe("e");
    placer.hear(news("e", { zone: "y", pool: "gold", stacks: ["s"], memory: { freeBytes: 500 } }));
    expect(freeOn(placer, "e")).toBe(244);
    expect(placer.reserve(wish)).toMatchObject({ ok: true, host: "d" });
    expect(placer.reserve({ ...wish, memoryBytes: 100, pool: "gold", stack: "s" })).toMatchObject({ ok: true, host: "e" });
    placer.remove("e");
    expect(placer.reserve({ ...wish, pool: "gold" })).toMatchObject({ ok: false, refusal: { code: "no-pool" } });
  });
});

describe("going elsewhere (dea.md 20.1: no room is no crash)", () => {
  const three = (options = {}) => {
    const { placer, pass } = timed(options);
    for (const [id, freeBytes] of [["1", 900], ["2", 800], ["3", 700]] as const) placer.hear(news(id, { memory: { freeBytes, totalBytes: 1_000 } }));
    return { placer, pass };
  };
  const answering = (answers: Record<string, Answer>) => {
    const asked: string[] = [];
    return { asked, send: (host: string) => (asked.push(host), Promise.resolve({ answer: answers[host] ?? "accepted" as const, reason: `says ${host}` })) };
  };

  test.each<[string, Record<string, Answer>, string[], object, Record<string, number>]>([
    ["accepted", {}, ["1"], { state: "accepted", host: "1", tried: [] }, { 1: 644, 2: 800, 3: 700 }],
    ["full: the next at once, and nothing as large is sent there again", { 1: "full" }, ["1", "2"], { state: "accepted", host: "2", tried: [{ host: "1", reason: "says 1" }] }, { 1: 255, 2: 544, 3: 700 }],
    ["refused for another reason", { 1: "refused" }, ["1", "2"], { state: "accepted", host: "2" }, { 1: 900, 2: 544, 3: 700 }],
    ["gone: forgotten until it advertises", { 1: "gone" }, ["1", "2"], { state: "accepted", host: "2" }, { 1: Number.NaN, 2: 544, 3: 700 }],
    ["silent: it may have it, so nobody else gets it", { 1: "silent" }, ["1"], { state: "unsure", host: "1" }, { 1: 644, 2: 800, 3: 700 }],
    ["failed", { 1: "failed" }, ["1"], { state: "stopped", tried: [{ host: "1", reason: "says 1" }] }, { 1: 900, 2: 800, 3: 700 }],
    ["all refuse", { 1: "full", 2: "gone", 3: "refused" }, ["1", "2", "3"], { state: "refused", refusal: { code: "refused", considered: 3, tried: [{ host: "1" }, { host: "2" }, { host: "3" }], text: "every host that was asked refused: 1: says 1; 2: says 2; 3: says 3" } }, { 1: 255, 2: Number.NaN, 3: 700 }],
  ])("%s", async (_, answers, asked, expected, free) => {
    const { placer } = three();
    const there = answering(answers);
    expect(await placer.deliver(wish, there.send)).toMatchObject(expected);
    expect(there.asked).toEqual(asked);
    expect(Object.fromEntries(["1", "2", "3"].map((id) => [id, freeOn(placer, id)]))).toEqual(free);
  });

  test("what a full host says next is believed again", async () => {
    const { placer } = three();
    await placer.deliver(wish, answering({ 1: "full" }).send);
    placer.hear(news("1", { memory: { freeBytes: 600 } }));
    expect(freeOn(placer, "1")).toBe(600);
  });

  test("no room anywhere: nobody is asked, and the numbers are told", async () => {
    const { placer } = three();
    const there = answering({});
    expect(await placer.deliver({ ...wish, memoryBytes: 2_000 }, there.send)).toMatchObject({ state: "refused", refusal: { code: "no-memory", askedBytes: 2_000, mostBytes: 900, considered: 3 } });
    expect(there.asked).toEqual([]);
  });

  test("at most so many attempts; an aborted one asks nobody more", async () => {
    const { placer } = three();
    expect(await placer.deliver(wish, answering({ 1: "refused", 2: "refused" }).send, { attempts: 2 })).toMatchObject({ state: "refused", tried: [{ host: "1" }, { host: "2" }] });
    const stop = new AbortController();
    expect(await placer.deliver(wish, () => (stop.abort(), Promise.resolve("refused" as const)), { signal: stop.signal })).toMatchObject({ state: "stopped", tried: [{ host: "1" }] });
  });

  test("a sender that throws leaves no promise behind", async () => {
    const { placer } = three();
    await expect(placer.deliver(wish, () => Promise.reject(new Error("no")))).rejects.toThrow("no");
    expect(placer.size.open).toBe(0);
  });

  test("the id is that of the command, for every host in turn", async () => {
    const { placer } = three();
    const ids: string[] = [];
    await placer.deliver(wish, (host, id) => (ids.push(id), Promise.resolve(host === "1" ? "full" as const : "accepted" as const)), { id: "c" });
    expect(ids).toEqual(["c", "c"]);
  });
});

describe("properties", () => {
  const steps = fc.array(fc.tuple(fc.nat({ max: 5 }), fc.nat({ max: 3 }), fc.nat({ max: 3 })), { maxLength: 80 });

  /** Hosts that are real but for their apps: a command queue in, a channel out on which nothing overtakes anything. */
  function world(lists: boolean) {
    const placer = createPlacer({ now: () => 0 });
    const sizes = [10, 20, 30, 40];
    const machines = ["0", "1", "2", "3"].map((id) => ({ id, total: 100, has: new Map<string, number>(), commands: [] as { id: string; app: number }[], says: [] as (() => void)[], refused: 0 }));
    /** What this test thinks the placer should know: free as said last, and promises that were not counted there. */
    const known = machines.map(() => ({ free: Number.NaN, open: new Map<string, number>() }));
    let serial = 0;
    const free = (machine: typeof machines[number]): number => machine.total - [...machine.has.values()].reduce((sum, app) => sum + sizes[app]!, 0);
    const advertise = (index: number): void => {
      const machine = machines[index]!;
      const [freeBytes, has] = [free(machine), new Map(machine.has)];
      const instances: Record<string, number> = {};
      for (const app of has.values()) instances[app] = (instances[app] ?? 0) + 1;
      machine.says.push(() => {
        placer.hear({ id: machine.id, zone: index < 2 ? "x" : "y", memory: { freeBytes, totalBytes: 100 }, instances, ...(lists && { counted: [...has.keys()] }) });
        known[index]!.free = freeBytes;
        for (const id of has.keys()) known[index]!.open.delete(id);
      });
    };
    const promises = new Map<string, ReturnType<typeof reserved>>();
    const acts: ((index: number, app: number) => void)[] = [
      (_, app) => {
        const placed = placer.reserve({ app: String(app), memoryBytes: sizes[app]! }, { id: String(serial) });
        if (!placed.ok) return;
        promises.set(String(serial), placed.reservation);
        known[Number(placed.host)]!.open.set(String(serial), app);
        machines[Number(placed.host)]!.commands.push({ id: String(serial++), app });
      },
      (index) => {
        const machine = machines[index]!;
        const command = machine.commands.shift();
        if (!command) return;
        const fits = free(machine) >= sizes[command.app]!;
        if (fits) machine.has.set(command.id, command.app);
        else machine.refused += 1;
        // The advertisement that every change brings is sometimes faster than the answer.
        if (command.app % 2 === 0) advertise(index);
        machine.says.push(() => fits ? promises.get(command.id)!.accept() : promises.get(command.id)!.full());
      },
      (index) => advertise(index),
      (index) => void machines[index]!.says.shift()?.(),
      (index) => void machines[index]!.says.shift()?.(),
      (index) => {
        // An instance ends that was advertised; a host that cannot list would leave it to the term of the promise otherwise.
        const [first] = lists ? [...machines[index]!.has.keys()].filter((id) => !known[index]!.open.has(id)) : [];
        if (first !== undefined) machines[index]!.has.delete(first);
      },
    ];
    return { placer, machines, known, sizes, acts, promises, advertise };
  }

  test.each([["hosts that list what they count", true], ["hosts that do not", false]])("no promise counts twice, none is lost, and a lone controller never overfills: %s", (_, lists) =>
    fc.assert(fc.property(steps, (list) => {
      const { placer, machines, known, sizes, acts, advertise } = world(lists);
      machines.forEach((machine, index) => { advertise(index); machine.says.shift()!(); });
      for (const [act, index, app] of list) {
        acts[act]!(index, app);
        known.forEach(({ free, open }, at) => expect(freeOn(placer, String(at))).toBe(free - [...open.values()].reduce((sum, each) => sum + sizes[each]!, 0)));
        for (const { refused } of machines) expect(refused).toBe(0);
      }
    }), { numRuns: 300 }));

  test("the placer chooses what `place` chooses from its snapshot", () =>
    fc.assert(fc.property(fc.array(fc.record({
      id: fc.nat({ max: 5 }).map(String), zone: fc.constantFrom("x", "y"), pool: fc.constantFrom(undefined, "gold"), free: fc.integer({ min: 0, max: 100 }), size: fc.option(fc.integer({ min: 50, max: 200 }), { nil: undefined }),
      instances: fc.dictionary(fc.constantFrom("a", "b"), fc.integer({ min: 0, max: 3 })), act: fc.constantFrom("hear", "hear", "hear", "remove", "release", "full"),
    }), { maxLength: 40 }), (list) => {
      const placer = createPlacer({ now: () => 0 });
      const promises: ReturnType<typeof reserved>[] = [];
      for (const { id, zone, pool, free, size, instances, act } of list) {
        if (act === "remove") placer.remove(id);
        else if (act === "hear") placer.hear({ id, zone, ...(pool && { pool }), memory: { freeBytes: free, ...(size !== undefined && { totalBytes: size }) }, instances });
        else promises.shift()?.[act]();
        for (const request of [{ app: "a", memoryBytes: 30 }, { app: "b", memoryBytes: 5, pool: "gold" }, { app: "constructor", memoryBytes: 1, spreadFirst: "host" as const }]) {
          const expected = place(request, placer.hosts());
          const got = placer.reserve(request);
          expect(got.ok ? { ok: true, host: got.host } : got).toEqual(expected);
          if (got.ok) promises.push(got.reservation);
        }
      }
    }), { numRuns: 300 }));
});
