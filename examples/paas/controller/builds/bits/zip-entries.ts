import { open as openArchive, type Entry, type ZipFile } from "yauzl";
import type { Readable } from "node:stream";
import { foldersAbove, linkStaysInside, plainPath } from "./paths.ts";
import { BitsProblem } from "./problem.ts";

export interface ZipLimits {
  /** Entries in one archive. */
  maxEntries: number;
  /** Uncompressed bytes in all. */
  maxBytes: number;
}

export interface ZipFileEntry {
  path: string;
  kind: "file" | "folder" | "link";
  mode: number;
  sizeBytes: number;
  modified: Date;
  /** Only for a link. */
  target?: string;
  open(): Promise<Readable>;
}

const typeMask = 0o170000;
const kinds: Readonly<Record<number, ZipFileEntry["kind"]>> = { 0: "file", 0o100000: "file", 0o040000: "folder", 0o120000: "link" };
const maxTargetBytes = 4096;

/**
 * Reads and judges the directory of an uploaded zip. Nothing is unpacked. Of entries with one name the last one counts.
 * The archive stays open for the entries' `open` until `close`.
 * @throws BitsProblem when it is no zip, too large, or has an entry that is not safe to unpack
 */
export async function readZipEntries(archivePath: string, limits: ZipLimits): Promise<{ entries: ZipFileEntry[]; close(): void }> {
  const zip = await openZip(archivePath);
  try {
    if (zip.entryCount > limits.maxEntries) throw new BitsProblem("AppPackageInvalid", `it has ${zip.entryCount} entries, more than ${limits.maxEntries}`);
    const byPath = new Map<string, ZipFileEntry>();
    let bytes = 0;
    for await (const entry of listed(zip)) {
      const read = await readEntry(zip, entry);
      if (!read) continue;
      bytes += read.sizeBytes;
      if (bytes > limits.maxBytes) throw new BitsProblem("AppPackageInvalid", `its files are larger than ${limits.maxBytes} bytes when unpacked`);
      byPath.delete(keyOf(read.path));
      byPath.set(keyOf(read.path), read);
    }
    const entries = [...byPath.values()];
    refuseUnderLinks(entries, byPath);
    return { entries, close: () => zip.close() };
  } catch (error) {
    zip.close();
    throw error instanceof BitsProblem ? error : new BitsProblem("AppBitsUploadInvalid", "it is not a zip archive that can be read", { cause: error });
  }
}

const keyOf = (path: string): string => path.replace(/\/$/, "");

async function readEntry(zip: ZipFile, entry: Entry): Promise<ZipFileEntry | undefined> {
  const path = plainPath(entry.fileName);
  if (path === undefined) throw new BitsProblem("AppBitsUploadInvalid", `the entry '${entry.fileName.slice(0, 200)}' is not safe to unpack`);
  if (path === "" || path === "/") return undefined;
  if (entry.generalPurposeBitFlag & 1) throw new BitsProblem("AppBitsUploadInvalid", `the entry '${path}' is encrypted`);
  if (entry.compressionMethod !== 0 && entry.compressionMethod !== 8) throw new BitsProblem("AppBitsUploadInvalid", `the entry '${path}' is packed in an unknown way`);
  const unixMode = entry.externalFileAttributes >>> 16;
  const kind = path.endsWith("/") ? "folder" : kinds[unixMode & typeMask];
  if (!kind) throw new BitsProblem("AppBitsUploadInvalid", `the entry '${path}' is neither a file, a folder nor a link`);
  const permissions = unixMode & 0o777;
  const mode = permissions === 0 ? (kind === "folder" ? 0o755 : 0o744) : permissions | (kind === "folder" ? 0o700 : 0o600);
  const open = () => openStream(zip, entry);
  const read: ZipFileEntry = { path: keyOf(path), kind, mode, sizeBytes: kind === "folder" ? 0 : entry.uncompressedSize, modified: entry.getLastModDate(), open };
  if (kind !== "link") return read;
  if (entry.uncompressedSize > maxTargetBytes) throw new BitsProblem("AppBitsUploadInvalid", `the link '${path}' has too long a target`);
  const chunks: Buffer[] = [];
  for await (const chunk of await open()) chunks.push(chunk as Buffer);
  const target = Buffer.concat(chunks).toString("utf8");
  if (!linkStaysInside(path, target)) throw new BitsProblem("AppBitsUploadInvalid", `the link '${path}' points outside the app`);
  return { ...read, target };
}

function refuseUnderLinks(entries: readonly ZipFileEntry[], byPath: ReadonlyMap<string, ZipFileEntry>): void {
  for (const { path } of entries) {
    for (const folder of foldersAbove(path)) {
      const above = byPath.get(folder);
      if (above && above.kind !== "folder") throw new BitsProblem("AppBitsUploadInvalid", `the entry '${path}' lies below '${folder}', which is no folder`);
    }
  }
}

function openZip(archivePath: string): Promise<ZipFile> {
  return new Promise((resolve, reject) =>
    openArchive(archivePath, { lazyEntries: true, autoClose: false, validateEntrySizes: true, decodeStrings: true, strictFileNames: true }, (error, zip) =>
      error ? reject(new BitsProblem("AppBitsUploadInvalid", "it is not a zip archive", { cause: error })) : resolve(zip)));
}

async function* listed(zip: ZipFile): AsyncGenerator<Entry> {
  const next = () => new Promise<Entry | undefined>((resolve, reject) => {
    const done = (settle: () => void) => {
      zip.removeListener("entry", onEntry);
      zip.removeListener("end", onEnd);
      zip.removeListener("error", onError);
      settle();
    };
    const onEntry = (entry: Entry) => done(() => resolve(entry));
    const onEnd = () => done(() => resolve(undefined));
    const onError = (error: Error) => done(() => reject(error));
    zip.once("entry", onEntry).once("end", onEnd).once("error", onError);
    zip.readEntry();
  });
  for (let entry = await next(); entry; entry = await next()) yield entry;
}

function openStream(zip: ZipFile, entry: Entry): Promise<Readable> {
  return new Promise((resolve, reject) => zip.openReadStream(entry, (error, stream) => (error ? reject(error) : resolve(stream))));
}
