import type { Msg, NatsConnection } from "nats";
import { BusError } from "../errors.ts";
import { type Clock, systemClock } from "../ports.ts";
import { createBucket } from "./bucket.ts";
import { assertBucketName, assertBucketOptions, assertSameOptions } from "./keys.ts";
import { followNats } from "./nats/follower.ts";
import { createJetStream, type JetStream } from "./nats/jetstream.ts";
import type { Bucket, BucketOptions } from "./port.ts";
import type { Store, StoredChange } from "./store.ts";

export interface NatsBucketOptions extends BucketOptions {
  /** Deadline of every call in ms. Default 5 000. */
  timeoutMs?: number;
  clock?: Clock;
}

interface StreamInfo {
  readonly created: string;
  readonly state: { readonly last_seq: number };
  readonly config: { readonly max_age: number; readonly max_msgs_per_subject: number; readonly num_replicas: number };
}

/** Ours: no server older than 2.11 lets single messages expire. */
const ttlHeader = "Opencf-Ttl-Ms";
const operations: Readonly<Record<string, StoredChange["operation"]>> = { DEL: "delete", PURGE: "purge" };

/**
 * Opens or makes a bucket in JetStream, laid out as ADR-8 says (stream `KV_name`, subjects `$KV.name.key`), so that other clients read it too.
 * A time to live of a single key travels in a header and is heeded by the readers, whose idea of the server's clock is measured.
 * @throws BusError `BUS_INVALID_KEY`, `BUS_UNSUPPORTED` (no JetStream, or the bucket exists with other options), `BUS_DISCONNECTED`, `BUS_TIMEOUT`
 */
export async function openNatsBucket(connection: NatsConnection, name: string, options: NatsBucketOptions = {}): Promise<Bucket> {
  const { timeoutMs = 5_000, clock = systemClock, ...asked } = options;
  assertBucketName(name);
  assertBucketOptions(name, asked);
  const jetStream = createJetStream(connection, timeoutMs);
  const { created, config } = await findOrMake(jetStream, name, asked);
  const has: BucketOptions = {
    ...(config.max_age > 0 && { ttlMs: Math.round(config.max_age / 1e6) }),
    history: config.max_msgs_per_subject,
    replicas: config.num_replicas,
  };
  assertSameOptions(name, asked, has);
  const store = await storeOn(jetStream, { name, madeAt: created, history: config.max_msgs_per_subject, clock });
  return createBucket({ name, store, clock, ttlMs: has.ttlMs, timeoutMs });
}

