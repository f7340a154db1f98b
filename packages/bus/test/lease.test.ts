import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { connect, type NatsConnection } from "nats";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BusError } from "../src/errors.ts";
import { createFence, fencedWriter } from "../src/kv/fence.ts";
import { createLease, type Lease } from "../src/kv/lease.ts";
import { createMemoryBuckets } from "../src/kv/memory.ts";
import { openNatsBucket } from "../src/kv/nats.ts";
import type { Bucket } from "../src/kv/port.ts";
import { type Clock, systemClock } from "../src/ports.ts";
import { hasNatsServer, type NatsServer, startNatsServer } from "./fixtures/nats-server.ts";
import { createNode, createVirtualClock, type Node, randomOf } from "./lease/world.ts";

interface Candidate {
  readonly node: Node;
  readonly lease: Lease;
}

interface Trial {
  seed: number;
  base: Clock;
  ttlMs: number;
  candidates: number;
  faults: number;
  latencyMs: number;
  loss: number;
  open: () => Promise<Bucket>;
  /** Lets time pass; `each` as often as possible. */
  pass: (ms: number, each: () => void) => Promise<void>;
}

/** Kills, stops and continues candidates at random and watches that there is never a number twice, nor two at once who believe that they lead. */
async function trial({ seed, base, ttlMs, candidates, faults, latencyMs, loss, open, pass }: Trial): Promise<{ holds: number }> {
  const random = randomOf(seed);
  const numbers: number[] = [];
  const problems: string[] = [];
  const all: Candidate[] = [];
  const add = async (): Promise<void> => {
    const node = createNode({ base, bucket: await open(), random, rate: 0.98 + random() * 0.04, latencyMs, loss });
    const lease = createLease(node.bucket, "office", { ttlMs, clock: node.clock, holder: `candidate ${all.length}` });
    let mine: number | undefined;
    lease.onChange(({ held, fencing }) => {
      if (held) {
        if (numbers.includes(fencing as number)) problems.push(`number ${fencing} twice`);
        if (mine !== undefined) problems.push("acquired what it had");
        numbers.push(mine = fencing as number);
      } else mine = undefined;
    });
    all.push({ node, lease });
  };
  const look = (): void => {
    const leading = all.filter(({ node, lease }) => node.running && lease.held);
    if (leading.length > 1) problems.push(`${leading.length} lead at once: ${leading.map(({ lease }) => `${lease.holder} with ${lease.fencing}`).join(", ")}`);
    for (const { lease } of leading)
      // Who leads now has the highest number of all that were ever given out, or will have lost as soon as it looks.
      if (lease.fencing !== Math.max(...numbers)) problems.push(`${lease.holder} leads with ${lease.fencing}, the highest is ${Math.max(...numbers)}`);
  };
  for (let i = 0; i < candidates; i++) await add();
  for (let fault = 0; fault < faults; fault++) {
    await pass(random() * ttlMs * 1.5, look);
    const leader = all.find(({ node, lease }) => node.running && lease.held);
    const victim = random() < 0.6 && leader ? leader : all[Math.floor(random() * all.length)] as Candidate;
    const kind = random();
    if (kind < 0.3) {
      victim.node.kill();
      all.splice(all.indexOf(victim), 1);
      void victim.lease[Symbol.asyncDispose]();
      await add();
    } else if (kind < 0.45) {
      // A clean end.
      all.splice(all.indexOf(victim), 1);
      void victim.lease[Symbol.asyncDispose]();
      victim.node.resume();
      await add();
    } else if (victim.node.running) victim.node.pause();
    else victim.node.resume();
    look();
  }
  for (const { node } of all) node.resume();
  await pass(ttlMs * 4, look);
  for (let i = 0; i < 20 && !all.some(({ lease }) => lease.held); i++) await pass(ttlMs, look);
  const stable = all.filter(({ lease }) => lease.held);
  if (stable.length !== 1) problems.push(`${stable.length} lead in the end`);
  for (const { lease } of all) void lease[Symbol.asyncDispose]();
  await pass(ttlMs * 2, () => undefined);
  expect(problems, `seed ${seed}`).toEqual([]);
  expect(numbers, `seed ${seed}`).toEqual([...numbers].sort((a, b) => a - b));
  return { holds: numbers.length };
}

