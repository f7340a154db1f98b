import { mkdir, open, readdir, rename, rm } from "node:fs/promises";
import type { Readable } from "node:stream";
import { join } from "node:path";
import { asBlobError } from "./errors.ts";
import { ingest, syncFolder, type BlobSource, type Ingested, type IngestOptions } from "./ingest.ts";
import { createLocks } from "./locks.ts";

/** One piece of content, whoever points to it. */
export interface Content {
  sha1: string;
  sha256: string;
  sizeBytes: number;
}

/**
 * Content by its SHA-256, each kept once, with the number of names that point to it.
 * The counts live in memory only: they follow from the names, so a crash cannot make them wrong.
 */
export interface ContentFolder {
  /** Stores a source and holds one reference to it; the caller lets go with `release`. */
  add(source: BlobSource, options: IngestOptions, check?: (content: Content) => void): Promise<Content>;
  /** One more name points to it. */
  retain(sha256: string): void;
  /** One name less; the last one takes the content with it. */
  release(sha256: string): Promise<void>;
  /** A stream of it. Content that is deleted meanwhile stays readable for who has it open. */
  read(sha256: string): Promise<Readable>;
  has(sha256: string): boolean;
  /** Deletes what no name points to. Only before the first `add`: afterwards the counts take care. */
  sweep(): Promise<number>;
}

export async function openContentFolder(dataDir: string): Promise<ContentFolder> {
  const data = join(dataDir, "data");
  const temporary = join(dataDir, "tmp");
  const references = new Map<string, number>();
  const locks = createLocks();

  // What a killed process was writing: nothing points to it, and nobody will finish it.
  await rm(temporary, { recursive: true, force: true });
  await mkdir(temporary, { recursive: true });
  await mkdir(data, { recursive: true });
  for (const shard of await readdir(data))
    for (const name of await readdir(join(data, shard))) if (/^[0-9a-f]{64}$/.test(name)) references.set(name, 0);

  const pathOf = (sha256: string) => join(data, sha256.slice(0, 2), sha256);

  async function place({ path, sha256 }: Ingested, durable: boolean): Promise<void> {
    const count = references.get(sha256);
    if (count !== undefined) {
      await rm(path, { force: true });
    } else {
      await mkdir(join(data, sha256.slice(0, 2)), { recursive: true });
      await rename(path, pathOf(sha256));
      if (durable) await syncFolder(join(data, sha256.slice(0, 2)));
    }
    references.set(sha256, (count ?? 0) + 1);
  }

  return {
    async add(source, options, check) {
      const written = await ingest(temporary, source, options);
      try {
        const { sha1, sha256, sizeBytes } = written;
        check?.({ sha1, sha256, sizeBytes });
        await locks.run(sha256, () => place(written, options.durable ?? true));
        return { sha1, sha256, sizeBytes };
      } catch (error) {
        await rm(written.path, { force: true }).catch(() => {});
        throw asBlobError(error);
      }
    },
    retain(sha256) {
      references.set(sha256, (references.get(sha256) ?? 0) + 1);
    },
    release: (sha256) =>
      locks.run(sha256, async () => {
        const left = (references.get(sha256) ?? 1) - 1;
        if (left > 0) return void references.set(sha256, left);
        references.delete(sha256);
        await rm(pathOf(sha256), { force: true });
      }),
    async read(sha256) {
      try {
        const file = await open(pathOf(sha256), "r");
        return file.createReadStream({ highWaterMark: 256 * 1024 });
      } catch (error) {
        throw asBlobError(error);
      }
    },
    has: (sha256) => references.has(sha256),
    async sweep() {
      const orphans = [...references].filter(([, count]) => count === 0).map(([sha256]) => sha256);
      for (const sha256 of orphans) {
        references.delete(sha256);
        await rm(pathOf(sha256), { force: true });
      }
      return orphans.length;
    },
  };
}
