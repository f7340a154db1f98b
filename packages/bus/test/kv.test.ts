import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { connect, type NatsConnection } from "nats";
import { openNatsBucket } from "../src/kv/nats.ts";
import type { WatchEvent } from "../src/kv/port.ts";
import { freePort } from "../../../test/support/free-port.ts";
import { hasNatsServer, type NatsServer, startNatsServer } from "./fixtures/nats-server.ts";
import { startTcpProxy } from "./fixtures/tcp-proxy.ts";

const text = (event: WatchEvent): string => (event.type === "current" ? "--" : `${event.entry.operation} ${new TextDecoder().decode(event.entry.value)}`);

// The rules of buckets themselves, items 47 to 50, run with the whole suite in conformance.test.ts; here is what only a server can do.
describe.skipIf(!hasNatsServer())("buckets on JetStream of a real nats-server (apt-get install nats-server)", () => {
  let server: NatsServer;
  beforeAll(async () => {
    server = await startNatsServer();
  });
  afterAll(async () => server[Symbol.asyncDispose]());

  const dial = (url = server.url): Promise<NatsConnection> => connect({ servers: url, maxReconnectAttempts: -1, reconnectTimeWait: 50 });

  test("48 watch: the server is killed and comes back; no revision is lost or told twice, nothing expires meanwhile that was refreshed", async () => {
    await using own = await startNatsServer();
    const [one, two] = [await dial(own.url), await dial(own.url)];
    const [a, b] = [await openNatsBucket(one, "back", { history: 64 }), await openNatsBucket(two, "back")];
    const seen: WatchEvent[] = [];
    void (async () => {
      for await (const event of b.watch()) seen.push(event);
    })();
    await a.put("k", "1");
    await a.put("short", "s1", { ttlMs: 700 });
    await expect.poll(() => seen.map(text)).toEqual(expect.arrayContaining(["put 1", "put s1", "--"]));
    seen.splice(0);
    await own.kill();
    const started = Date.now();
    await expect.poll(async () => (await a.put("k", "lost").catch((error: { code?: string }) => error)) as { code?: string }).toMatchObject({ code: "BUS_DISCONNECTED" });
    await expect(b.get("k")).rejects.toMatchObject({ code: "BUS_DISCONNECTED", retryable: true });
    expect(Date.now() - started).toBeLessThan(4_000);
    await own.restart();
    const third = await dial(own.url);
    const c = await openNatsBucket(third, "back");
    await c.put("short", "s2", { ttlMs: 60_000 });
    for (let i = 2; i <= 20; i++) await c.put("k", String(i));
    await expect.poll(() => seen.at(-1) && text(seen.at(-1) as WatchEvent), { timeout: 10_000 }).toBe("put 20");
    const told = seen.flatMap((event) => (event.type === "entry" ? [event.entry] : []));
    expect(new Set(told.map(({ revision, operation }) => `${operation} ${revision}`)).size).toBe(told.length);
    expect(told.filter(({ key }) => key === "k").map((entry) => text({ type: "entry", entry }))).toEqual(Array.from({ length: 19 }, (_, i) => `put ${i + 2}`));
    await expect.poll(async () => (await a.get("k").catch(() => undefined))?.revision, { timeout: 10_000 }).toBe(told.at(-1)?.revision);
    for (const connection of [one, two, third]) await connection.close();
    await expect(a.get("k")).rejects.toMatchObject({ code: "BUS_CLOSED" });
  });

  // A nats-server before 2.9.12 loses what waits for a consumer when it purges one of several keys.
  test.each([1, 5])("48 watch: a key is purged while a watcher is behind; no change of another key is lost (history %i)", async (history) => {
    await using way = await startTcpProxy(server.port);
    const [near, far] = [await dial(), await dial(way.url)];
    const [a, b] = [await openNatsBucket(near, `behind-${history}`, { history }), await openNatsBucket(far, `behind-${history}`)];
    const watched: { include?: "history" | "updates"; key?: string }[] = [{}, { include: "history" }, { include: "updates" }, { key: "app.*" }];
    for (const key of ["purged", "deleted"]) await a.put(`app.${key}`, "0");
    const seen = watched.map((options) => {
      const told: string[] = [];
      void (async () => {
        for await (const event of b.watch(options)) told.push(event.type === "current" ? "--" : `${event.entry.operation} ${event.entry.key}`);
      })();
      return told;
    });
    for (const told of seen) await expect.poll(() => told).toContain("--");
    way.pause();
    // More than the 2 MiB that the server sends to somebody who confirms nothing.
    for (let i = 0; i < 40; i++) await a.put(`app.${i}`, Buffer.alloc(100_000));
    await a.put("app.other", "1");
    await a.delete("app.deleted");
    await a.purge("app.purged");
    await a.put("app.purged", "2");
    way.resume();
    const puts = Array.from({ length: 40 }, (_, i) => `put app.${i}`);
    const expected = ["--", ...puts, "put app.other", "delete app.deleted", ...(history === 1 ? [] : ["purge app.purged"]), "put app.purged"];
    for (const [i, told] of seen.entries()) {
      await expect.poll(() => told.at(-1), { timeout: 10_000 }).toBe("put app.purged");
      expect(told.slice(told.indexOf("--")), JSON.stringify(watched[i])).toEqual(expected);
    }
    for (const connection of [near, far]) await connection.close();
  }, 30_000);

  test("48 watch: closing a connection whose server is away ends it quietly", async () => {
    await using own = await startNatsServer();
    const connection = await dial(own.url);
    const bucket = await openNatsBucket(connection, "away");
    const seen: string[] = [];
    const ended = (async () => {
      for await (const event of bucket.watch()) seen.push(text(event));
    })();
    await expect.poll(() => seen).toEqual(["--"]);
    await own.kill();
    await expect.poll(async () => ((await bucket.get("k").catch((error: unknown) => error)) as { code?: string }).code).toBe("BUS_DISCONNECTED");
    await connection.close();
    await ended;
    await expect(bucket.get("k")).rejects.toMatchObject({ code: "BUS_CLOSED" });
  });

  test("47 a server that does not answer: the deadline ends the call, the signal ends it earlier", async () => {
    await using own = await startNatsServer();
    const connection = await dial(own.url);
    const bucket = await openNatsBucket(connection, "mute", { timeoutMs: 300 });
    // A stream whose subject somebody else takes too, and the stream is gone: nobody answers.
    await bucket.destroy();
    connection.subscribe("$KV.mute.>", { callback: () => undefined });
    await connection.flush();
    await expect(bucket.put("k", "1")).rejects.toMatchObject({ code: "BUS_TIMEOUT" });
    await expect(bucket.put("k", "1", { signal: AbortSignal.timeout(50) })).rejects.toMatchObject({ name: "TimeoutError" });
    await connection.close();
  });

  test("47 a server without JetStream says how to start one that has it", async () => {
    const { spawn } = await import("node:child_process");
    const port = await freePort();
    const child = spawn("nats-server", ["-a", "127.0.0.1", "-p", String(port)], { stdio: "ignore" });
    try {
      const connection = await connect({ servers: `127.0.0.1:${port}`, waitOnFirstConnect: true, reconnectTimeWait: 50, maxReconnectAttempts: 200 });
      await expect(openNatsBucket(connection, "none")).rejects.toMatchObject({ code: "BUS_UNSUPPORTED", message: expect.stringContaining("-js") });
      await connection.close();
    } finally {
      child.kill("SIGKILL");
    }
  });

  test("47 a bucket is what other clients call one", async () => {
    const connection = await dial();
    const theirs = await connection.jetstream().views.kv("theirs", { history: 5 });
    const ours = await openNatsBucket(connection, "theirs");
    await theirs.put("k", "from them");
    expect(new TextDecoder().decode((await ours.get("k"))?.value)).toBe("from them");
    const revision = await ours.put("k", "from us");
    expect(await theirs.get("k")).toMatchObject({ revision, operation: "PUT" });
    await theirs.delete("k");
    expect(await ours.get("k")).toBeUndefined();
    expect((await ours.history("k")).map(({ operation }) => operation)).toEqual(["put", "put", "delete"]);
    await connection.close();
  });

  test("49 clocks that disagree: an entry lives as long as the server's clock says", async () => {
    const connection = await dial();
    const ahead = { now: () => Date.now() + 3_600_000, after: (ms: number, run: () => void) => { const timer = setTimeout(run, ms); return { [Symbol.dispose]: () => clearTimeout(timer) }; } };
    const [mine, theirs] = [await openNatsBucket(connection, "clocks"), await openNatsBucket(connection, "clocks", { clock: ahead })];
    await mine.put("k", "1", { ttlMs: 5_000 });
    expect(await theirs.get("k")).toBeDefined();
    await theirs.put("short", "1", { ttlMs: 200 });
    expect(await mine.get("short")).toBeDefined();
    await expect.poll(async () => [await mine.get("short"), await theirs.get("short")]).toEqual([undefined, undefined]);
    await connection.close();
  });
});
