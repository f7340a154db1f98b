import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { PassThrough, Transform, type Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { ZipFile } from "yazl";
import { foldersAbove } from "./paths.ts";
import { BitsProblem } from "./problem.ts";
import { defaultPoolRule, type PoolRule, type Resource } from "./resources.ts";
import { readZipEntries, type ZipFileEntry, type ZipLimits } from "./zip-entries.ts";

/** The shared pool of contents, by SHA-1. */
export interface Pool {
  get(sha1: string): Promise<Readable | undefined>;
  put(sha1: string, content: Readable): Promise<unknown>;
}

export interface AssembleOptions {
  /** The uploaded zip; absent when every file was matched. */
  uploadPath?: string;
  resources: readonly Resource[];
  outPath: string;
  pool?: Pool;
  poolRule?: PoolRule;
  /** Default 100 000 entries and 1 GiB unpacked, upload and matched files together. */
  limits?: Partial<ZipLimits>;
  signal?: AbortSignal;
}

export const defaultZipLimits: ZipLimits = { maxEntries: 100_000, maxBytes: 1024 ** 3 };

type Source = ZipFileEntry | (Resource & { kind: "resource" });

/**
 * Makes the package of an app: the uploaded zip, checked, with the matched files put in.
 * Folders are kept, empty ones too; a matched file replaces an uploaded one of the same name; contents stream.
 * @throws BitsProblem
 */
export async function assemblePackage(options: AssembleOptions): Promise<{ sizeBytes: number }> {
  const { uploadPath, resources, outPath, pool, signal } = options;
  const limits = { ...defaultZipLimits, ...options.limits };
  if (uploadPath === undefined) return write([...withResources([], resources, limits)], { outPath, pool, limits, signal });
  const { entries, close } = await readZipEntries(uploadPath, limits);
  try {
    const sources = withResources(entries, resources, limits);
    const written = await write(sources, { outPath, pool, limits, signal });
    if (pool) await fillPool(entries, pool, options.poolRule ?? defaultPoolRule, signal);
    return written;
  } finally {
    close();
  }
}

function withResources(entries: readonly ZipFileEntry[], resources: readonly Resource[], limits: ZipLimits): Source[] {
  const byPath = new Map<string, Source>(entries.map((entry) => [entry.path, entry]));
  for (const resource of resources) {
    const before = byPath.get(resource.path);
    if (before?.kind === "folder") throw new BitsProblem("AppResourcesFilePathInvalid", `'${resource.path}' is a folder of the upload`);
    for (const folder of foldersAbove(resource.path)) {
      const above = byPath.get(folder);
      if (above && above.kind !== "folder") throw new BitsProblem("AppResourcesFilePathInvalid", `'${resource.path}' lies below '${folder}', which is no folder`);
    }
    byPath.delete(resource.path);
    byPath.set(resource.path, { ...resource, kind: "resource" });
  }
  // The loop above cannot see a file below a resource that came later.
  for (const path of byPath.keys())
    for (const folder of foldersAbove(path))
      if (byPath.has(folder) && byPath.get(folder)!.kind !== "folder") throw new BitsProblem("AppResourcesFilePathInvalid", `'${path}' lies below '${folder}', which is no folder`);
  const bytes = [...byPath.values()].reduce((sum, source) => sum + source.sizeBytes, 0);
  if (byPath.size > limits.maxEntries) throw new BitsProblem("AppPackageInvalid", `it has ${byPath.size} entries, more than ${limits.maxEntries}`);
  if (bytes > limits.maxBytes) throw new BitsProblem("AppPackageInvalid", `its files are larger than ${limits.maxBytes} bytes when unpacked`);
  if (byPath.size === 0) throw new BitsProblem("AppBitsUploadInvalid", "it has no files");
  return [...byPath.values()];
}

interface WriteOptions {
  outPath: string;
  pool: Pool | undefined;
  limits: ZipLimits;
  signal: AbortSignal | undefined;
}

/** Entries whose content is opened when their turn comes: there may be thousands, and few file handles. */
interface LazyEntries {
  addReadStreamLazy(path: string, options: { mtime: Date; mode: number }, open: (ready: (error: Error | null, stream: Readable) => void) => void): void;
}

async function write(sources: readonly Source[], { outPath, pool, limits, signal }: WriteOptions): Promise<{ sizeBytes: number }> {
  const zip = new ZipFile() as ZipFile & LazyEntries;
  const broken = new AbortController();
  const stop = signal ? AbortSignal.any([signal, broken.signal]) : broken.signal;
  let failure: unknown;
  const fail = (error: unknown): void => {
    failure ??= error;
    broken.abort(error);
  };
  zip.on("error", fail);
  let unpacked = 0;
  const count = () => new Transform({
    transform(chunk: Buffer, _encoding, done) {
      unpacked += chunk.length;
      if (unpacked > limits.maxBytes) done(new BitsProblem("AppPackageInvalid", `its files are larger than ${limits.maxBytes} bytes when unpacked`));
      else done(null, chunk);
    },
  });
  for (const source of sources) {
    if (source.kind === "folder") {
      zip.addEmptyDirectory(source.path, { mtime: source.modified, mode: 0o040000 | source.mode });
      continue;
    }
    if (source.kind === "link") {
      zip.addBuffer(Buffer.from(source.target ?? ""), source.path, { mtime: source.modified, mode: 0o120777, compress: false });
      continue;
    }
    const mtime = source.kind === "resource" ? new Date() : source.modified;
    zip.addReadStreamLazy(source.path, { mtime, mode: 0o100000 | source.mode }, (ready) => {
      const out = new PassThrough();
      // What goes wrong while an entry is read stops the whole archive; the writer only needs a stream that ends.
      openSource(source, pool)
        .then((stream) => pipeline([stream, ...(source.kind === "resource" ? [checked(source)] : []), count(), out] as [Readable, Transform, PassThrough], { signal: stop }))
        .catch(fail);
      ready(null, out);
    });
  }
  zip.end();
  const file = createWriteStream(outPath, { flags: "wx", mode: 0o600 });
  try {
    await pipeline(zip.outputStream as Readable, file, { signal: stop });
  } catch (error) {
    throw asProblem(failure ?? error);
  }
  if (failure !== undefined) throw asProblem(failure);
  return { sizeBytes: file.bytesWritten };
}

async function openSource(source: Exclude<Source, { kind: "folder" | "link" }>, pool: Pool | undefined): Promise<Readable> {
  if (source.kind !== "resource") return source.open();
  const stream = await pool?.get(source.sha1);
  if (!stream) throw new BitsProblem("ResourceChecksumMismatch", `'${source.path}' is no longer in the pool. Push again.`);
  return stream;
}

/** Lets content through and fails at its end when it is not what its checksum said. */
function checked(resource: Resource): Transform {
  const hash = createHash("sha1");
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      done(null, chunk);
    },
    flush(done) {
      if (hash.digest("hex") === resource.sha1) done();
      else done(new BitsProblem("ResourceChecksumMismatch", `'${resource.path}' has another content. Push again.`));
    },
  });
}

/** Puts the files of an upload into the pool. The pool is a convenience: what it cannot take is left out. */
async function fillPool(entries: readonly ZipFileEntry[], pool: Pool, rule: PoolRule, signal: AbortSignal | undefined): Promise<void> {
  for (const entry of entries) {
    if (entry.kind !== "file" || entry.sizeBytes < rule.minBytes || entry.sizeBytes > rule.maxBytes || (entry.mode & 0o600) !== 0o600) continue;
    signal?.throwIfAborted();
    try {
      const hash = createHash("sha1");
      for await (const chunk of await entry.open()) hash.update(chunk as Buffer);
      await pool.put(hash.digest("hex"), await entry.open());
    } catch {
      return;
    }
  }
}

function asProblem(error: unknown): unknown {
  if (error instanceof BitsProblem) return error;
  const code = (error as NodeJS.ErrnoException | undefined)?.code ?? "";
  const ofTheDisk = ["ENOSPC", "EDQUOT", "EACCES", "EMFILE", "EEXIST", "ENOENT"].includes(code);
  const aborted = error instanceof Error && error.name === "AbortError";
  return ofTheDisk || aborted ? error : new BitsProblem("AppBitsUploadInvalid", "it is not a zip archive that can be read", { cause: error });
}
