import { promisify } from "node:util";
import type { Readable } from "node:stream";
import * as zlib from "node:zlib";
import * as yauzl from "yauzl";
import { StagingError, type StagingErrorCode } from "../errors.ts";
import { ratioFloorBytes, type ResolvedLimits } from "./limits.ts";
import { quoteName, safeName } from "./names.ts";
import { createTree, type EntryKind, type PackageTree, safeMode, type TreeEntry } from "./tree.ts";

/** A file, folder or link of a zip, after all rules that need no look at its bytes. */
export interface ZipEntry extends TreeEntry {
  readonly compressedBytes: number;
  readonly raw: yauzl.Entry;
}

/** A zip with its directory read and judged. Close it. */
export interface OpenZip extends AsyncDisposable {
  readonly tree: PackageTree<ZipEntry>;
  /** Size of the archive itself. */
  readonly archiveBytes: number;
  /** Feeds the unpacked bytes of a file to `sink`. @throws StagingError `STAGING_PACKAGE_CORRUPT` when they differ from what the directory promised */
  read(entry: ZipEntry, sink: (chunk: Buffer) => void | Promise<void>): Promise<void>;
}

const fail = (code: StagingErrorCode, message: string, cause?: unknown): StagingError => new StagingError(code, message, { phase: "package", cause });

/** Reads the directory of a zip and applies every rule, so that nothing needs to be written for a bad one. */
export async function openZip(path: string, limits: ResolvedLimits, signal?: AbortSignal): Promise<OpenZip> {
  const file = await open(path);
  const stream = promisify(file.openReadStream.bind(file) as (entry: yauzl.Entry, options: unknown, done: (error: Error | null, stream: Readable) => void) => void);

  const opened: OpenZip = {
    tree: createTree<ZipEntry>(limits),
    archiveBytes: file.fileSize,
    async read(entry, sink) {
      let bytes = 0;
      let crc = 0;
      const take = async (chunk: Buffer): Promise<void> => {
        bytes += chunk.length;
        crc = crc32(chunk, crc);
        await sink(chunk);
      };
      try {
        if (entry.compressedBytes <= 262_144 && entry.sizeBytes <= 4_194_304) await take(await readSmall(entry));
        else for await (const chunk of await stream(entry.raw, {})) await take(chunk as Buffer);
      } catch (error) {
        if (error instanceof StagingError || isSystemError(error)) throw error;
        throw corrupt(entry, error);
      }
      if (bytes !== entry.sizeBytes || crc !== entry.raw.crc32) throw corrupt(entry);
    },
    async [Symbol.asyncDispose]() {
      file.close();
    },
  };

  /** In one gulp: for the thousands of small files of an app a stream each costs more than the inflating. */
  async function readSmall(entry: ZipEntry): Promise<Buffer> {
    const chunks: Buffer[] = [];
    for await (const chunk of await stream(entry.raw, { decodeFileData: false })) chunks.push(chunk as Buffer);
    const packed = Buffer.concat(chunks);
    return entry.raw.compressionMethod === 0 ? packed : zlib.inflateRawSync(packed, { maxOutputLength: Math.max(1, entry.sizeBytes) });
  }

  try {
    // The announced number may be a lie, so the tree counts as well; but an honest flood is refused before the first read.
    if (file.entryCount > limits.maxEntries)
      throw fail("STAGING_PACKAGE_TOO_MANY_ENTRIES", `the package has ${file.entryCount} entries, and ${limits.maxEntries} are allowed; leave out what the app does not need (a .cfignore file helps)`);
    for await (const raw of entriesOf(file)) {
      signal?.throwIfAborted();
      const entry = await judge(raw);
      if (entry) opened.tree.add(entry);
      const { totalBytes } = opened.tree;
      if (totalBytes > ratioFloorBytes && totalBytes > limits.maxRatio * file.fileSize)
        throw fail("STAGING_PACKAGE_RATIO", `the package unpacks to more than ${limits.maxRatio} times its size, as a decompression bomb does; send large uniform files in another way`);
    }
    opened.tree.check();
    return opened;
  } catch (error) {
    await opened[Symbol.asyncDispose]();
    throw error;
  }

  async function judge(raw: yauzl.Entry): Promise<ZipEntry | undefined> {
    const original = (yauzl as unknown as LowLevel).getFileNameLowLevel(raw.generalPurposeBitFlag, raw.fileName as unknown as Buffer, raw.extraFields, true);
    const name = safeName(original);
    if (name === "") return undefined;
    if (raw.isEncrypted()) throw fail("STAGING_PACKAGE_ENCRYPTED", `${quoteName(original)} is encrypted; make the archive without a password`);
    if (raw.compressionMethod !== 0 && raw.compressionMethod !== 8)
      throw fail("STAGING_PACKAGE_METHOD", `${quoteName(original)} is packed with method ${raw.compressionMethod}; make the archive with deflate, which every zip tool offers`);
    const unix = [3, 19].includes(raw.versionMadeBy >>> 8) ? (raw.externalFileAttributes >>> 16) & 0xffff : 0;
    const kind = kindOf(unix, original);
    if (!kind) throw fail("STAGING_PACKAGE_SPECIAL_FILE", `${quoteName(original)} is a device, pipe or socket; leave it out of the package`);
    const mode = safeMode(unix === 0 ? (kind === "directory" ? 0o755 : 0o644) : unix, kind);
    const entry: ZipEntry = { name, kind, mode, sizeBytes: kind === "directory" ? 0 : raw.uncompressedSize, compressedBytes: raw.compressedSize, raw };
    if (kind !== "symlink") return entry;
    if (raw.uncompressedSize > 4_096) throw fail("STAGING_PACKAGE_SYMLINK_OUTSIDE", `the target of the symbolic link ${quoteName(original)} is longer than 4096 bytes; send a copy of the file instead`);
    const chunks: Buffer[] = [];
    await opened.read(entry, (chunk) => void chunks.push(chunk));
    return { ...entry, sizeBytes: 0, target: Buffer.concat(chunks).toString() };
  }
}

