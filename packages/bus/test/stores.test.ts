import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Clock, createBus, createMemoryHub, memoryTransport, natsTransport, type Transport } from "@opencf/bus";
import { createMemoryObjects, openObjects } from "@opencf/bus/objects";
import { createMemoryQueues, openQueue } from "@opencf/bus/queue";
import { hasNatsServer, type NatsServer, startNatsServer } from "./fixtures/nats-server.ts";

/** Both stores by the connection of a bus. */
async function roundTrip(transport: () => Promise<Transport>): Promise<void> {
  await using bus = await createBus({ transport });
  await using objects = await openObjects(bus, "droplets");
  await objects.put("d1", Buffer.alloc(300_000, 7));
  const found = await objects.get("d1");
  let length = 0;
  for await (const part of found?.data ?? none()) length += part.length;
  expect([length, found?.info.chunks]).toEqual([300_000, 3]);
  await using queue = await openQueue(bus, "staging");
  await queue.add("stage me", { id: "1" });
  for await (const job of queue.take()) {
    expect(new TextDecoder().decode(job.data)).toBe("stage me");
    await job.ack();
    break;
  }
  expect(await queue.pending()).toBe(0);
}

async function* none(): AsyncGenerator<Uint8Array> {}

test("in process: a bus opens stores and queues, and its neighbours on the hub see them", async () => {
  const hub = createMemoryHub();
  await roundTrip(() => Promise.resolve(hub.connect()));
  await using other = await createBus({ transport: hub.connect() });
  expect((await (await openObjects(other, "droplets")).info("d1"))?.sizeBytes).toBe(300_000);
});

describe.skipIf(!hasNatsServer())("on a real nats-server (apt-get install nats-server)", () => {
  let server: NatsServer;
  beforeAll(async () => {
    server = await startNatsServer();
  });
  afterAll(async () => server[Symbol.asyncDispose]());
  test("a bus opens stores and queues", () => roundTrip(natsTransport({ servers: server.url })));
});

test("a transport without them: BUS_UNSUPPORTED", async () => {
  const { publish, subscribe } = memoryTransport();
  const transport = { publish, subscribe } as unknown as Transport;
  await expect(openObjects({ transport }, "x")).rejects.toMatchObject({ code: "BUS_UNSUPPORTED" });
  await expect(openQueue({ transport }, "x")).rejects.toMatchObject({ code: "BUS_UNSUPPORTED" });
});

test("whatever the pieces and the chunk size: the same bytes, every chunk full but the last", () =>
  fc.assert(fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 12 }), fc.integer({ min: 1, max: 50 }), async (pieces, chunkBytes) => {
    const objects = createMemoryObjects();
    await using store = await objects.open("x", { chunkBytes });
    const info = await store.put("it", (async function* () {
      for (const piece of pieces) yield await Promise.resolve(piece);
    })());
    const parts: Uint8Array[] = [];
    for await (const part of (await store.get("it"))?.data ?? none()) parts.push(part);
    const all = Buffer.concat(pieces);
    expect(Buffer.concat(parts).equals(all)).toBe(true);
    expect(parts.map((part) => part.length)).toEqual(Array.from({ length: Math.ceil(all.length / chunkBytes) }, (_, at) => Math.min(chunkBytes, all.length - at * chunkBytes)));
    expect([info.sizeBytes, info.chunks]).toEqual([all.length, parts.length]);
  })));

test("a queue in process goes by the clock that it was given", async () => {
  let now = 0;
  const timers = new Set<{ at: number; run: () => void }>();
  const clock: Clock = {
    now: () => now,
    after(ms, run) {
      const timer = { at: now + ms, run };
      timers.add(timer);
      return { [Symbol.dispose]: () => void timers.delete(timer) };
    },
  };
  const advance = (ms: number): void => {
    now += ms;
    for (const timer of [...timers]) if (timer.at <= now && timers.delete(timer)) timer.run();
  };
  await using queue = await createMemoryQueues({ clock }).open("x", { ackWaitMs: 30_000, maxDeliver: 2, duplicateWindowMs: 60_000 });
  expect(await queue.add("a", { id: "1" })).toBe(true);
  const jobs = queue.take()[Symbol.asyncIterator]();
  const first = (await jobs.next()).value;
  advance(20_000);
  first?.working();
  advance(29_999);
  const waits = jobs.next();
  expect(first?.delivery).toBe(1);
  advance(1);
  const second = (await waits).value;
  expect(second?.delivery).toBe(2);
  expect(await queue.add("a", { id: "1" })).toBe(false);
  advance(30_000);
  expect(await queue.pending()).toBe(0);
  expect(await queue.add("a", { id: "1" })).toBe(true);
  // Nothing runs on behind a queue whose jobs are done.
  const third = (await jobs.next()).value;
  await third?.ack();
  expect(timers.size).toBe(0);
  await jobs.return?.();
});
