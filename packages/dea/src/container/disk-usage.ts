import { lstat, opendir } from "node:fs/promises";
import { join } from "node:path";

export interface DiskUsage {
  bytes: number;
  /** Files and folders counted. */
  entries: number;
  /** False when the count stopped at `maxEntries`. */
  complete: boolean;
}

/**
 * Space a folder takes on disk, as `du` counts it: blocks, hard links once, symlinks never followed.
 * Stops at `maxEntries` (default 200 000) so that a folder of a million files cannot occupy the executor.
 */
export async function diskUsage(root: string, { maxEntries = 200_000 }: { maxEntries?: number } = {}): Promise<DiskUsage> {
  const usage: DiskUsage = { bytes: 0, entries: 0, complete: true };
  const linked = new Set<string>();
  const pending = [root];
  for (let dir = pending.pop(); dir !== undefined; dir = pending.pop()) {
    // What disappears while we look is not used any more.
    const handle = await opendir(dir).catch(() => undefined);
    if (!handle) continue;
    for await (const entry of handle) {
      if (usage.entries >= maxEntries) return { ...usage, complete: false };
      const path = join(dir, entry.name);
      const stat = await lstat(path).catch(() => undefined);
      if (!stat) continue;
      usage.entries += 1;
      if (stat.isDirectory()) pending.push(path);
      if (!stat.isDirectory() && stat.nlink > 1) {
        const key = `${stat.dev}:${stat.ino}`;
        if (linked.has(key)) continue;
        linked.add(key);
      }
      usage.bytes += stat.blocks * 512;
    }
  }
  return usage;
}
