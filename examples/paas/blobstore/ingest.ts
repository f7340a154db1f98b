import { randomUUID } from "node:crypto";
import { open, rm, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { createDigests, type ExpectedDigest } from "./digest.ts";
import { asBlobError, BlobError } from "./errors.ts";

/** What can be stored: bytes, a Node stream, a web stream, or anything that yields chunks. */
export type BlobSource = Uint8Array | Readable | ReadableStream<Uint8Array> | AsyncIterable<Uint8Array>;

export interface IngestOptions {
  /** More than this is refused with BLOB_TOO_LARGE as soon as it is seen. */
  maxBytes: number;
  expected?: readonly ExpectedDigest[] | undefined;
  signal?: AbortSignal | undefined;
  /** Waits until the disk has it. Default true. */
  durable?: boolean | undefined;
}

export interface Ingested {
  path: string;
  sha1: string;
  sha256: string;
  sizeBytes: number;
}

/**
 * Writes a source into a new file of `folder` and computes its digests on the way.
 * Whatever goes wrong, the file is gone again afterwards.
 * The source is not destroyed by a failure: the HTTP server still wants to answer on the same connection.
 * @throws BlobError BLOB_TOO_LARGE, BLOB_STORE_FULL, BLOB_DIGEST_MISMATCH, BLOB_UNAVAILABLE; the signal's reason when aborted
 */
export async function ingest(folder: string, source: BlobSource, options: IngestOptions): Promise<Ingested> {
  const { maxBytes, expected, signal, durable = true } = options;
  signal?.throwIfAborted();
  const path = join(folder, randomUUID());
  let file: FileHandle | undefined;
  try {
    file = await open(path, "wx", 0o600);
    const digests = createDigests(expected);
    let sizeBytes = 0;
    for await (const chunk of chunksOf(source, signal)) {
      sizeBytes += chunk.length;
      if (sizeBytes > maxBytes)
        throw new BlobError("BLOB_TOO_LARGE", `More than the ${maxBytes} bytes that are allowed here`);
      digests.update(chunk);
      await writeAll(file, chunk);
    }
    if (durable) await file.sync();
    await file.close();
    return { path, sizeBytes, ...digests.finish() };
  } catch (error) {
    await file?.close().catch(() => {});
    await rm(path, { force: true }).catch(() => {});
    if (signal?.aborted) throw signal.reason;
    throw asBlobError(error);
  }
}

async function* chunksOf(source: BlobSource, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  if (source instanceof Uint8Array) return yield source;
  const readable = source instanceof Readable ? source : Readable.from(source as AsyncIterable<Uint8Array>);
  const abort = () => readable.destroy(signal?.reason as Error);
  signal?.addEventListener("abort", abort, { once: true });
  try {
    for await (const chunk of readable.iterator({ destroyOnReturn: readable !== source }))
      yield typeof chunk === "string" ? Buffer.from(chunk) : (chunk as Uint8Array);
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}

/** A single write may take less than it was given, most of all on a disk that is about to be full. */
async function writeAll(file: FileHandle, chunk: Uint8Array): Promise<void> {
  for (let offset = 0; offset < chunk.length; ) {
    const { bytesWritten } = await file.write(chunk, offset, chunk.length - offset);
    offset += bytesWritten;
  }
}

/** Makes a rename or a new name survive a power cut. File systems that cannot do it are left alone. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } catch (error) {
    if (!["EINVAL", "EPERM", "EISDIR", "ENOTSUP"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
  } finally {
    await folder.close();
  }
}
