/** Longest path of an entry, in bytes; longer ones no file system takes. */
const maxPathBytes = 4096;
const maxPartBytes = 255;

/**
 * An entry's path made plain, or `undefined` when it is refused: absolute, with a drive letter, a backslash, a NUL or
 * other control character, a `..` part, or too long. `./` and doubled slashes are taken out, a trailing slash is kept.
 */
export function plainPath(path: string): string | undefined {
  if (path === "" || /[\u0000-\u001f\\]/.test(path) || path.startsWith("/") || /^[A-Za-z]:/.test(path)) return undefined;
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..") || parts.some((part) => Buffer.byteLength(part) > maxPartBytes)) return undefined;
  const plain = parts.join("/") + (path.endsWith("/") && parts.length > 0 ? "/" : "");
  return Buffer.byteLength(plain) > maxPathBytes ? undefined : plain;
}

/** True when a symbolic link at `path` with this target stays below the app's root, seen lexically. */
export function linkStaysInside(path: string, target: string): boolean {
  if (target === "" || target.startsWith("/") || target.includes("\u0000") || target.includes("\\")) return false;
  let depth = path.split("/").length - 1;
  for (const part of target.split("/")) {
    if (part === "..") depth--;
    else if (part !== "" && part !== ".") depth++;
    if (depth < 0) return false;
  }
  return true;
}

/** Every folder above a path, outermost first: `a/b/c` gives `a`, `a/b`. */
export function foldersAbove(path: string): string[] {
  const parts = path.replace(/\/$/, "").split("/");
  return parts.slice(1).map((_, index) => parts.slice(0, index + 1).join("/"));
}