describe("a lease in process, on a virtual clock", () => {
  for (let seed = 1; seed <= 12; seed++)
    test(`53 never two leaders with one number, nor two at once, under 100 random kills and pauses (seed ${seed})`, async () => {
      const clock = createVirtualClock();
      const buckets = createMemoryBuckets({ clock });
      const { holds } = await trial({
        seed, base: clock, ttlMs: 1_000, candidates: 4, faults: 100, latencyMs: seed % 3 === 0 ? 250 : 20, loss: seed % 2 === 0 ? 0.05 : 0,
        open: () => buckets.open("leases"), pass: (ms, each) => clock.advance(ms, each),
      });
      expect(holds).toBeGreaterThan(10);
    });

  test("53 a leader is there at once, hands over at once, and its successor comes within ttl and margin after a kill", async () => {
    const clock = createVirtualClock();
    const bucket = await createMemoryBuckets({ clock }).open("leases");
    const [one, two] = [createNode({ base: clock, bucket, random: randomOf(1) }), createNode({ base: clock, bucket, random: randomOf(2) })];
    const a = createLease(one.bucket, "office", { ttlMs: 3_000, clock: one.clock, holder: "a" });
    await clock.advance(1);
    const b = createLease(two.bucket, "office", { ttlMs: 3_000, clock: two.clock, holder: "b" });
    await clock.advance(30_000);
    expect([a.held, b.held, a.leader, b.leader]).toEqual([true, false, "a", "a"]);
    const first = a.fencing as number;
    expect(await a.acquired()).toBe(first);
    expect(a.headers()).toEqual({ "Opencf-Fence": `office=${first}` });
    expect(() => b.assertHeld()).toThrow(expect.objectContaining({ code: "BUS_LEASE_LOST" }));
    expect(() => b.headers()).toThrow(BusError);

    const gone = a[Symbol.asyncDispose]();
    await clock.advance(5);
    await gone;
    expect([a.held, b.held]).toEqual([false, true]);
    const second = b.fencing as number;
    expect(second).toBeGreaterThan(first);

    const c = createLease(bucket, "office", { ttlMs: 3_000, clock, holder: "c" });
    await clock.advance(10_000);
    expect(b.fencing).toBe(second);
    two.kill();
    // The last renewal was at most a third of the time ago.
    await clock.advance(1_999);
    expect(c.held).toBe(false);
    await clock.advance(1_400);
    expect(c.held).toBe(true);
    expect(c.fencing).toBeGreaterThan(second);
    const waiting = createLease(bucket, "office", { ttlMs: 3_000, clock, holder: "d" });
    const acquired = waiting.acquired(AbortSignal.abort(new Error("enough")));
    await expect(acquired).rejects.toThrow("enough");
    const closed = waiting.acquired();
    closed.catch(() => undefined);
    void waiting[Symbol.asyncDispose]();
    await clock.advance(10);
    await expect(closed).rejects.toMatchObject({ code: "BUS_CLOSED" });
    void c[Symbol.asyncDispose]();
    await clock.advance(10);
  });

  test("53 a stopped leader knows that it lost before anything else happens, its timers being late", async () => {
    const clock = createVirtualClock();
    const bucket = await createMemoryBuckets({ clock }).open("leases");
    const node = createNode({ base: clock, bucket, random: randomOf(1) });
    await using lease = createLease(node.bucket, "office", { ttlMs: 1_000, clock: node.clock });
    await clock.advance(100);
    expect(lease.held).toBe(true);
    node.pause();
    await clock.advance(1_001);
    expect(lease.held).toBe(false);
    expect(() => lease.assertHeld()).toThrow(expect.objectContaining({ code: "BUS_LEASE_LOST" }));
    // Nobody else stood: it leads again, under another number.
    node.resume();
    await clock.advance(2_000);
    expect(lease.held).toBe(true);
    void lease[Symbol.asyncDispose]();
    await clock.advance(10);
  });

  test("a lease on a bucket that is destroyed or a carrier without buckets: no leader, nothing thrown", async () => {
    await using none = createLease({ transport: {} }, "office", { ttlMs: 100 });
    const buckets = createMemoryBuckets();
    await using lease = createLease({ transport: { openBucket: buckets.open } }, "office", { ttlMs: 200 });
    const seen: boolean[] = [];
    lease.onChange(({ held }) => seen.push(held));
    await lease.acquired(AbortSignal.timeout(5_000));
    await (await buckets.open("leases")).destroy();
    await expect.poll(() => seen, { timeout: 5_000 }).toEqual([true, false, true]);
    expect(none.held).toBe(false);
    expect(() => createLease({ transport: {} }, "no name")).toThrow(expect.objectContaining({ code: "BUS_INVALID_KEY" }));
  });
});