interface LowLevel {
  getFileNameLowLevel(flag: number, name: Buffer, extra: unknown, strict: boolean): string;
}

const isSystemError = (error: unknown): boolean => typeof (error as NodeJS.ErrnoException).syscall === "string";

const crc32 = (chunk: Buffer, from: number): number => zlib.crc32(chunk, from);

const corrupt = (entry: ZipEntry, cause?: unknown): StagingError =>
  fail("STAGING_PACKAGE_CORRUPT", `${quoteName(entry.name)} does not unpack to what the archive promises (${cause instanceof Error ? cause.message : "size or checksum differ"}); make the archive again and send it again`, cause);

/** The file type bits of a Unix mode; none means that the name decides. */
function kindOf(unix: number, name: string): EntryKind | undefined {
  if (name.endsWith("/")) return "directory";
  switch (unix & 0o170000) {
    case 0:
    case 0o100000:
      return "file";
    case 0o040000:
      return "directory";
    case 0o120000:
      return "symlink";
    default:
      return undefined;
  }
}

async function open(path: string): Promise<yauzl.ZipFile> {
  try {
    return await new Promise((done, stop) =>
      yauzl.open(path, { lazyEntries: true, decodeStrings: false, autoClose: false, validateEntrySizes: true }, (error, file) => (error ? stop(error) : done(file))));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") throw fail("STAGING_PACKAGE_NOT_FOUND", `there is no package at ${path}`, error);
    if (isSystemError(error)) throw error;
    throw fail("STAGING_PACKAGE_CORRUPT", `this is no zip archive (${(error as Error).message}); make the archive again and send it again`, error);
  }
}

async function* entriesOf(file: yauzl.ZipFile): AsyncGenerator<yauzl.Entry> {
  let settle: { done: (entry: yauzl.Entry | undefined) => void; stop: (error: Error) => void } | undefined;
  file.on("entry", (entry: yauzl.Entry) => settle?.done(entry));
  file.on("end", () => settle?.done(undefined));
  file.on("error", (error: Error) => settle?.stop(error));
  for (;;) {
    let entry: yauzl.Entry | undefined;
    try {
      entry = await new Promise<yauzl.Entry | undefined>((done, stop) => {
        settle = { done, stop };
        file.readEntry();
      });
    } catch (error) {
      throw fail("STAGING_PACKAGE_CORRUPT", `the directory of the zip is damaged (${(error as Error).message}); make the archive again and send it again`, error);
    }
    if (!entry) return;
    yield entry;
  }
}
