import { createHash } from "node:crypto";
import { BusError } from "../errors.ts";
import { orAborted } from "../jetstream/wait.ts";

/** Bytes in a chunk where nothing else is asked for (ADR-20). */
export const defaultChunkBytes = 131_072;

/** @throws BusError `BUS_INVALID_KEY` */
export function assertObjectName(name: string): void {
  // Encoded it is one part of a subject, and a subject must fit in the server's control line of 4096 bytes.
  if (typeof name !== "string" || name === "" || Buffer.byteLength(name) > 1_024 || /\p{Cc}/u.test(name))
    throw new BusError("BUS_INVALID_KEY", `${JSON.stringify(String(name).slice(0, 80))} is no name of an object: 1 to 1024 bytes without control characters are needed`);
}

/** @throws RangeError */
export function assertChunkBytes(chunkBytes: number): void {
  if (!Number.isInteger(chunkBytes) || chunkBytes < 1) throw new RangeError(`chunkBytes must be a whole number from 1 on, not ${chunkBytes}`);
}

/** Cuts what comes into chunks of a fixed size, the last one shorter. Holds one chunk; asks the source only when the last chunk was taken. */
export async function* chunked(source: AsyncIterable<Uint8Array> | Uint8Array, chunkBytes: number, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  const iterator = source instanceof Uint8Array ? whole(source) : source[Symbol.asyncIterator]();
  let ended = false;
  try {
    let chunk = new Uint8Array(chunkBytes);
    let filled = 0;
    for (;;) {
      const next = await orAborted(Promise.resolve(iterator.next()), signal);
      if (next.done) break;
      if (!(next.value instanceof Uint8Array)) throw new BusError("BUS_INVALID_PAYLOAD", "an object is put together from bytes (Uint8Array)");
      for (let at = 0; at < next.value.length; ) {
        const part = next.value.subarray(at, at + chunkBytes - filled);
        chunk.set(part, filled);
        at += part.length;
        filled += part.length;
        if (filled < chunkBytes) continue;
        yield chunk;
        signal?.throwIfAborted();
        chunk = new Uint8Array(chunkBytes);
        filled = 0;
      }
    }
    ended = true;
    if (filled > 0) yield chunk.slice(0, filled);
  } finally {
    // A source that hangs may never answer: it is told, not waited for.
    if (!ended) void Promise.resolve(iterator.return?.()).catch(() => undefined);
  }
}

async function* whole(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(bytes);
}

/** SHA-256 as NATS writes it: base64url with padding. */
export function createDigest(): { update(bytes: Uint8Array): void; read(): string } {
  const hash = createHash("sha256");
  return { update: (bytes) => void hash.update(bytes), read: () => `SHA-256=${hash.digest("base64").replaceAll("+", "-").replaceAll("/", "_")}` };
}

export const mismatch = (name: string, what: string): BusError => new BusError("BUS_DIGEST_MISMATCH", `object ${JSON.stringify(name)} is damaged: ${what}`);
