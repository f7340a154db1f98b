import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { lstat, mkdir, readdir, readlink, rename, rm } from "node:fs/promises";
import { dirname, join, posix, relative, resolve } from "node:path";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { pack as createPack, type Pack } from "tar-stream";
import { StagingError, toStagingError } from "../errors.ts";

export interface PackOptions {
  signal: AbortSignal;
  /** Told about entries that cannot be kept. */
  onWarning?: (text: string) => void;
  /** Limit for the sum of all files. */
  maxBytes?: number;
  /** Absolute links into `root` are made relative; others below this folder are reported, for it will be gone at run time. */
  workPath?: string;
}

/** An archive on disk with its checksums. */
export interface PackedArchive {
  readonly path: string;
  /** sha256, hexadecimal. */
  readonly digest: string;
  readonly sha1: string;
  readonly sizeBytes: number;
  /** Sum of the files in it. */
  readonly contentBytes: number;
}

interface Header {
  name: string;
  type: "file" | "directory" | "symlink";
  mode: number;
  size?: number;
  linkname?: string;
  uid: number;
  gid: number;
  mtime: Date;
}

/** 1980-01-01: the oldest time that every archive format can hold. */
const fixedTime = new Date(315_532_800_000);
/** The user of an app in the original. */
const owner = 2000;

/**
 * Packs a folder into a gzipped tar whose bytes depend on nothing but names, modes, contents and link targets:
 * entries sorted by bytes, `./` before each name, uid and gid 2000, one fixed time, no gzip timestamp.
 * Appears at `out` by rename; a failure leaves nothing.
 * @throws StagingError `STAGING_DROPLET_FAILED`, `STAGING_DROPLET_TOO_LARGE`, `STAGING_DISK_FULL`, or the signal's reason
 */
export async function packFolder(root: string, out: string, { signal, onWarning = () => {}, maxBytes = Infinity, workPath }: PackOptions): Promise<PackedArchive> {
  const target = resolve(out);
  const part = `${target}.part-${process.pid}-${Math.random().toString(36).slice(2)}`;
  const sha256 = createHash("sha256");
  const sha1 = createHash("sha1");
  let sizeBytes = 0;
  let contentBytes = 0;
  const meter = new Transform({
    transform(chunk: Buffer, _, done) {
      sha256.update(chunk);
      sha1.update(chunk);
      sizeBytes += chunk.length;
      done(null, chunk);
    },
  });
  const pack = createPack();

  const header = (name: string, rest: Omit<Header, "name" | "uid" | "gid" | "mtime">): Header => ({ name, uid: owner, gid: owner, mtime: fixedTime, ...rest });
  const walk = async (folder: string): Promise<void> => {
    const names = await readdir(join(root, folder));
    names.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    for (const item of names) {
      signal.throwIfAborted();
      const name = posix.join(folder, item);
      const path = join(root, name);
      const status = await lstat(path).catch((error: NodeJS.ErrnoException) => {
        if (error.code === "ENOENT" && item.includes("\ufffd")) return undefined;
        throw error;
      });
      if (!status) {
        onWarning(`left out of the droplet: ${JSON.stringify(name)} (its name is not UTF-8)`);
      } else if (status.isDirectory()) {
        await put(pack, header(`./${name}/`, { type: "directory", mode: status.mode & 0o777 }));
        await walk(name);
      } else if (status.isSymbolicLink()) {
        await put(pack, header(`./${name}`, { type: "symlink", mode: 0o777, linkname: linkTarget(name, await readlink(path)) }));
      } else if (status.isFile()) {
        contentBytes += status.size;
        if (contentBytes > maxBytes)
          throw new StagingError("STAGING_DROPLET_TOO_LARGE", `the staged app is larger than ${maxBytes} bytes; raise the disk limit or leave out what the app does not need`, { phase: "droplet" });
        await putFile(pack, header(`./${name}`, { type: "file", mode: status.mode & 0o777, size: status.size }), path);
      } else {
        onWarning(`left out of the droplet: ${JSON.stringify(name)} (a pipe, socket or device)`);
      }
    }
  };
  const linkTarget = (name: string, link: string): string => {
    if (!link.startsWith("/")) return link;
    const inside = relative(root, link);
    // Staging happens elsewhere than running: a link by absolute path would point nowhere, and differ from build to build.
    if (!inside.startsWith("..")) return posix.relative(posix.dirname(posix.join("/", name)), posix.join("/", inside)) || ".";
    if (workPath !== undefined && !relative(workPath, link).startsWith("..")) onWarning(`the link ${JSON.stringify(name)} leads to a folder that exists only while staging`);
    return link;
  };

  try {
    await mkdir(dirname(target), { recursive: true });
    const written = pipeline(pack, createGzip({ level: 6 }), meter, createWriteStream(part), { signal });
    const filled = (async () => {
      await put(pack, header("./", { type: "directory", mode: 0o755 }));
      await walk("");
      pack.finalize();
    })().catch((error: unknown) => {
      pack.destroy(error as Error);
      throw error;
    });
    // The first of the two to fail is the reason; the other one only follows.
    await Promise.all([filled, written]).catch(async (error: unknown) => {
      pack.destroy();
      await Promise.allSettled([filled, written]);
      throw error;
    });
    await rename(part, target);
    return { path: target, digest: sha256.digest("hex"), sha1: sha1.digest("hex"), sizeBytes, contentBytes };
  } catch (error) {
    await rm(part, { force: true });
    if (signal.aborted) throw signal.reason;
    throw toStagingError(error, "STAGING_DROPLET_FAILED", "the droplet could not be written", "droplet");
  }
}

function put(pack: Pack, header: Header): Promise<void> {
  return new Promise((done, stop) => {
    pack.entry(header, "", (error) => (error ? stop(error) : done()));
  });
}

async function putFile(pack: Pack, header: Header, path: string): Promise<void> {
  if (header.size === 0) return put(pack, header);
  const ended = new Promise<void>((done, stop) => {
    const entry = pack.entry(header, (error) => (error ? stop(error) : done()));
    // `end` is the size of the header: a file that grows meanwhile must not break the archive.
    pipeline(createReadStream(path, { end: (header.size ?? 1) - 1 }), entry as unknown as NodeJS.WritableStream).catch(stop);
  });
  await ended;
}
