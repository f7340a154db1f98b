import { constants } from "node:fs";
import { type FileHandle, lchown, mkdir, open, readdir, symlink, unlink } from "node:fs/promises";
import { Readable, type Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { extract, type Header, pack, type Pack } from "tar-stream";
import { entryPath } from "../droplet/unpack.ts";
import { DeaError, systemCode, textOf } from "../errors.ts";
import { below, linkTarget, openBelow, openFolder } from "./open-below.ts";

/** Entries one stream may carry. */
const maxEntries = 200_000;

const fileFlags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** A file, or a folder with everything in it, as a tar. Links stay links; devices, pipes and sockets are left out. Throws DEA_CONTAINER. */
export async function packHome(root: string, path: string, { signal }: { signal?: AbortSignal } = {}): Promise<Readable> {
  const steps = entryPath(path).split("/");
  const name = steps.pop() ?? "";
  const parent = await openBelow(root, steps.join("/"));
  const tar = pack();
  let entries = 0;

  const put = async (folder: FileHandle, entry: string, as: string): Promise<void> => {
    signal?.throwIfAborted();
    if (tar.destroyed) throw new Error("nobody reads any more");
    if (++entries > maxEntries) throw new DeaError("DEA_CONTAINER", `more than ${maxEntries} entries`);
    const file = await open(below(folder, entry), fileFlags).catch((error: unknown) => {
      // A link, a socket, or gone meanwhile.
      if (systemCode(error) === "ELOOP") return "link" as const;
      if (as === name || as === "") throw new DeaError("DEA_CONTAINER", `${JSON.stringify(path)}: there is no such thing`, { cause: error });
      return undefined;
    });
    if (file === "link") tar.entry({ name: as, type: "symlink", linkname: linkTarget(folder, entry) });
    if (file === undefined || file === "link") return;
    try {
      const stat = await file.stat();
      const header = { name: as === "" ? "./" : as, mode: stat.mode & 0o777, mtime: stat.mtime };
      if (stat.isDirectory()) {
        tar.entry({ ...header, type: "directory" });
        for (const child of (await readdir(`/proc/self/fd/${file.fd}`)).sort()) await put(file, child, as === "" ? child : `${as}/${child}`);
      } else if (stat.isFile()) await putFile(tar, { ...header, type: "file", size: stat.size }, file);
    } finally {
      await file.close();
    }
  };

  // What is asked for must be there before anybody is told that it comes.
  if (name !== "") {
    const probe = await open(below(parent, name), fileFlags).catch((error: unknown) => (systemCode(error) === "ELOOP" ? undefined : Promise.reject(error as Error))).catch(async (error: unknown) => {
      await parent.close();
      throw new DeaError("DEA_CONTAINER", `${JSON.stringify(path)}: there is no such thing`, { cause: error });
    });
    await probe?.close();
  }
  void put(parent, name === "" ? "." : name, name)
    .then(() => tar.finalize(), (error: unknown) => tar.destroy(error instanceof Error ? error : new Error(textOf(error))))
    .finally(() => parent.close());
  return Readable.from(tar, { objectMode: false });
}

/** Exactly as many bytes as the header says, whatever the file does meanwhile. */
async function putFile(tar: Pack, header: Partial<Header> & { name: string; size: number }, file: FileHandle): Promise<void> {
  const entry = tar.entry(header);
  const chunk = Buffer.alloc(64 * 1024);
  for (let left = header.size; left > 0; ) {
    const { bytesRead } = await file.read(chunk, 0, Math.min(left, chunk.length), header.size - left);
    const piece = bytesRead > 0 ? Buffer.from(chunk.subarray(0, bytesRead)) : Buffer.alloc(Math.min(left, chunk.length));
    left -= piece.length;
    if (!entry.write(piece)) await new Promise<void>((resolve) => (entry.once("drain", () => resolve()), tar.once("close", () => resolve())));
    if (tar.destroyed) throw new Error("nobody reads any more");
  }
  (entry as unknown as Writable).end();
}

export interface UnpackIntoOptions {
  /** Who shall own it. Default: whoever runs this. */
  owner?: { uid: number; gid: number };
  maxBytes: number;
  signal?: AbortSignal;
}

/** Unpacks a tar into a folder below `root` that a hostile app may be changing. Throws DEA_DROPLET_UNSAFE, DEA_DROPLET_TOO_LARGE, DEA_CONTAINER. */
export async function unpackIntoHome(root: string, path: string, tar: Readable, { owner, maxBytes, signal }: UnpackIntoOptions): Promise<void> {
  const reader = extract();
  let bytes = 0;
  let entries = 0;
  const makeFolder = async (folder: FileHandle, name: string): Promise<void> => {
    await mkdir(below(folder, name), 0o755).catch((error: unknown) => (systemCode(error) === "EEXIST" ? undefined : Promise.reject(error as Error)));
    const made = await openFolder(below(folder, name));
    if (owner) await made.chown(owner.uid, owner.gid);
    await made.close();
  };
  const base = entryPath(path);
  const place = async (header: Header, body: AsyncIterable<Buffer>): Promise<void> => {
    const steps = entryPath(header.name).split("/");
    if (header.type === "directory") return (await openBelow(root, [base, ...steps].filter((step) => step !== "").join("/"), makeFolder)).close();
    const name = steps.pop() ?? "";
    if (name === "") throw new DeaError("DEA_DROPLET_UNSAFE", "an entry has no name");
    await using folder = await openBelow(root, [base, ...steps].filter((step) => step !== "").join("/"), makeFolder);
    await unlink(below(folder, name)).catch((error: unknown) => (systemCode(error) === "ENOENT" ? undefined : Promise.reject(error as Error)));
    if (header.type === "symlink") {
      await symlink(header.linkname ?? "", below(folder, name));
      if (owner) await lchown(below(folder, name), owner.uid, owner.gid);
      return;
    }
    if (header.type !== "file") throw new DeaError("DEA_DROPLET_UNSAFE", `${JSON.stringify(header.name)}: entries of type ${header.type} are not allowed`);
    const file = await open(below(folder, name), constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
    try {
      for await (const chunk of body) {
        bytes += chunk.length;
        if (bytes > maxBytes) throw new DeaError("DEA_DROPLET_TOO_LARGE", `more than ${maxBytes} bytes`);
        await file.writeFile(chunk);
      }
      await file.chmod(((header.mode ?? 0o644) & 0o777) | 0o400);
      if (owner) await file.chown(owner.uid, owner.gid);
    } finally {
      await file.close();
    }
  };
  try {
    await (await openBelow(root, base, makeFolder)).close();
    const filling = pipeline(tar, reader, { signal });
    filling.catch(() => {});
    for await (const entry of reader) {
      if (++entries > maxEntries) throw new DeaError("DEA_DROPLET_TOO_LARGE", `more than ${maxEntries} entries`);
      await place(entry.header, entry as unknown as AsyncIterable<Buffer>);
      entry.resume();
    }
    await filling;
  } catch (error) {
    tar.destroy();
    if (error instanceof DeaError || signal?.aborted) throw error;
    throw new DeaError("DEA_CONTAINER", `cannot unpack: ${textOf(error)}`, { cause: error });
  }
}
