import { mkdir } from "node:fs/promises";
import type { Readable } from "node:stream";
import { openContentFolder } from "./content.ts";
import type { ExpectedDigest } from "./digest.ts";
import { asBlobError, BlobError } from "./errors.ts";
import type { BlobSource } from "./ingest.ts";
import { checkKey } from "./key.ts";
import { createLocks } from "./locks.ts";
import { openNames, type BlobInfo } from "./names.ts";
import { openPool, type ResourcePool } from "./pool.ts";
import { silentLogger, systemClock, type Clock, type Logger } from "./ports.ts";

export interface FolderBlobstoreOptions {
  /** The largest blob. Default 4 GiB. */
  maxBlobBytes?: number;
  /** All resources of the pool together; the least recently used leave beyond it. Default 2 GiB. */
  maxPoolBytes?: number;
  /** The largest resource that the pool takes. Default 512 MiB. */
  maxPoolEntryBytes?: number;
  /** Waits for the disk at each write, so that a power cut loses nothing that was answered. Default true. */
  durable?: boolean;
  logger?: Logger;
  clock?: Clock;
}

export interface PutOptions {
  /** Smaller limit for this blob. Default: that of the store. */
  maxBytes?: number | undefined;
  expected?: readonly ExpectedDigest[] | undefined;
  signal?: AbortSignal | undefined;
}

/** Blobs by key; equal content is stored once. Everything throws `BlobError`. */
export interface Blobstore {
  readonly maxBlobBytes: number;
  /** Stores a blob and replaces the one that had the key. Visible only when it is complete. */
  put(key: string, source: BlobSource, options?: PutOptions): Promise<BlobInfo>;
  /** @throws BlobError BLOB_NOT_FOUND */
  get(key: string): Promise<{ info: BlobInfo; stream: Readable }>;
  head(key: string): BlobInfo | undefined;
  /** Gives the same content a second key; costs no space. @throws BlobError BLOB_NOT_FOUND */
  copy(from: string, to: string): Promise<BlobInfo>;
  /** Whether it was there. */
  delete(key: string): Promise<boolean>;
  /** Deletes all keys below a prefix that ends in `/`, and says how many they were. */
  deleteAll(prefix: string): Promise<number>;
  /** Keys that start with `prefix`, sorted. */
  list(prefix: string): string[];
  readonly pool: ResourcePool;
}

/**
 * Opens (or creates) a blobstore in a folder. One process at a time may have it open.
 * Safe against being killed at any moment: content is written aside and renamed, names point to content that
 * is already there, and what no name points to is removed here.
 */
export async function openFolderBlobstore(dataDir: string, options: FolderBlobstoreOptions = {}): Promise<Blobstore> {
  const {
    maxBlobBytes = 4 * 1024 ** 3,
    maxPoolBytes = 2 * 1024 ** 3,
    maxPoolEntryBytes = 512 * 1024 ** 2,
    durable = true,
    logger = silentLogger,
    clock = systemClock,
  } = options;
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const content = await openContentFolder(dataDir);
  const names = await openNames(dataDir, durable, (file) => logger.warn("blobs.name-unreadable", { file }));
  for (const { key, sha256 } of [...names.all()]) {
    if (content.has(sha256)) {
      content.retain(sha256);
      continue;
    }
    logger.warn("blobs.content-missing", { key });
    await names.delete(key);
  }
  const pool = await openPool(dataDir, content, { maxPoolBytes, maxEntryBytes: maxPoolEntryBytes, durable, clock });
  const swept = await content.sweep();
  if (swept > 0) logger.info("blobs.swept", { count: swept });
  const locks = createLocks();

  /** Points `info.key` to content of which the caller holds one reference; it is let go if that fails. */
  const name = (info: BlobInfo): Promise<BlobInfo> =>
    locks.run(info.key, async () => {
      const before = names.get(info.key);
      try {
        await names.set(info);
      } catch (error) {
        await content.release(info.sha256);
        throw asBlobError(error);
      }
      if (before) await content.release(before.sha256);
      return info;
    });

  const remove = (key: string): Promise<boolean> =>
    locks.run(key, async () => {
      const before = names.get(key);
      if (!before) return false;
      await names.delete(key);
      await content.release(before.sha256);
      return true;
    });

  const list = (prefix: string) => [...names.all()].map(({ key }) => key).filter((key) => key.startsWith(prefix)).sort();

  return {
    maxBlobBytes,
    pool,
    list,
    async put(key, source, { maxBytes = maxBlobBytes, expected, signal } = {}) {
      checkKey(key);
      const added = await content.add(source, { maxBytes: Math.min(maxBytes, maxBlobBytes), expected, signal, durable });
      return name({ key, ...added });
    },
    async get(key) {
      checkKey(key);
      for (;;) {
        const info = names.get(key);
        if (!info) throw new BlobError("BLOB_NOT_FOUND", "No such blob");
        try {
          return { info, stream: await content.read(info.sha256) };
        } catch (error) {
          // Replaced between the look-up and the opening: what the key means now is as good.
          if (names.get(key) === info) throw error;
        }
      }
    },
    head: (key) => names.get(checkKey(key)),
    async copy(from, to) {
      const info = names.get(checkKey(from));
      checkKey(to);
      if (!info) throw new BlobError("BLOB_NOT_FOUND", "No such blob");
      content.retain(info.sha256);
      return name({ ...info, key: to });
    },
    delete: (key) => remove(checkKey(key)),
    async deleteAll(prefix) {
      if (!prefix.endsWith("/")) throw new BlobError("BLOB_KEY_INVALID", "A prefix ends in a slash");
      checkKey(prefix.slice(0, -1));
      let count = 0;
      for (const key of list(prefix)) if (await remove(key)) count += 1;
      return count;
    },
  };
}
