import type * as Fs from "node:fs";
import type { TarHeader, TarSink } from "./tar-reader.ts";

/** `./a//b/` to `a/b`; the root itself to "". Of a name that leads out, why it is refused. */
export function pathIn(name: string): string | { why: string } {
  if (name.includes("\0")) return { why: "the name holds a NUL" };
  if (name.startsWith("/")) return { why: "the name is absolute" };
  const parts = name.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..")) return { why: "the name leads out of the folder" };
  return parts.join("/");
}

export interface TreeWriterInput {
  fs: Pick<typeof Fs, "mkdirSync" | "openSync" | "writeSync" | "closeSync" | "fchmodSync" | "futimesSync" | "rmSync" | "symlinkSync" | "lutimesSync" | "linkSync" | "chmodSync">;
  pathIn: typeof pathIn;
  folder: string;
  umask: number;
  maxEntries: number;
  maxBytes: number;
  /** Must throw. */
  refuse(kind: "unsafe" | "large", text: string): never;
}

export interface TreeWriter extends TarSink {
  /** Call it when all is there; answers what was written. */
  finish(): { entries: number; bytes: number };
  /** Lets go of a file that is open still. */
  abandon(): void;
}

/**
 * Writes entries of a tar into an empty folder that nobody else writes to.
 *
 * Nothing is ever written through a link: what stands at each path is remembered, and only real folders made here are
 * entered. Symlinks are kept as they are, wherever they point. Its text is sent to a worker thread, so it uses nothing
 * from outside but its input.
 */
export function treeWriter({ fs, pathIn: inside, folder, umask, maxEntries, maxBytes, refuse }: TreeWriterInput): TreeWriter {
  const known = new Map<string, "directory" | "file" | "symlink">([["", "directory"]]);
  const folderModes = new Map<string, number>();
  let entries = 0;
  let bytes = 0;
  let file: { fd: number; mode: number; mtime: number | undefined } | undefined;

  const unsafe = (name: string, why: string): never => refuse("unsafe", `${JSON.stringify(name.slice(0, 200))}: ${why}`);
  const safe = (name: string): string => {
    const path = inside(name);
    return typeof path === "string" ? path : unsafe(name, path.why);
  };
  const makeFolder = (path: string): void => {
    if (known.get(path) === "directory") return;
    for (let slash = path.indexOf("/"); ; slash = path.indexOf("/", slash + 1)) {
      const part = slash < 0 ? path : path.slice(0, slash);
      const kind = known.get(part);
      if (kind !== undefined && kind !== "directory") unsafe(path, `${part} is a ${kind}, not a folder`);
      if (kind === undefined) {
        fs.mkdirSync(`${folder}/${part}`, 0o755);
        known.set(part, "directory");
      }
      if (slash < 0) return;
    }
  };

  const abandon = (): void => {
    if (!file) return;
    const { fd } = file;
    file = undefined;
    fs.closeSync(fd);
  };

  return {
    entry({ name, type, linkName, mode: given, mtime }: TarHeader) {
      if (++entries > maxEntries) refuse("large", `has more than ${maxEntries} entries`);
      const path = safe(name);
      const mode = given & 0o777;
      if (type === "directory") {
        if (path === "") return;
        makeFolder(path);
        // Set at the end: a read-only folder could not be filled.
        folderModes.set(path, mode | 0o700);
        return;
      }
      if (type !== "file" && type !== "symlink" && type !== "link") unsafe(name, `entries of type ${type} are not allowed`);
      if (path === "") unsafe(name, "the name is empty");
      const slash = path.lastIndexOf("/");
      if (slash > 0) makeFolder(path.slice(0, slash));
      const before = known.get(path);
      if (before === "directory") unsafe(name, "a folder has this name already");
      const target = `${folder}/${path}`;
      if (type === "link") {
        const original = safe(linkName);
        if (known.get(original) !== "file" || original === path) unsafe(name, "a hard link must name an earlier file");
        if (before !== undefined) fs.rmSync(target);
        known.set(path, "file");
        fs.linkSync(`${folder}/${original}`, target);
        return;
      }
      if (before !== undefined) fs.rmSync(target);
      known.set(path, type === "symlink" ? "symlink" : "file");
      if (type === "symlink") {
        if (linkName === "") unsafe(name, "the link has no target");
        fs.symlinkSync(linkName, target);
        if (mtime !== undefined) fs.lutimesSync(target, mtime, mtime);
        return;
      }
      // "wx": if anything stands there after all, fail rather than follow it.
      file = { fd: fs.openSync(target, "wx", mode | 0o400), mode: mode | 0o400, mtime };
    },
    body(piece) {
      if (!file) return;
      bytes += piece.length;
      if (bytes > maxBytes) refuse("large", `unpacks to more than ${maxBytes} bytes`);
      for (let written = 0; written < piece.length; ) written += fs.writeSync(file.fd, piece, written);
    },
    entryEnd() {
      if (!file) return;
      const { fd, mode, mtime } = file;
      if ((mode & umask) !== 0) fs.fchmodSync(fd, mode);
      if (mtime !== undefined) fs.futimesSync(fd, mtime, mtime);
      abandon();
    },
    finish() {
      for (const [path, mode] of folderModes) if (mode !== (0o755 & ~umask)) fs.chmodSync(`${folder}/${path}`, mode);
      return { entries, bytes };
    },
    abandon,
  };
}
