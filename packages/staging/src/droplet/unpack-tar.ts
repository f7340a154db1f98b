import { constants, createReadStream } from "node:fs";
import { chmod, mkdir, open, symlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { createGunzip } from "node:zlib";
import { pipeline } from "node:stream/promises";
import { extract } from "tar-stream";
import { StagingError } from "../errors.ts";
import { type PackageLimits, resolveLimits } from "../package/limits.ts";
import { safeName } from "../package/names.ts";
import { createTree, type EntryKind, safeMode, type TreeEntry } from "../package/tree.ts";
import { makeFolder, prepareFolder } from "../package/unpack.ts";

const kinds: Readonly<Record<string, EntryKind | undefined>> = { file: "file", "contiguous-file": "file", directory: "directory", symlink: "symlink" };

/**
 * Unpacks a gzipped tar into an empty folder under the rules that hold for a zip. Links are made last, other kinds of entries left out.
 * @throws StagingError `STAGING_PACKAGE_*`
 */
export async function unpackTar(archive: string, folder: string, { signal, ...limits }: PackageLimits & { signal: AbortSignal }): Promise<void> {
  const tree = createTree<TreeEntry>(resolveLimits(limits));
  await prepareFolder(folder);
  const reader = extract();
  const read = pipeline(createReadStream(archive), createGunzip(), reader as unknown as NodeJS.WritableStream, { signal });
  const unpacked = (async () => {
    for await (const entry of reader) {
      const { name: original, type = "file", mode = 0o644, size = 0, linkname } = entry.header;
      const name = safeName(original);
      const kind = kinds[type ?? "file"];
      if (name === "" || !kind) {
        entry.resume();
        continue;
      }
      // Bytes come with their entry, so each is judged before it is written; a name that comes twice has no meaning in a tar of ours.
      if (tree.entries.has(name)) throw new StagingError("STAGING_PACKAGE_NAME_CONFLICT", `the archive has ${JSON.stringify(name)} twice`, { phase: "package" });
      tree.add({ name, kind, mode: safeMode(mode, kind), sizeBytes: kind === "file" ? size : 0, target: linkname ?? "" });
      const path = join(folder, name);
      if (kind === "directory") await makeFolder(path, 0o755);
      if (kind !== "file") {
        entry.resume();
        continue;
      }
      await mkdir(dirname(path), { recursive: true });
      const file = await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
      try {
        for await (const chunk of entry) await file.writeFile(chunk as Buffer);
        await file.chmod(safeMode(mode, kind));
      } finally {
        await file.close();
      }
    }
  })();
  try {
    await Promise.all([read, unpacked]);
  } catch (error) {
    reader.destroy();
    const results = await Promise.allSettled([unpacked, read]);
    const own = results.find((result) => result.status === "rejected" && result.reason instanceof StagingError);
    throw own?.status === "rejected" ? own.reason : error;
  }
  tree.check();
  for (const { name, kind, target = "" } of tree.entries.values()) if (kind === "symlink") await symlink(target, join(folder, name));
  for (const { name, kind, mode } of tree.entries.values()) if (kind === "directory") await chmod(join(folder, name), mode);
}
