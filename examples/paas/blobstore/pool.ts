import { mkdir, open, readdir, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import type { Content, ContentFolder } from "./content.ts";
import { asBlobError, BlobError } from "./errors.ts";
import type { BlobSource } from "./ingest.ts";
import { checkSha1 } from "./key.ts";
import { createLocks } from "./locks.ts";
import type { Clock } from "./ports.ts";

/** Files that were seen in pushed apps, by SHA-1: what is here need not be uploaded again. */
export interface ResourcePool {
  /** Which of these are here. Asking counts as use. */
  has(sha1s: readonly string[]): { sha1: string; sizeBytes: number }[];
  /** @throws BlobError BLOB_DIGEST_MISMATCH when the content has another SHA-1, BLOB_TOO_LARGE */
  put(sha1: string, source: BlobSource, options?: { signal?: AbortSignal | undefined }): Promise<Content>;
  /** @throws BlobError BLOB_NOT_FOUND */
  get(sha1: string): Promise<{ info: Content; stream: Readable }>;
  /** Bytes of all entries together. */
  bytes(): number;
}

export interface PoolOptions {
  /** The least recently used entries leave beyond this. */
  maxPoolBytes: number;
  maxEntryBytes: number;
  durable: boolean;
  clock: Clock;
}

/** How often the time of use is written to disk: the order of leaving need not be exact. */
const touchEveryMs = 3_600_000;

/** Entries are empty files named `<sha1>.<sha256>.<size>`, so that opening the pool reads no file at all. */
export async function openPool(dataDir: string, content: ContentFolder, options: PoolOptions): Promise<ResourcePool> {
  const { maxPoolBytes, maxEntryBytes, durable, clock } = options;
  const folder = join(dataDir, "pool");
  await mkdir(folder, { recursive: true });
  // Least recently used first: a Map keeps the order of insertion.
  const entries = new Map<string, Content & { usedMs: number }>();
  const locks = createLocks();
  let bytes = 0;

  const pathOf = ({ sha1, sha256, sizeBytes }: Content) => join(folder, sha1.slice(0, 2), `${sha1}.${sha256}.${sizeBytes}`);
  for (const entry of await readEntries(folder, content)) {
    entries.set(entry.sha1, entry);
    content.retain(entry.sha256);
    bytes += entry.sizeBytes;
  }

  function use(sha1: string) {
    const entry = entries.get(sha1);
    if (!entry) return undefined;
    entries.delete(sha1);
    entries.set(sha1, entry);
    const now = clock.now();
    if (now - entry.usedMs > touchEveryMs) {
      entry.usedMs = now;
      void utimes(pathOf(entry), now / 1000, now / 1000).catch(() => {});
    }
    return entry;
  }

  async function shrink(): Promise<void> {
    for (const [sha1, entry] of entries) {
      if (bytes <= maxPoolBytes) return;
      entries.delete(sha1);
      bytes -= entry.sizeBytes;
      await rm(pathOf(entry), { force: true });
      await content.release(entry.sha256);
    }
  }

  return {
    has: (sha1s) =>
      sha1s.flatMap((sha1) => {
        const entry = use(sha1);
        return entry ? [{ sha1, sizeBytes: entry.sizeBytes }] : [];
      }),
    async put(sha1, source, { signal } = {}) {
      checkSha1(sha1);
      const maxBytes = Math.min(maxEntryBytes, maxPoolBytes);
      const added = await content.add(source, { maxBytes, signal, durable }, (found) => {
        if (found.sha1 !== sha1) throw new BlobError("BLOB_DIGEST_MISMATCH", "The content does not have the SHA-1 it was announced with");
      });
      return locks.run(sha1, async () => {
        if (use(sha1)) {
          await content.release(added.sha256);
          return added;
        }
        try {
          await mkdir(join(folder, sha1.slice(0, 2)), { recursive: true });
          await (await open(pathOf(added), "w", 0o600)).close();
        } catch (error) {
          await content.release(added.sha256);
          throw asBlobError(error);
        }
        entries.set(sha1, { ...added, usedMs: clock.now() });
        bytes += added.sizeBytes;
        await shrink();
        return added;
      });
    },
    async get(sha1) {
      const entry = use(checkSha1(sha1));
      if (!entry) throw new BlobError("BLOB_NOT_FOUND", "Not in the resource pool");
      const { sha256, sizeBytes } = entry;
      return { info: { sha1, sha256, sizeBytes }, stream: await content.read(sha256) };
    },
    bytes: () => bytes,
  };
}

async function readEntries(folder: string, content: ContentFolder): Promise<(Content & { usedMs: number })[]> {
  const found: (Content & { usedMs: number })[] = [];
  for (const shard of await readdir(folder)) {
    for (const name of await readdir(join(folder, shard))) {
      const path = join(folder, shard, name);
      const [, sha1, sha256, size] = /^([0-9a-f]{40})\.([0-9a-f]{64})\.(\d{1,15})$/.exec(name) ?? [];
      if (sha1 && sha256 && content.has(sha256))
        found.push({ sha1, sha256, sizeBytes: Number(size), usedMs: (await stat(path)).mtimeMs });
      else await rm(path, { force: true, recursive: true });
    }
  }
  return found.sort((a, b) => a.usedMs - b.usedMs);
}
