import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Type } from "@sinclair/typebox";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Bus, type BusEvent, createBus, createMemoryHub, message, natsTransport, type Transport } from "@opencf/bus";
import { hasNatsServer, type NatsServer, startNatsServer } from "./fixtures/nats-server.ts";

const said = message("slow.reader", Type.Object({ n: Type.Integer(), text: Type.String() }), { about: "test", from: "test", to: "test" });
const messages = 100_000;
const text = "x".repeat(1_000);
const maxPending = 2_000;
const maxPendingBytes = 4 * 1_048_576;
/**
 * What may be in memory beyond what the readers are allowed to keep: the objects around packets, what came with them in the same read of a
 * socket (four subscriptions share one here), what is on the way. The 100 000 messages are 100 MB for each of six subscriptions.
 */
const slackBytes = 24 * 1_048_576;

setFlagsFromString("--expose-gc");
const gc = runInNewContext("gc") as () => void;
/** Bytes of buffers are given back a little after the collection that found them. */
const usedBytes = async (): Promise<number> => {
  for (let n = 0; n < 3; n++) {
    gc();
    await new Promise((done) => setTimeout(done, 20));
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
};

/** One publisher, readers that never read, and others that do. */
async function storm(connect: () => Promise<Transport>): Promise<void> {
  await using publisher: Bus = await createBus({ transport: await connect() });
  await using slow = await createBus({ transport: await connect() });
  await using quick = await createBus({ transport: await connect() });
  const events: BusEvent[] = [];
  slow.on((event) => events.push(event));
  const byCount = slow.subscribe(said, { maxPending });
  const byBytes = slow.subscribe(said, { maxPending: messages, maxPendingBytes });
  // A handler that never ends is a reader that never reads.
  const stuck = slow.subscribe(said, () => new Promise(() => undefined), { concurrency: 1, maxPending });
  const heard: [number, number, number] = [0, 0, 0];
  let inOrder = 0;
  quick.subscribe(said, ({ body }) => {
    if (body.n === heard[0]) inOrder++;
    heard[0]++;
  });
  slow.subscribe(said, () => void heard[1]++);
  publisher.subscribe(said, () => void heard[2]++);
  await Promise.all([publisher.flush(), slow.flush(), quick.flush()]);

  const before = await usedBytes();
  let most = 0;
  for (let n = 0; n < messages; n++) {
    publisher.publish(said, { n, text });
    if (n % 500 === 499) await publisher.flush();
    if (n % 10_000 === 9_999) most = Math.max(most, await usedBytes());
  }
  await expect.poll(() => heard, { timeout: 30_000 }).toEqual([messages, messages, messages]);
  most = Math.max(most, await usedBytes());

  expect(inOrder, "in order").toBe(messages);
  expect([byCount.pending, byCount.dropped]).toEqual([maxPending, messages - maxPending]);
  expect([stuck.pending, stuck.dropped]).toEqual([maxPending, messages - 1 - maxPending]);
  expect(byBytes.pending + byBytes.dropped).toBe(messages);
  expect(byBytes.pending).toBeGreaterThan(3_000);
  expect(byBytes.pending * text.length).toBeLessThan(maxPendingBytes);
  // Two keep 2 000 messages of 1 KB each, one 4 MiB.
  expect(most - before, "bytes in memory").toBeLessThan(2 * maxPending * 1_100 + maxPendingBytes + slackBytes);
  expect(events.filter(({ type }) => type === "slow_consumer").map((event) => "cut" in event && event.cut)).toEqual([false, false, false]);

  // What is left is the newest.
  for await (const { body } of byCount) {
    expect(body.n).toBe(messages - maxPending);
    break;
  }
}

describe("a reader that never reads while 100 000 messages of 1 KB come", () => {
  test("in process", async () => {
    const hub = createMemoryHub();
    await storm(() => Promise.resolve(hub.connect()));
  }, 120_000);

  describe.skipIf(!hasNatsServer())("through a real nats-server (apt-get install nats-server)", () => {
    let server: NatsServer;
    beforeAll(async () => {
      server = await startNatsServer({ jetStream: false });
    });
    afterAll(async () => server[Symbol.asyncDispose]());
    test("the same", async () => storm(natsTransport({ servers: server.url })), 120_000);
  });
});
