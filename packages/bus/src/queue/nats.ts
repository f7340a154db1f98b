import { randomUUID } from "node:crypto";
import type { NatsConnection } from "nats";
import { BusError } from "../errors.ts";
import { headerBytes } from "../headers.ts";
import { ensureStream, nanoseconds, openJetStream } from "../jetstream/api.ts";
import { persist } from "../jetstream/wait.ts";
import { takeLoop } from "./loop.ts";
import { createPull } from "./nats-pull.ts";
import { assertJobId, jobBytes, jobHeaders, queueSettings } from "./options.ts";
import type { WorkQueue, WorkQueueOptions } from "./port.ts";

const consumer = "workers";

/**
 * Opens a work queue on JetStream and makes it where there is none: stream `WORK_<name>` with retention `workqueue` on the subject
 * `opencf.work.<name>`, and a durable pull consumer `workers` with explicit acknowledgement that all workers share.
 * Who opens it with other options changes `ackWaitMs` and `maxDeliver` for everybody.
 * @throws BusError `BUS_INVALID_KEY`, `BUS_UNSUPPORTED` (a server without JetStream), `BUS_TIMEOUT`, `BUS_DISCONNECTED`
 */
export async function openNatsQueue(connection: NatsConnection, name: string, options: WorkQueueOptions = {}): Promise<WorkQueue> {
  const { ackWaitMs, maxDeliver, duplicateWindowMs, replicas, patienceMs } = queueSettings(name, options);
  const jetstream = await openJetStream(connection);
  const stream = `WORK_${name}`;
  const subject = `opencf.work.${name}`;
  await persist(
    (_, timeoutMs) => ensureStream(jetstream, stream, { subjects: [subject], retention: "workqueue", storage: "file", discard: "new", num_replicas: replicas, duplicate_window: nanoseconds(duplicateWindowMs) }, { timeoutMs }),
    { forMs: patienceMs },
  );
  const config = { durable_name: consumer, ack_policy: "explicit", ack_wait: nanoseconds(ackWaitMs), max_deliver: maxDeliver, max_ack_pending: -1, deliver_policy: "all", replay_policy: "instant" };
  await persist((_, timeoutMs) => jetstream.call(`CONSUMER.DURABLE.CREATE.${stream}.${consumer}`, { stream_name: stream, config }, { timeoutMs }), { forMs: patienceMs });

  const closing = new AbortController();
  const check = (): void => {
    if (closing.signal.aborted) throw new BusError("BUS_CLOSED", `the work queue ${name} is closed`);
  };
  // The server stops delivering a job that was delivered too often, yet keeps it; whoever has the queue open takes it out.
  const exhausted = connection.subscribe(`$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.${stream}.${consumer}`, {
    queue: consumer,
    callback: (error, message) => {
      if (error) return;
      const { stream_seq: seq } = message.json<{ stream_seq?: number }>();
      if (seq) void persist(() => jetstream.call(`STREAM.MSG.DELETE.${stream}`, { seq, no_erase: true }), { forMs: patienceMs }).catch(() => undefined);
    },
  });
  void connection.closed().then(() => closing.abort());
  const pull = createPull({ jetstream, name, stream, consumer, ackWaitMs, patienceMs });

  return {
    name,
    async add(data, { id = randomUUID(), headers, signal } = {}) {
      check();
      signal?.throwIfAborted();
      assertJobId(id);
      const payload = jobBytes(data);
      // With an id of its own for every job, asking again after a lost answer cannot make two of one.
      const block = { ...jobHeaders(headers), "Nats-Msg-Id": [id] };
      const size = payload.length + headerBytes(block);
      const limit = connection.info?.max_payload ?? 1_048_576;
      if (size > limit) throw new BusError("BUS_PAYLOAD_TOO_LARGE", `a job of ${size} bytes is more than the queue ${name} takes (${limit})`);
      return persist(
        async (attempt, timeoutMs) => {
          const { duplicate } = await jetstream.store(subject, payload, block, { timeoutMs, signal });
          // Known after an attempt without an answer: that attempt had arrived.
          return !duplicate || attempt > 0;
        },
        { forMs: patienceMs, signal },
      );
    },
    take({ atOnce, signal } = {}) {
      check();
      return takeLoop(pull, { atOnce, signal, closing: closing.signal });
    },
    async pending() {
      check();
      const info = await persist((_, timeoutMs) => jetstream.call<{ state: { messages: number } }>(`STREAM.INFO.${stream}`, undefined, { timeoutMs }), { forMs: patienceMs });
      if (!info) throw new BusError("BUS_NOT_FOUND", `the work queue ${name} was removed`);
      return info.state.messages;
    },
    async destroy() {
      check();
      await persist((_, timeoutMs) => jetstream.call(`STREAM.DELETE.${stream}`, undefined, { timeoutMs }), { forMs: patienceMs });
    },
    [Symbol.asyncDispose]() {
      closing.abort();
      exhausted.unsubscribe();
      return Promise.resolve();
    },
  };
}
