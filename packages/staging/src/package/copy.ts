import { constants } from "node:fs";
import { chmod, copyFile, lstat, readdir, readlink, readFile, symlink } from "node:fs/promises";
import { join, resolve } from "node:path";
import { StagingError, toStagingError } from "../errors.ts";
import { resolveLimits } from "./limits.ts";
import { quoteName } from "./names.ts";
import { createTree, safeMode, type TreeEntry } from "./tree.ts";
import { inParallel, makeFolder, type PackageSummary, prepareFolder, summarize, type UnpackOptions } from "./unpack.ts";
import { createIgnore } from "./ignore.ts";

/**
 * Copies the folder of an app, under the rules that hold for a zip. What `cf push` would leave out is left out:
 * version control, `manifest.yml`, and the patterns of a `.cfignore` in the root.
 * So is the file `except`: a droplet of before that stands in the folder is no part of the app.
 * @throws StagingError `STAGING_PACKAGE_*`
 */
export async function copyFolder(from: string, to: string, { signal, except, ...limits }: UnpackOptions & { except?: string } = {}): Promise<PackageSummary> {
  const tree = createTree<TreeEntry>(resolveLimits(limits));
  const ignored = createIgnore(await readFile(join(from, ".cfignore"), "utf8").catch(() => ""));
  const walk = async (folder: string): Promise<void> => {
    for (const item of await readdir(join(from, folder), { withFileTypes: true })) {
      signal?.throwIfAborted();
      const name = folder === "" ? item.name : `${folder}/${item.name}`;
      const status = await lstat(join(from, name));
      // An ignored folder is still walked: a later pattern with ! may bring a file below it back.
      const skip = ignored(name, status.isDirectory()) || (except !== undefined && resolve(from, name) === resolve(except));
      if (status.isDirectory()) {
        if (!skip) tree.add({ name, kind: "directory", mode: safeMode(status.mode, "directory"), sizeBytes: 0 });
        if (!skip || ignored.mayReturn) await walk(name);
      } else if (skip) continue;
      else if (status.isSymbolicLink()) tree.add({ name, kind: "symlink", mode: 0o777, sizeBytes: 0, target: await readlink(join(from, name)) });
      else if (status.isFile()) tree.add({ name, kind: "file", mode: safeMode(status.mode, "file"), sizeBytes: status.size });
      else throw new StagingError("STAGING_PACKAGE_SPECIAL_FILE", `${quoteName(name)} is a device, pipe or socket; leave it out of the package`, { phase: "package" });
    }
  };
  try {
    await walk("");
    tree.check();
    await prepareFolder(to);
    const entries = [...tree.entries.values()];
    for (const name of tree.implied()) await makeFolder(join(to, name), 0o755);
    for (const { name, kind } of entries) if (kind === "directory") await makeFolder(join(to, name), 0o755);
    await inParallel(8, entries, async ({ name, kind, mode }) => {
      signal?.throwIfAborted();
      if (kind !== "file") return;
      await copyFile(join(from, name), join(to, name), constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
      await chmod(join(to, name), mode);
    });
    for (const { name, kind, target = "" } of entries) if (kind === "symlink") await symlink(target, join(to, name));
    for (const { name, kind, mode } of entries) if (kind === "directory") await chmod(join(to, name), mode);
    return summarize(entries);
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    throw toStagingError(error, "STAGING_INTERNAL", "the folder of the app could not be copied", "package");
  }
}
