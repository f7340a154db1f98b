import { randomUUID } from "node:crypto";
import { cp, mkdir, readdir, rename } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { toStagingError } from "./errors.ts";
import { removeTree } from "./remove-tree.ts";

/**
 * Brings the build cache of earlier builds into the work folder; only the subfolders of the buildpacks at work come along.
 * A cache is a convenience: whatever goes wrong is told to `onWarning` and the build goes on without.
 */
export async function restoreCache(cache: string, work: string, keep: readonly string[], onWarning: (text: string) => void): Promise<void> {
  await mkdir(work, { recursive: true });
  try {
    const names = await readdir(cache).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return [];
      throw error;
    });
    for (const name of names.filter((each) => keep.includes(each)))
      await cp(join(cache, name), join(work, name), { recursive: true, verbatimSymlinks: true });
  } catch (error) {
    onWarning(`the build cache could not be read, going on without it: ${toStagingError(error).message}`);
    await removeTree(work).catch(() => {});
    await mkdir(work, { recursive: true }).catch(() => {});
  }
}

/** Keeps the cache of a successful build. The old one is replaced in one step; a failure keeps the old one and is only told. */
export async function saveCache(work: string, cache: string, onWarning: (text: string) => void): Promise<boolean> {
  const target = resolve(cache);
  const fresh = `${target}.new-${randomUUID()}`;
  const old = `${target}.old-${randomUUID()}`;
  try {
    await mkdir(dirname(target), { recursive: true });
    await rename(work, fresh).catch(async (error: NodeJS.ErrnoException) => {
      if (error.code !== "EXDEV") throw error;
      await cp(work, fresh, { recursive: true, verbatimSymlinks: true });
    });
    await rename(target, old).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") throw error;
    });
    await rename(fresh, target).catch(async (error: unknown) => {
      await rename(old, target).catch(() => {});
      throw error;
    });
    return true;
  } catch (error) {
    onWarning(`the build cache could not be kept: ${toStagingError(error).message}`);
    return false;
  } finally {
    await removeTree(fresh).catch(() => {});
    await removeTree(old).catch(() => {});
  }
}