describe("fences", () => {
  test("a number not heard of for long counts no more: a store that was wiped begins again", () => {
    let ms = 0;
    const fence = createFence({ forgetAfterMs: 1_000, clock: { now: () => ms, after: () => ({ [Symbol.dispose]() {} }) } });
    fence.admit("reconciler=9");
    ms = 1_000;
    expect(() => fence.admit("reconciler=1")).toThrow(expect.objectContaining({ code: "BUS_FENCED" }));
    ms = 1_001;
    fence.admit("reconciler=1");
    fence.admit("reconciler=2");
    expect(() => fence.admit("reconciler=1")).toThrow(expect.objectContaining({ code: "BUS_FENCED" }));
  });

  test("a receiver refuses numbers that were surpassed, unreadable and missing ones", () => {
    const fence = createFence({ maxNames: 2 });
    fence.admit("reconciler=5");
    fence.admit({ "Opencf-Fence": ["reconciler=5"] });
    fence.admit({ name: "reconciler", number: 7 });
    fence.admit({ "Opencf-Fence": "a=b=1" });
    expect(fence.highest("a=b")).toBe(1);
    for (const late of ["reconciler=6", { "Opencf-Fence": ["reconciler=6"] }, { name: "reconciler", number: 0 }, "reconciler", "reconciler=", "=7", "reconciler=-1", "reconciler=1e9", {}, undefined] as Parameters<typeof fence.admit>[0][])
      expect(() => fence.admit(late), JSON.stringify(late)).toThrow(expect.objectContaining({ code: "BUS_FENCED" }));
    createFence({ optional: true }).admit({});
    fence.admit("c=1");
    expect([fence.highest("reconciler"), fence.highest("a=b"), fence.highest("c")]).toEqual([undefined, 1, 1]);
  });

  test("a writer of the past is refused on every key, whatever it knew, also on one that its successor never wrote", async () => {
    const bucket = await createMemoryBuckets().open("state");
    const old = fencedWriter(bucket, { name: "office", number: 3 });
    await Promise.all([old.put("a", "1"), old.put("b", "1"), old.put("a", "2")]);
    const revision = await old.create("c", "1");
    await old.update("c", "2", revision);
    await expect(old.update("c", "3", revision)).rejects.toMatchObject({ code: "BUS_WRONG_REVISION" });
    await expect(old.create("c", "3")).rejects.toMatchObject({ code: "BUS_KEY_EXISTS" });
    await bucket.put("foreign", "others may write too");
    await old.put("a", "3");
    const next = fencedWriter(bucket, { name: "office", number: 4 });
    await next.put("n", "1");
    await expect(old.put("b", "late")).rejects.toMatchObject({ code: "BUS_FENCED" });
    await expect(old.delete("a")).rejects.toMatchObject({ code: "BUS_FENCED" });
    await expect(old.create("new", "late")).rejects.toMatchObject({ code: "BUS_FENCED" });
    await next.delete("a");
    expect((await bucket.keys()).sort()).toEqual(["b", "c", "fence/office", "foreign", "n"]);
    await expect(fencedWriter(bucket, { name: "office", fencing: undefined }).put("x", "y")).rejects.toMatchObject({ code: "BUS_LEASE_LOST" });
  });

  test("53 a write that was on its way for long arrives after the successor's: the store refuses it", async () => {
    const bucket = await createMemoryBuckets().open("state");
    let release: (() => void) | undefined;
    let hold = false;
    const slow: Bucket = {
      ...bucket,
      async put(key, value, options) {
        if (hold) await new Promise<void>((done) => (release = done));
        return bucket.put(key, value, options);
      },
    };
    const old = fencedWriter(slow, { name: "office", number: 1 });
    await old.put("a", "1");
    hold = true;
    const late = old.put("a", "late");
    late.catch(() => undefined);
    await expect.poll(() => release).toBeDefined();
    hold = false;
    await fencedWriter(bucket, { name: "office", number: 2 }).put("b", "new leader");
    release?.();
    await expect(late).rejects.toMatchObject({ code: "BUS_FENCED" });
    expect(new TextDecoder().decode((await bucket.get("a"))?.value)).toBe("1");
  });
});

