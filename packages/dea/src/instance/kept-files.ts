import { constants } from "node:fs";
import { type FileHandle, mkdir, open, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { below, openBelow } from "../container/open-below.ts";

export interface KeepLimits {
  maxBytes: number;
  maxFiles: number;
  maxDepth: number;
}

const defaults: KeepLimits = { maxBytes: 16 * 1024 ** 2, maxFiles: 1_000, maxDepth: 8 };
const chunkBytes = 256 * 1024;

/**
 * Copies the plain files of a folder of the app into one of ours, as far as the limits go: of a file that is too large
 * the end, because the end of a log tells why. No link is followed: what is in the folder was made by the app.
 */
async function copyFolder(from: FileHandle, to: string, left: KeepLimits, depth: number): Promise<void> {
  await mkdir(to, { recursive: true, mode: 0o700 });
  for (const { name } of (await readdir(`/proc/self/fd/${from.fd}`, { withFileTypes: true })).sort((a, b) => a.name.localeCompare(b.name))) {
    if (left.maxBytes <= 0 || left.maxFiles <= 0) return;
    const source = await open(below(from, name), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(() => undefined);
    if (!source) continue;
    try {
      const stat = await source.stat();
      left.maxFiles -= 1;
      if (stat.isDirectory()) {
        if (depth < left.maxDepth) await copyFolder(source, join(to, name), left, depth + 1);
        continue;
      }
      if (!stat.isFile()) continue;
      const bytes = Math.min(stat.size, left.maxBytes);
      left.maxBytes -= bytes;
      await copyEnd(source, join(to, name), stat.size - bytes, bytes);
    } finally {
      await source.close();
    }
  }
}

async function copyEnd(source: FileHandle, path: string, start: number, bytes: number): Promise<void> {
  const target = await open(path, "wx", 0o600);
  try {
    const buffer = Buffer.allocUnsafe(Math.max(1, Math.min(bytes, chunkBytes)));
    for (let done = 0; done < bytes; ) {
      const { bytesRead } = await source.read(buffer, 0, Math.min(buffer.length, bytes - done), start + done);
      if (bytesRead === 0) return;
      await target.write(buffer, 0, bytesRead);
      done += bytesRead;
    }
  } finally {
    await target.close();
  }
}

export interface KeptFiles {
  /** Where the files of this crashed instance are, or would be. */
  folderOf(id: string): string;
  /** Copies what shall outlive the instance: its `logs/`. False when it has none. */
  keep(id: string, homeDir: string): Promise<boolean>;
  drop(id: string): Promise<void>;
  /** Whose files are here. */
  list(): Promise<string[]>;
}

/** The files that crashed instances leave for a look: `<dir>/<id>/logs` (dea_ng `crashes/`). */
export function openKeptFiles(dir: string, limits: Partial<KeepLimits> = {}): KeptFiles {
  const folderOf = (id: string): string => join(dir, id);
  return {
    folderOf,
    async keep(id, homeDir) {
      const logs = await openBelow(homeDir, "logs").catch(() => undefined);
      if (!logs) return false;
      try {
        await copyFolder(logs, join(folderOf(id), "logs"), { ...defaults, ...limits }, 0);
        return true;
      } finally {
        await logs.close();
      }
    },
    drop: (id) => rm(folderOf(id), { recursive: true, force: true, maxRetries: 3 }),
    list: () => readdir(dir).catch(() => []),
  };
}
