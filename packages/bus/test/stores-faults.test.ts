import { connect, type NatsConnection } from "nats";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { BusError } from "@opencf/bus";
import { openNatsObjects } from "@opencf/bus/objects";
import { openNatsQueue } from "@opencf/bus/queue";
import { hasNatsServer, type NatsServer, startNatsServer } from "./fixtures/nats-server.ts";

const reach = (server: NatsServer): Promise<NatsConnection> => connect({ servers: server.url, reconnectTimeWait: 50, maxReconnectAttempts: -1 });
const collect = async (data: AsyncIterable<Uint8Array>): Promise<Buffer> => {
  const parts: Uint8Array[] = [];
  for await (const part of data) parts.push(part);
  return Buffer.concat(parts);
};

async function* none(): AsyncGenerator<Uint8Array> {}

/** Puts a server's death into the middle of a source. */
async function* interrupted(parts: number, at: number, interrupt: () => Promise<void>): AsyncGenerator<Uint8Array> {
  for (let part = 0; part < parts; part++) {
    if (part === at) await interrupt();
    yield Buffer.alloc(1_000, part);
  }
}

describe.skipIf(!hasNatsServer())("stores on JetStream while their server goes away", () => {
  test("put: the server is killed in the middle and comes back; the object is whole", async () => {
    await using server = await startNatsServer();
    const connection = await reach(server);
    const store = await openNatsObjects(connection, "x", { chunkBytes: 1_000 });
    const info = await store.put("it", interrupted(20, 10, async () => {
      await server.kill();
      setTimeout(() => void server.restart(), 300);
    }));
    expect(info.chunks).toBe(20);
    const found = await store.get("it");
    expect(Buffer.compare(await collect(found?.data ?? none()), Buffer.concat(Array.from({ length: 20 }, (_, part) => Buffer.alloc(1_000, part))))).toBe(0);
    await connection.close();
  }, 40_000);

  test("get: the server is killed in the middle and comes back; the reader gets the rest", async () => {
    await using server = await startNatsServer();
    const connection = await reach(server);
    const store = await openNatsObjects(connection, "x", { chunkBytes: 1_000 });
    const bytes = Buffer.concat(Array.from({ length: 20 }, (_, part) => Buffer.alloc(1_000, part)));
    await store.put("it", bytes);
    const found = await store.get("it");
    const parts: Uint8Array[] = [];
    for await (const part of found?.data ?? none()) {
      if (parts.push(part) !== 10) continue;
      await server.kill();
      setTimeout(() => void server.restart(), 300);
    }
    expect(Buffer.concat(parts).equals(bytes)).toBe(true);
    await connection.close();
  }, 40_000);

  test("the server stays away: put and get end with an error that says that it may be tried again", async () => {
    await using server = await startNatsServer();
    const connection = await reach(server);
    const store = await openNatsObjects(connection, "x", { chunkBytes: 1_000, patienceMs: 1_000 });
    await store.put("it", Buffer.alloc(3_000));
    const found = await store.get("it");
    const put = store.put("other", interrupted(5, 2, () => server.kill())).catch((error: unknown) => error);
    const got = await put;
    expect(got).toBeInstanceOf(BusError);
    expect(got).toMatchObject({ code: expect.stringMatching(/BUS_TIMEOUT|BUS_DISCONNECTED/), retryable: true });
    await expect(collect(found?.data ?? none())).rejects.toMatchObject({ retryable: true });
    await server.restart();
    await expect.poll(() => store.info("it").then((info) => info?.chunks, () => undefined), { timeout: 20_000 }).toBe(3);
    // What could not be cleared away while nobody was there is cleared away afterwards.
    const jsm = await connection.jetstreamManager();
    await expect.poll(async () => Object.values((await jsm.streams.info("OBJ_x", { subjects_filter: "$O.x.C.>" })).state.subjects ?? {}), { timeout: 20_000 }).toEqual([3]);
    expect(await store.info("other")).toBeUndefined();
    await connection.close();
  }, 90_000);

  test("an abort is heard while the server is away", async () => {
    await using server = await startNatsServer();
    const connection = await reach(server);
    const store = await openNatsObjects(connection, "x", { chunkBytes: 1_000 });
    const abort = new AbortController();
    const put = store.put("it", interrupted(5, 2, async () => {
      await server.kill();
      setTimeout(() => abort.abort(new Error("enough")), 100);
    }), { signal: abort.signal });
    await expect(put).rejects.toThrow("enough");
    await connection.close();
  }, 40_000);

  test("take: the server is killed while a worker waits and while it works; the loop goes on", async () => {
    await using server = await startNatsServer();
    const connection = await reach(server);
    const queue = await openNatsQueue(connection, "x", { ackWaitMs: 1_000 });
    const done: string[] = [];
    const stop = new AbortController();
    let interrupt = true;
    const worker = (async () => {
      for await (const job of queue.take({ signal: stop.signal })) {
        if (interrupt && job.data.length === 6) {
          interrupt = false;
          await server.kill();
          await server.restart();
        }
        await job.ack();
        done.push(new TextDecoder().decode(job.data));
      }
    })();
    await sleep(100);
    await server.kill();
    await server.restart();
    await queue.add("first");
    await expect.poll(() => done, { timeout: 20_000 }).toEqual(["first"]);
    await queue.add("second");
    await expect.poll(() => done.includes("second"), { timeout: 20_000 }).toBe(true);
    await queue.add("third");
    await expect.poll(() => done.includes("third"), { timeout: 20_000 }).toBe(true);
    await expect.poll(() => queue.pending(), { timeout: 10_000 }).toBe(0);
    stop.abort();
    await worker;
    await connection.close();
  }, 60_000);

  test("a server without JetStream: BUS_UNSUPPORTED, with what to do", async () => {
    await using server = await startNatsServer({ jetStream: false });
    const connection = await reach(server);
    await expect(openNatsObjects(connection, "x")).rejects.toMatchObject({ code: "BUS_UNSUPPORTED", message: expect.stringContaining("-js"), retryable: false });
    await expect(openNatsQueue(connection, "x")).rejects.toMatchObject({ code: "BUS_UNSUPPORTED", message: expect.stringContaining("-js") });
    await connection.close();
  });

  test("the connection ends for good: what waits ends, what is asked says BUS_CLOSED", async () => {
    await using server = await startNatsServer();
    const connection = await reach(server);
    const store = await openNatsObjects(connection, "x");
    const queue = await openNatsQueue(connection, "x");
    const waits = queue.take()[Symbol.asyncIterator]().next();
    await sleep(50);
    await connection.close();
    expect((await waits).done).toBe(true);
    await expect(store.info("x")).rejects.toMatchObject({ code: "BUS_CLOSED" });
    await expect(queue.add("x")).rejects.toMatchObject({ code: "BUS_CLOSED" });
  });
});
