import { constants } from "node:fs";
import { type FileHandle, lstat, open, readlink } from "node:fs/promises";
import { below, openFolder } from "../container/open-below.ts";
import { systemCode } from "../errors.ts";

/*
 * Opens a path of an app's folder as the app itself would, but never anything outside of it, whatever the app makes of its
 * names meanwhile: every step goes from an open folder to an entry in it, links are read and walked by us, and `..` goes
 * back to a folder that we came through.
 */

/** What was found, or why nothing is given: `missing`, `outside` (a link leads out), `special` (a socket, a pipe, a device). */
export type Opened =
  | { found: "file"; handle: FileHandle; parent: FileHandle; name: string }
  | { found: "folder"; handle: FileHandle; parent: undefined; name: string }
  | { found: "missing" }
  | { found: "outside" }
  | { found: "special" };

/** As many as the kernel follows. */
const maxLinks = 40;
const maxSteps = 4_096;
const readFlags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY;

/**
 * `inside` is the root's name as the app sees it: an absolute link to it stays in. A path with `..` that leads above the root
 * is outside, and so is every link with `links: false`. The handle, and the parent where there is one, are the caller's to close.
 */
export async function openInside(root: string, inside: string, path: string, { links: followsLinks = true }: { links?: boolean } = {}): Promise<Opened> {
  const stack: FileHandle[] = [];
  const close = async (except: readonly (FileHandle | undefined)[] = []): Promise<void> => {
    for (const handle of stack) if (!except.includes(handle)) await handle.close();
  };
  const end = async (found: "missing" | "outside" | "special"): Promise<Opened> => {
    await close();
    return { found };
  };
  try {
    stack.push(await openFolder(root));
  } catch {
    return { found: "missing" };
  }
  const todo = path.split("/").reverse();
  let links = 0;
  let steps = 0;
  try {
    while (todo.length > 0) {
      const name = todo.pop() ?? "";
      if (++steps > maxSteps || name.includes("\0")) return await end("missing");
      if (name === "" || name === ".") continue;
      if (name === "..") {
        if (stack.length === 1) return await end("outside");
        await stack.pop()?.close();
        continue;
      }
      const folder = stack.at(-1) as FileHandle;
      const handle = await open(below(folder, name), readFlags).catch((error: unknown) => systemCode(error) ?? "EIO");
      if (handle === "ELOOP") {
        if (!followsLinks) return await end("outside");
        const target = await readlink(below(folder, name)).catch(() => undefined);
        if (target === undefined) return await end("missing");
        if (++links > maxLinks) return await end("missing");
        const there = target.startsWith("/") ? ownPart(target, inside) : target;
        if (there === undefined) return await end("outside");
        if (target.startsWith("/")) for (const each of stack.splice(1)) await each.close();
        todo.push(...there.split("/").reverse());
        continue;
      }
      // A socket cannot be opened; what cannot be read was made so by the app.
      if (handle === "ENXIO" || handle === "EACCES") return await end("special");
      if (typeof handle === "string") return await end("missing");
      const facts = await handle.stat();
      if (facts.isDirectory()) {
        stack.push(handle);
        continue;
      }
      if (todo.some((rest) => rest !== "") || !facts.isFile()) {
        await handle.close();
        return await end(facts.isFile() ? "missing" : "special");
      }
      await close([folder]);
      return { found: "file", handle, parent: folder, name };
    }
    const handle = stack.at(-1) as FileHandle;
    await close([handle]);
    return { found: "folder", handle, parent: undefined, name: "" };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The part of an absolute path that lies in the app's folder; undefined when none does. */
function ownPart(target: string, inside: string): string | undefined {
  const clean = `${inside.replace(/\/+$/, "")}/`;
  if (`${target}/`.startsWith(clean)) return target.slice(clean.length);
  return undefined;
}

/** Whether an entry of a folder is still this very file: not deleted, not renamed, not replaced. */
export async function isStill(parent: FileHandle, name: string, file: FileHandle): Promise<boolean> {
  const [there, here] = await Promise.all([lstat(below(parent, name)).catch(() => undefined), file.stat()]);
  return there !== undefined && there.ino === here.ino && there.dev === here.dev;
}
