import { closeSync, createReadStream, fchmodSync, futimesSync, openSync, writeSync } from "node:fs";
import { chmod, link, lutimes, mkdir, open, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { extract, type Header } from "tar-stream";
import { DeaError, textOf } from "../errors.ts";

export interface UnpackOptions {
  /** Most entries an archive may have. Default 200 000. */
  maxEntries?: number;
  /** Most bytes it may unpack to. Default 4 GiB. */
  maxBytes?: number;
  signal?: AbortSignal;
}

export interface Unpacked {
  entries: number;
  bytes: number;
}

/** Files up to this size are written in one go: five trips to the thread pool cost more than the write itself. */
const smallFileBytes = 128 * 1024;

type Kind = "directory" | "file" | "symlink";

const unsafe = (name: string, why: string): DeaError =>
  new DeaError("DEA_DROPLET_UNSAFE", `${JSON.stringify(name.slice(0, 200))}: ${why}`);

/** `./a//b/` to `a/b`; the root itself to "". Throws DEA_DROPLET_UNSAFE for names that lead out. */
export function entryPath(name: string): string {
  if (name.includes("\0")) throw unsafe(name, "the name holds a NUL");
  if (name.startsWith("/")) throw unsafe(name, "the name is absolute");
  const parts = name.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..")) throw unsafe(name, "the name leads out of the folder");
  return parts.join("/");
}

/**
 * Unpacks a tar, gzipped or not, into an empty folder that nobody else writes to.
 *
 * Nothing is ever written through a link: what stands at each path is remembered, and only real folders made
 * here are entered. Symlinks are kept as they are, wherever they point: they matter when the app reads them,
 * with the app's rights. Set-user-id bits are dropped. Devices, pipes and sockets are refused.
 * Throws DEA_DROPLET_UNSAFE, DEA_DROPLET_TOO_LARGE, DEA_DROPLET_UNAVAILABLE (cannot be read).
 */
export async function unpack(archive: string, folder: string, options: UnpackOptions = {}): Promise<Unpacked> {
  const { maxEntries = 200_000, maxBytes = 4 * 1024 ** 3, signal } = options;
  const done: Unpacked = { entries: 0, bytes: 0 };
  const known = new Map<string, Kind>([["", "directory"]]);
  const folderModes = new Map<string, number>();

  const makeFolder = async (path: string): Promise<void> => {
    const parts = path.split("/");
    for (let depth = 1; depth <= parts.length; depth++) {
      const part = parts.slice(0, depth).join("/");
      const kind = known.get(part);
      if (kind === "directory") continue;
      if (kind !== undefined) throw unsafe(path, `${part} is a ${kind}, not a folder`);
      await mkdir(join(folder, part), 0o755);
      known.set(part, "directory");
    }
  };

  const place = async (header: Header, entry: Readable): Promise<void> => {
    const path = entryPath(header.name);
    const mode = (header.mode ?? 0o644) & 0o777;
    if (header.type === "directory") {
      if (path === "") return;
      await makeFolder(path);
      // Set at the end: a read-only folder could not be filled.
      folderModes.set(path, mode | 0o700);
      return;
    }
    const kind: Kind | undefined =
      header.type === "file" || header.type === "contiguous-file" ? "file"
      : header.type === "symlink" ? "symlink"
      : header.type === "link" ? "file"
      : undefined;
    if (kind === undefined) throw unsafe(header.name, `entries of type ${header.type ?? "unknown"} are not allowed`);
    if (path === "") throw unsafe(header.name, "the name is empty");
    const parent = path.slice(0, Math.max(0, path.lastIndexOf("/")));
    if (parent !== "") await makeFolder(parent);
    const before = known.get(path);
    if (before === "directory") throw unsafe(header.name, "a folder has this name already");
    const target = join(folder, path);
    if (before !== undefined) await rm(target);
    known.set(path, kind);
    if (header.type === "symlink") {
      if (!header.linkname) throw unsafe(header.name, "the link has no target");
      await symlink(header.linkname, target);
      if (header.mtime) await lutimes(target, header.mtime, header.mtime);
      return;
    }
    if (header.type === "link") {
      const original = entryPath(header.linkname ?? "");
      if (known.get(original) !== "file" || original === path) throw unsafe(header.name, "a hard link must name an earlier file");
      await link(join(folder, original), target);
      return;
    }
    if ((header.size ?? Infinity) <= smallFileBytes) await writeSmall(entry, target, mode | 0o400, header.mtime);
    else await writeLarge(entry, target, mode | 0o400, header.mtime);
  };

  const count = (bytes: number): void => {
    done.bytes += bytes;
    if (done.bytes > maxBytes) throw new DeaError("DEA_DROPLET_TOO_LARGE", `unpacks to more than ${maxBytes} bytes`);
  };

  const writeSmall = async (entry: Readable, target: string, mode: number, mtime: Date | undefined): Promise<void> => {
    const chunks: Buffer[] = [];
    for await (const chunk of entry as AsyncIterable<Buffer>) {
      count(chunk.length);
      chunks.push(chunk);
    }
    const body = Buffer.concat(chunks);
    const fd = openSync(target, "wx", mode);
    try {
      for (let written = 0; written < body.length; ) written += writeSync(fd, body, written);
      fchmodSync(fd, mode);
      if (mtime) futimesSync(fd, mtime, mtime);
    } finally {
      closeSync(fd);
    }
  };

  const writeLarge = async (entry: Readable, target: string, mode: number, mtime: Date | undefined): Promise<void> => {
    // "wx": if anything stands there after all, fail rather than follow it.
    const file = await open(target, "wx", mode);
    try {
      for await (const chunk of entry as AsyncIterable<Buffer>) {
        count(chunk.length);
        for (let written = 0; written < chunk.length; ) written += (await file.write(chunk, written)).bytesWritten;
      }
      await file.chmod(mode);
      if (mtime) await file.utimes(mtime, mtime);
    } finally {
      await file.close();
    }
  };

  const tar = extract();
  try {
    const filling = pipeline([createReadStream(archive), ...((await isGzip(archive)) ? [createGunzip()] : []), tar], { signal });
    const emptying = (async () => {
      for await (const entry of tar) {
        signal?.throwIfAborted();
        done.entries += 1;
        if (done.entries > maxEntries) throw new DeaError("DEA_DROPLET_TOO_LARGE", `has more than ${maxEntries} entries`);
        await place(entry.header, entry as unknown as Readable);
        entry.resume();
      }
    })();
    // Our own refusal must win over the broken pipe it causes.
    const [emptied, filled] = await Promise.allSettled([emptying.catch((error: Error) => (tar.destroy(error), Promise.reject(error))), filling]);
    if (emptied.status === "rejected") throw emptied.reason;
    if (filled.status === "rejected") throw filled.reason;
    for (const [path, mode] of folderModes) await chmod(join(folder, path), mode);
    return done;
  } catch (error) {
    if (error instanceof DeaError) throw error;
    if (signal?.aborted) throw signal.reason;
    throw new DeaError("DEA_DROPLET_UNAVAILABLE", `cannot unpack the droplet: ${textOf(error)}`, { cause: error });
  }
}

async function isGzip(path: string): Promise<boolean> {
  const file = await open(path, "r");
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(2), 0, 2, 0);
    return bytesRead === 2 && buffer[0] === 0x1f && buffer[1] === 0x8b;
  } finally {
    await file.close();
  }
}