describe.skipIf(!hasNatsServer())("a lease on a real nats-server (apt-get install nats-server)", () => {
  let server: NatsServer;
  let program: string;
  let folder: string;
  beforeAll(async () => {
    server = await startNatsServer();
    // Below the package, so that its dependencies resolve.
    const parent = fileURLToPath(new URL("../node_modules", import.meta.url));
    await mkdir(parent, { recursive: true });
    folder = await mkdtemp(join(parent, ".test-lease-"));
    program = join(folder, "leader.mjs");
    await build({
      entryPoints: [fileURLToPath(new URL("./lease/leader.ts", import.meta.url))], outfile: program,
      bundle: true, platform: "node", target: "node20", format: "esm", packages: "external", logLevel: "error",
    });
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });
  const dial = (url = server.url): Promise<NatsConnection> => connect({ servers: url, maxReconnectAttempts: -1, reconnectTimeWait: 50 });

  /** The child and all that it has said. */
  function start(url: string, ttlMs: number): AsyncDisposable & { child: ChildProcess; said: { event: string; number?: number; code?: string; held?: boolean }[] } {
    const child = spawn(process.execPath, [program, url, String(ttlMs)], { stdio: ["ignore", "pipe", "inherit"] });
    const said: { event: string }[] = [];
    createInterface({ input: child.stdout }).on("line", (line) => said.push(JSON.parse(line) as { event: string }));
    return {
      child,
      said,
      async [Symbol.asyncDispose]() {
        if (child.exitCode !== null || child.signalCode !== null) return;
        child.kill("SIGKILL");
        await once(child, "exit");
      },
    };
  }

  test("53 never two leaders with one number, nor two at once, under random kills and pauses of several connections", async () => {
    const connections: NatsConnection[] = [];
    const { holds } = await trial({
      seed: 1, base: systemClock, ttlMs: 250, candidates: 4, faults: 35, latencyMs: 5, loss: 0,
      async open() {
        const connection = await dial();
        connections.push(connection);
        return openNatsBucket(connection, "trial");
      },
      async pass(ms, each) {
        for (const until = Date.now() + ms; Date.now() < until; each()) await new Promise((done) => setTimeout(done, Math.min(10, ms)));
      },
    });
    expect(holds).toBeGreaterThan(5);
    for (const connection of connections) await connection.close();
  }, 60_000);

  test("53 a leader stopped (SIGSTOP) past its time and continued: the store and the receivers refuse what it writes", async () => {
    await using own = await startNatsServer();
    const connection = await dial(own.url);
    const [leases, state] = [await openNatsBucket(connection, "leases"), await openNatsBucket(connection, "state")];
    await using leader = start(own.url, 1_500);
    await expect.poll(() => leader.said.some(({ event }) => event === "wrote"), { timeout: 10_000 }).toBe(true);
    const number = leader.said.find(({ event }) => event === "acquired")?.number as number;
    const fence = createFence();
    const orders = { admitted: 0, refused: 0 };
    connection.subscribe("orders", {
      callback(_, message) {
        try {
          fence.admit(message.string());
          orders.admitted++;
        } catch {
          orders.refused++;
        }
      },
    });
    await expect.poll(() => orders.admitted).toBeGreaterThan(2);
    await using successor = createLease(leases, "reconciler", { ttlMs: 1_500, holder: "successor" });
    await expect.poll(() => successor.leader).toBe("child");

    leader.child.kill("SIGSTOP");
    const next = await successor.acquired(AbortSignal.timeout(10_000));
    expect(next).toBeGreaterThan(number);
    const writer = fencedWriter(state, successor);
    fence.admit(successor.headers());
    await writer.put("desired", "successor");
    const before = { ...orders };
    leader.child.kill("SIGCONT");
    await expect.poll(() => leader.said.filter(({ event, code }) => event === "refused" && code === "BUS_FENCED").length, { timeout: 10_000 }).toBeGreaterThan(3);
    await expect.poll(() => orders.refused).toBeGreaterThan(3);
    expect(new TextDecoder().decode((await state.get("desired"))?.value)).toBe("successor");
    // What it had sent before it was stopped may have been read late, but nothing after the number was known.
    expect(orders.admitted).toBe(before.admitted);
    expect(leader.said.some(({ event, held }) => event === "change" && held === false)).toBe(true);
    expect([successor.held, successor.fencing]).toEqual([true, next]);
    await successor[Symbol.asyncDispose]();
    await connection.close();
  }, 40_000);

  test("53 SIGKILL of the holder: a successor within ttl and margin; a clean end: at once", async () => {
    await using own = await startNatsServer();
    const connection = await dial(own.url);
    const leases = await openNatsBucket(connection, "leases");
    await using leader = start(own.url, 2_000);
    await expect.poll(() => leader.said.some(({ event }) => event === "acquired"), { timeout: 10_000 }).toBe(true);
    await using one = createLease(leases, "reconciler", { ttlMs: 2_000, holder: "one" });
    await using two = createLease(leases, "reconciler", { ttlMs: 2_000, holder: "two" });
    await expect.poll(() => [one.leader, two.leader]).toEqual(["child", "child"]);
    const killed = Date.now();
    leader.child.kill("SIGKILL");
    const first = await Promise.race([one.acquired(), two.acquired()]);
    expect(Date.now() - killed).toBeLessThan(3_500);
    const [holder, other] = one.held ? [one, two] : [two, one];
    expect(other.held).toBe(false);
    const given = Date.now();
    await holder[Symbol.asyncDispose]();
    expect(await other.acquired(AbortSignal.timeout(5_000))).toBeGreaterThan(first);
    // Far below the time after which it would have been taken anyway.
    expect(Date.now() - given).toBeLessThan(1_200);
    await other[Symbol.asyncDispose]();
    await connection.close();
  }, 40_000);

  test("the bus goes away and comes back: nobody leads for longer than the time to live, then somebody does again", async () => {
    await using own = await startNatsServer();
    const connections = [await dial(own.url), await dial(own.url)];
    const leases = await Promise.all(connections.map(async (connection, i) => createLease(await openNatsBucket(connection, "leases"), "office", { ttlMs: 600, holder: String(i) })));
    await expect.poll(() => leases.filter(({ held }) => held).length).toBe(1);
    const number = leases.map(({ fencing }) => fencing).find((each) => each !== undefined) as number;
    await own.kill();
    await expect.poll(() => leases.filter(({ held }) => held).length, { timeout: 2_000 }).toBe(0);
    await own.restart();
    await expect.poll(() => leases.filter(({ held }) => held).length, { timeout: 10_000 }).toBe(1);
    expect(leases.map(({ fencing }) => fencing).find((each) => each !== undefined)).toBeGreaterThan(number);
    for (const lease of leases) await lease[Symbol.asyncDispose]();
    for (const connection of connections) await connection.close();
  }, 40_000);
});
