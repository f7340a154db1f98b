import { randomUUID } from "node:crypto";
import type { NatsConnection } from "nats";
import { BusError } from "../errors.ts";
import { assertStoreName, ensureStream, openJetStream } from "../jetstream/api.ts";
import { linkOf } from "../jetstream/link.ts";
import { defaultPatienceMs, persist } from "../jetstream/wait.ts";
import { assertChunkBytes, assertObjectName, chunked, createDigest, defaultChunkBytes } from "./chunks.ts";
import { createIndex, type ObjectRecord, toInfo } from "./nats-index.ts";
import { readChunks } from "./nats-read.ts";
import type { ObjectStore, ObjectStoreOptions } from "./port.ts";

/**
 * Opens a store of large things on JetStream and makes it where there is none, in the layout of ADR-20 that every NATS client reads:
 * stream `OBJ_<name>`, chunks on `$O.<name>.C.<id>`, a record for each object on `$O.<name>.M.<base64url of its name>`.
 * Short interruptions are waited out; longer ones end a call with a retryable error.
 * @throws BusError `BUS_INVALID_KEY`, `BUS_UNSUPPORTED` (a server without JetStream), `BUS_TIMEOUT`, `BUS_DISCONNECTED`
 */
export async function openNatsObjects(connection: NatsConnection, name: string, { chunkBytes = defaultChunkBytes, replicas = 1, patienceMs = defaultPatienceMs }: ObjectStoreOptions = {}): Promise<ObjectStore> {
  assertStoreName(name);
  assertChunkBytes(chunkBytes);
  const jetstream = await openJetStream(connection);
  const stream = `OBJ_${name}`;
  await persist(
    (_, timeoutMs) => ensureStream(jetstream, stream, { subjects: [`$O.${name}.C.>`, `$O.${name}.M.>`], num_replicas: replicas, allow_direct: true, allow_rollup_hdrs: true, discard: "new", max_age: 0, storage: "file", retention: "limits" }, { timeoutMs }),
    { forMs: patienceMs },
  );
  const index = createIndex(jetstream, name, stream, patienceMs);
  const closing = new AbortController();
  const check = (object?: string): void => {
    if (closing.signal.aborted) throw new BusError("BUS_CLOSED", `the object store ${name} is closed`);
    if (object !== undefined) assertObjectName(object);
  };

  /** Takes chunks away. A server that is gone just now is asked again for a while, by then nobody waits. */
  const attempt = async (once: () => Promise<unknown>): Promise<void> => {
    const later = (): void => void persist(once, { forMs: 60_000 }).catch(() => undefined);
    if (!linkOf(connection).up) return later();
    await once().catch((error: unknown) => {
      if (error instanceof BusError && error.retryable) later();
    });
  };
  const purge = (id: string): Promise<void> => attempt(() => jetstream.call(`STREAM.PURGE.${stream}`, { filter: `$O.${name}.C.${id}` }, { timeoutMs: 2_000 }));
  /** The record may have been written although the answer was lost: then its chunks are those of a whole object. */
  const discard = (object: string, id: string): Promise<void> =>
    attempt(async () => {
      if ((await index.read(object))?.record.nuid !== id) await purge(id);
    });

  return {
    name,
    async put(object, source, { signal } = {}) {
      check(object);
      signal?.throwIfAborted();
      const id = randomUUID().replaceAll("-", "");
      // Room for the header in which the chunk tells what it is.
      const size = Math.min(chunkBytes, (connection.info?.max_payload ?? 1_048_576) - 256);
      const digest = createDigest();
      let sizeBytes = 0;
      let chunks = 0;
      try {
        // One after the other: a chunk that must be sent again must not come to lie behind the next one.
        for await (const chunk of chunked(source, size, signal)) {
          check();
          const headers = { "Nats-Msg-Id": [`${id}.${chunks}`] };
          await persist((_, timeoutMs) => jetstream.store(`$O.${name}.C.${id}`, chunk, headers, { timeoutMs, signal }), { forMs: patienceMs, signal });
          digest.update(chunk);
          sizeBytes += chunk.length;
          chunks++;
        }
      } catch (error) {
        await purge(id);
        throw error;
      }
      const record: ObjectRecord = { name: object, bucket: name, nuid: id, size: sizeBytes, chunks, digest: digest.read(), mtime: new Date().toISOString(), options: { max_chunk_size: size } };
      try {
        const old = await index.write(record, signal);
        if (old && !old.deleted && old.nuid !== id) await purge(old.nuid);
      } catch (error) {
        await discard(object, id);
        throw error;
      }
      return toInfo(record);
    },
    async get(object, { signal } = {}) {
      check(object);
      const found = await index.read(object, signal);
      if (!found) return undefined;
      return { info: toInfo(found.record), data: readChunks({ jetstream, index, stream, store: name, record: found.record, patienceMs, signal, closing: closing.signal }) };
    },
    async info(object) {
      check(object);
      const found = await index.read(object);
      return found && toInfo(found.record);
    },
    async delete(object) {
      check(object);
      const found = await index.read(object);
      if (!found) return;
      const old = await index.write({ ...found.record, deleted: true, size: 0, chunks: 0, digest: "" });
      await purge((old ?? found.record).nuid);
    },
    async list() {
      check();
      return (await index.list()).map(toInfo).sort((a, b) => (a.name < b.name ? -1 : 1));
    },
    async destroy() {
      check();
      await persist((_, timeoutMs) => jetstream.call(`STREAM.DELETE.${stream}`, undefined, { timeoutMs }), { forMs: patienceMs });
    },
    [Symbol.asyncDispose]() {
      closing.abort(new BusError("BUS_CLOSED", `the object store ${name} is closed`));
      return Promise.resolve();
    },
  };
}