async function findOrMake(jetStream: JetStream, name: string, { ttlMs, history = 1, replicas = 1 }: BucketOptions): Promise<StreamInfo> {
  const stream = `KV_${name}`;
  try {
    return await jetStream.api<StreamInfo>(`STREAM.INFO.${stream}`);
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
  try {
    return await jetStream.api<StreamInfo>(`STREAM.CREATE.${stream}`, {
      name: stream, subjects: [`$KV.${name}.>`], retention: "limits", storage: "file", discard: "new",
      max_consumers: -1, max_msgs: -1, max_bytes: -1, max_msg_size: -1,
      max_msgs_per_subject: history, num_replicas: replicas, max_age: (ttlMs ?? 0) * 1e6,
      allow_rollup_hdrs: true, deny_delete: true, allow_direct: true,
    });
  } catch (error) {
    // Somebody else may have made it between the two calls, with other options.
    return jetStream.api<StreamInfo>(`STREAM.INFO.${stream}`).catch(() => Promise.reject(error instanceof Error ? error : new Error(String(error))));
  }
}

async function storeOn(jetStream: JetStream, { name, madeAt, history, clock }: { name: string; madeAt: string; history: number; clock: Clock }): Promise<Store> {
  const { headers, createInbox } = await import("nats");
  const { connection } = jetStream;
  const stream = `KV_${name}`;
  const prefix = `$KV.${name}.`;
  const inboxPrefix = (connection as { options?: { inboxPrefix?: string } }).options?.inboxPrefix;
  const serverClock = createServerClock(clock);
  const inbox = (): string => createInbox(inboxPrefix);

  const read = ({ subject, data, headers: block }: Msg, revision: number, createdMs: number): StoredChange => ({
    key: subject.slice(prefix.length), data: data.slice(), revision, createdMs,
    operation: operations[block?.get("KV-Operation") ?? ""] ?? "put",
    ttlMs: ttlOf(block?.get(ttlHeader)),
  });
  const store: Store = {
    maxValueBytes: (connection.info?.max_payload ?? 1_048_576) - 512,
    now: serverClock.now,
    append(key, { operation, data, ttlMs, expected, expectedLast }, signal) {
      const block = headers();
      if (operation !== "put") block.set("KV-Operation", operation === "purge" ? "PURGE" : "DEL");
      // Where one change is kept it replaces the others anyway; with this header a server before 2.9.12 may pass over changes of other keys.
      if (operation === "purge" && history !== 1) block.set("Nats-Rollup", "sub");
      if (expected !== undefined) block.set("Nats-Expected-Last-Subject-Sequence", String(expected));
      if (expectedLast !== undefined) block.set("Nats-Expected-Last-Sequence", String(expectedLast));
      if (ttlMs !== undefined) block.set(ttlHeader, String(ttlMs));
      return jetStream.store(prefix + key, data, { headers: block, signal });
    },
    // The leader of the stream answers: a copy may be behind, and decisions are built on this.
    async last(key, signal) {
      try {
        const { message } = await jetStream.api<{ message: StoredMessage }>(`STREAM.MSG.GET.${stream}`, { last_by_subj: prefix + key }, { signal });
        const block = readHeaders(message.hdrs);
        return {
          key, data: Buffer.from(message.data ?? "", "base64"), revision: message.seq, createdMs: Date.parse(message.time),
          operation: operations[block.get("KV-Operation") ?? ""] ?? "put",
          ttlMs: ttlOf(block.get(ttlHeader)),
        };
      } catch (error) {
        if (isNotFound(error) && /no message/.test((error as Error).message)) return undefined;
        throw error;
      }
    },
    revision: async (signal) => (await jetStream.api<StreamInfo>(`STREAM.INFO.${stream}`, undefined, { signal })).state.last_seq,
    follow: (pattern, start, ring) =>
      followNats({ jetStream, clock, stream, filter: prefix + pattern, start, createInbox: inbox, madeAt, read, onServerTime: serverClock.sample, ring }),
    async destroy(signal) {
      await jetStream.api(`STREAM.DELETE.${stream}`, undefined, { signal });
    },
    close() {},
  };
  // A consumer that lives for this one answer: it tells what time it is at the server.
  const sentMs = clock.now();
  const { name: consumer, created } = await jetStream.api<{ name: string; created: string }>(`CONSUMER.CREATE.${stream}`, {
    stream_name: stream,
    config: { deliver_policy: "new", ack_policy: "none", deliver_subject: inbox(), mem_storage: true, num_replicas: 1, max_deliver: 1, filter_subject: `${prefix}time` },
  });
  serverClock.sample(Date.parse(created), sentMs);
  jetStream.api(`CONSUMER.DELETE.${stream}.${consumer}`).catch(() => undefined);
  return store;
}

interface StoredMessage {
  readonly seq: number;
  readonly time: string;
  readonly data?: string;
  readonly hdrs?: string;
}

const isNotFound = (error: unknown): boolean => error instanceof BusError && error.code === "BUS_NOT_FOUND";
const ttlOf = (text: string | undefined): number | undefined => (text && /^\d{1,15}$/.test(text) ? Number(text) : undefined);

/** A header block in base64, as the API gives it. */
function readHeaders(block: string | undefined): ReadonlyMap<string, string> {
  const lines = block === undefined ? [] : Buffer.from(block, "base64").toString("utf8").split("\r\n").slice(1);
  return new Map(lines.filter((line) => line.includes(":")).map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]));
}

/** Our clock, moved by how far the server's is ahead: known from the sample with the shortest way there and back, at most 10 minutes old. */
function createServerClock(clock: Clock): { now: () => number; sample: (serverMs: number, sentMs: number) => void } {
  let best: { aheadMs: number; tripMs: number; atMs: number } | undefined;
  return {
    now: () => clock.now() + (best?.aheadMs ?? 0),
    sample(serverMs, sentMs) {
      const atMs = clock.now();
      const tripMs = atMs - sentMs;
      if (!Number.isFinite(serverMs) || (best && tripMs > best.tripMs && atMs - best.atMs < 600_000)) return;
      best = { aheadMs: serverMs - (sentMs + atMs) / 2, tripMs, atMs };
    },
  };
}
