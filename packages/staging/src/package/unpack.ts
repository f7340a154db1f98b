import { constants } from "node:fs";
import { chmod, mkdir, open, readdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import { StagingError, toStagingError } from "../errors.ts";
import { type PackageLimits, resolveLimits } from "./limits.ts";
import type { EntryKind, TreeEntry } from "./tree.ts";
import { openZip, type ZipEntry } from "./zip.ts";

export interface UnpackOptions extends PackageLimits {
  signal?: AbortSignal;
}

export interface InspectOptions extends UnpackOptions {
  /** Unpack every byte (to nowhere) and compare size and checksum with the directory, instead of believing it. Default true. */
  readContents?: boolean;
}

/** What a package contains. */
export interface PackageSummary {
  readonly files: number;
  readonly directories: number;
  readonly symlinks: number;
  /** Bytes of all files when unpacked. */
  readonly totalBytes: number;
}

export interface ZipSummary extends PackageSummary {
  /** Size of the archive itself. */
  readonly archiveBytes: number;
  readonly entries: readonly { readonly name: string; readonly kind: EntryKind; readonly mode: number; readonly sizeBytes: number }[];
}

/**
 * Judges a zip by all rules of the unpacker without writing anything: for the moment of upload.
 * @throws StagingError `STAGING_PACKAGE_*`, the text says what to do
 */
export async function inspectZip(path: string, { signal, readContents = true, ...limits }: InspectOptions = {}): Promise<ZipSummary> {
  await using zip = await openZip(path, resolveLimits(limits), signal);
  const entries = [...zip.tree.entries.values()];
  if (readContents)
    for (const entry of entries) {
      signal?.throwIfAborted();
      if (entry.kind === "file") await zip.read(entry, () => {});
    }
  return {
    ...summarize(entries),
    archiveBytes: zip.archiveBytes,
    entries: entries.map(({ name, kind, mode, sizeBytes }) => ({ name, kind, mode, sizeBytes })),
  };
}

/**
 * Unpacks a zip into a folder that is empty or does not exist yet. Every rule is checked before the first byte is written;
 * links are made last, so nothing is ever written through one. A failure can leave files behind: remove the folder.
 * @throws StagingError `STAGING_PACKAGE_*`, `STAGING_OPTIONS_INVALID` (the folder is in use), `STAGING_DISK_FULL`
 */
export async function unpackZip(path: string, folder: string, { signal, ...limits }: UnpackOptions = {}): Promise<PackageSummary> {
  try {
    await using zip = await openZip(path, resolveLimits(limits), signal);
    const entries = [...zip.tree.entries.values()];
    await prepareFolder(folder);
    for (const name of zip.tree.implied()) await makeFolder(join(folder, name), 0o755);
    const directories = entries.filter(({ kind }) => kind === "directory");
    for (const { name } of directories) await makeFolder(join(folder, name), 0o755);
    await inParallel(8, entries.filter(({ kind }) => kind === "file"), async (entry) => {
      signal?.throwIfAborted();
      await writeEntry(entry);
    });
    for (const { name, target = "" } of entries.filter(({ kind }) => kind === "symlink")) await symlink(target, join(folder, name));
    for (const { name, mode } of directories) await chmod(join(folder, name), mode);
    return summarize(entries);

    async function writeEntry(entry: ZipEntry): Promise<void> {
      await using file = disposableFile(await open(join(folder, entry.name), constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, entry.mode));
      await zip.read(entry, (chunk) => file.handle.writeFile(chunk));
      await file.handle.chmod(entry.mode);
    }
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    throw toStagingError(error, "STAGING_INTERNAL", "the package could not be unpacked", "package");
  }
}

const disposableFile = (handle: Awaited<ReturnType<typeof open>>): AsyncDisposable & { handle: typeof handle } =>
  ({ handle, [Symbol.asyncDispose]: () => handle.close() });

/** Makes sure that a folder is there and empty: in a folder with old content an old link could lead a new file astray. */
export async function prepareFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  if ((await readdir(folder)).length > 0) throw new StagingError("STAGING_OPTIONS_INVALID", `${folder} is not empty; unpack into a new folder`);
}

/** Like `mkdir -p` below a folder that is known to hold no links; the process's umask does not count. */
export async function makeFolder(path: string, mode: number): Promise<void> {
  const made = await mkdir(path, { recursive: true });
  if (made !== undefined) await chmod(path, mode);
}

export const summarize = (entries: readonly TreeEntry[]): PackageSummary => ({
  files: entries.filter(({ kind }) => kind === "file").length,
  directories: entries.filter(({ kind }) => kind === "directory").length,
  symlinks: entries.filter(({ kind }) => kind === "symlink").length,
  totalBytes: entries.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
});

/** A few at a time; the first failure stops the rest. */
export async function inParallel<T>(width: number, items: readonly T[], run: (item: T) => Promise<void>): Promise<void> {
  let next = 0;
  let failed = false;
  const lane = async (): Promise<void> => {
    while (!failed && next < items.length)
      try {
        await run(items[next++] as T);
      } catch (error) {
        failed = true;
        throw error;
      }
  };
  const results = await Promise.allSettled(Array.from({ length: Math.min(width, items.length) }, lane));
  for (const result of results) if (result.status === "rejected") throw result.reason;
}
