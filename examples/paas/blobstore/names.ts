import { randomUUID } from "node:crypto";
import { mkdir, open, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Content } from "./content.ts";
import { syncFolder } from "./ingest.ts";
import { fileNameOf } from "./key.ts";

/** A key and the content it stands for. */
export interface BlobInfo extends Content {
  key: string;
}

/** The names: one small JSON file per key, all of them in memory. */
export interface Names {
  get(key: string): BlobInfo | undefined;
  all(): IterableIterator<BlobInfo>;
  /** Writes the name so that after a crash either the old or the new one is there. */
  set(info: BlobInfo): Promise<void>;
  delete(key: string): Promise<void>;
}

export async function openNames(dataDir: string, durable: boolean, warn: (file: string) => void): Promise<Names> {
  const folder = join(dataDir, "keys");
  const temporary = join(dataDir, "tmp");
  await mkdir(folder, { recursive: true });
  const names = new Map<string, BlobInfo>();
  const files = await readdir(folder);
  for (let start = 0; start < files.length; start += 64) {
    await Promise.all(
      files.slice(start, start + 64).map(async (file) => {
        const info = parse(await readFile(join(folder, file), "utf8"));
        if (info && fileNameOf(info.key) === file) names.set(info.key, info);
        else warn(file);
      }),
    );
  }

  return {
    get: (key) => names.get(key),
    all: () => names.values(),
    async set(info) {
      const path = join(temporary, randomUUID());
      try {
        const file = await open(path, "wx", 0o600);
        try {
          await file.writeFile(JSON.stringify(info));
          if (durable) await file.sync();
        } finally {
          await file.close();
        }
        await rename(path, join(folder, fileNameOf(info.key)));
        if (durable) await syncFolder(folder);
      } catch (error) {
        await rm(path, { force: true }).catch(() => {});
        throw error;
      }
      names.set(info.key, info);
    },
    async delete(key) {
      await rm(join(folder, fileNameOf(key)), { force: true });
      names.delete(key);
      if (durable) await syncFolder(folder);
    },
  };
}

function parse(text: string): BlobInfo | undefined {
  try {
    const { key, sha1, sha256, sizeBytes } = JSON.parse(text) as BlobInfo;
    if (typeof key !== "string" || !/^[0-9a-f]{64}$/.test(sha256) || !Number.isSafeInteger(sizeBytes)) return undefined;
    return { key, sha1, sha256, sizeBytes };
  } catch {
    return undefined;
  }
}
