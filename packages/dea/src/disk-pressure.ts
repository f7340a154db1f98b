import { statfs } from "node:fs/promises";

/** Used part of a file system, 0 to 1, by bytes or by inodes, whichever is more. As `df` counts: what is reserved for root is no room. */
export async function diskRatio(path: string): Promise<number> {
  const { blocks, bfree, bavail, files, ffree } = await statfs(path);
  const used = blocks - bfree;
  const bytes = used + bavail > 0 ? used / (used + bavail) : 0;
  // Some file systems count no inodes.
  const inodes = files > 0 ? (files - ffree) / files : 0;
  return Math.max(bytes, inodes);
}
