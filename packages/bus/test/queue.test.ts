import { connect, type NatsConnection } from "nats";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openNatsQueue } from "@opencf/bus/queue";
import { hasNatsServer, type NatsServer, startNatsServer } from "./fixtures/nats-server.ts";

// The rules of work queues, item 52, run with the whole suite in conformance.test.ts; here is what only a server can do.
describe.skipIf(!hasNatsServer())("work queues on JetStream, on a real nats-server (apt-get install nats-server)", () => {
  let server: NatsServer;
  let connection: NatsConnection;
  beforeAll(async () => {
    server = await startNatsServer();
    connection = await connect({ servers: server.url });
  });
  afterAll(async () => {
    await connection.close();
    await server[Symbol.asyncDispose]();
  });

  test("52: a worker whose connection breaks gives its jobs back", async () => {
    await using queue = await openNatsQueue(connection, "broken", { ackWaitMs: 400 });
    await queue.add("x");
    const lost = await connect({ servers: server.url });
    const worker = await openNatsQueue(lost, "broken", { ackWaitMs: 400 });
    const first = await worker.take()[Symbol.asyncIterator]().next();
    expect(first.done).toBe(false);
    await lost.close();
    for await (const job of queue.take()) {
      expect(job.delivery).toBe(2);
      await job.ack();
      break;
    }
    expect(await queue.pending()).toBe(0);
  });
});
