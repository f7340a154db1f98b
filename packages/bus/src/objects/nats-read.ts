import { BusError } from "../errors.ts";
import type { JetStream } from "../jetstream/api.ts";
import { persist } from "../jetstream/wait.ts";
import { createDigest, mismatch } from "./chunks.ts";
import type { Index, ObjectRecord } from "./nats-index.ts";

interface Reading {
  readonly jetstream: JetStream;
  readonly index: Index;
  readonly stream: string;
  readonly store: string;
  readonly record: ObjectRecord;
  readonly patienceMs: number;
  readonly signal: AbortSignal | undefined;
  /** The store itself is closed. */
  readonly closing: AbortSignal;
}

/** Chunk by chunk, each asked for when the one before was taken: nothing piles up behind a slow reader, and an interruption only delays. */
export async function* readChunks({ jetstream, index, stream, store, record, patienceMs, signal, closing }: Reading): AsyncGenerator<Uint8Array> {
  const subject = `$O.${store}.C.${record.nuid}`;
  const digest = createDigest();
  const next = (from: number) => {
    closing.throwIfAborted();
    return persist((_, timeoutMs) => jetstream.read(stream, subject, from, { timeoutMs, signal }), { forMs: patienceMs, signal });
  };
  let from = 1;
  for (let chunk = 0; chunk < record.chunks; chunk++) {
    const found = await next(from);
    if (!found) throw await missing(index, record);
    from = found.seq + 1;
    digest.update(found.data);
    yield found.data;
  }
  if (record.digest !== digest.read()) throw mismatch(record.name, "its chunks are not those that were put");
  if (record.chunks > 0 && (await next(from))) throw mismatch(record.name, "there are more chunks than were put");
}

/** Replaced while it was read, which happens, or really damaged? */
async function missing(index: Index, record: ObjectRecord): Promise<BusError> {
  const now = await index.read(record.name);
  return now?.record.nuid === record.nuid
    ? mismatch(record.name, "chunks are missing")
    : new BusError("BUS_NOT_FOUND", `object ${JSON.stringify(record.name)} was replaced or deleted while it was read: get it again`, { retryable: true });
}
