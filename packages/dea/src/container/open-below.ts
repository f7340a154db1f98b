import { constants, readlinkSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { entryPath } from "../droplet/unpack.ts";
import { DeaError, systemCode } from "../errors.ts";

/*
 * The app may change its folder while we walk it: a name that was a folder a moment ago may be a link to the host's
 * files now. So every step goes from an open folder to an entry in it, never through a link: `/proc/self/fd/N/name`
 * is openat(2) for programs that do not have it.
 */

/** Path of an entry of an open folder. */
export const below = (folder: FileHandle, name: string): string => `/proc/self/fd/${folder.fd}/${name}`;

const folderFlags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

export const openFolder = (path: string): Promise<FileHandle> => open(path, folderFlags);

/** Opens a folder below `root`, step by step; `make` is asked to make the steps that are missing. Throws DEA_CONTAINER. */
export async function openBelow(root: string, path: string, make?: (folder: FileHandle, name: string) => Promise<void>): Promise<FileHandle> {
  let folder = await openFolder(root).catch((error: unknown) => Promise.reject(refusal(path, error)));
  for (const name of entryPath(path).split("/")) {
    if (name === "") continue;
    try {
      const next = await openFolder(below(folder, name)).catch(async (error: unknown) => {
        if (!make || systemCode(error) !== "ENOENT") throw error;
        await make(folder, name);
        return openFolder(below(folder, name));
      });
      await folder.close();
      folder = next;
    } catch (error) {
      await folder.close();
      throw refusal(path, error);
    }
  }
  return folder;
}

const refusal = (path: string, cause: unknown): DeaError => {
  const why: Record<string, string> = { ENOENT: "there is no such thing", ENOTDIR: "a step is no folder", ELOOP: "a step is a link" };
  return new DeaError("DEA_CONTAINER", `${JSON.stringify(path)}: ${why[systemCode(cause) ?? ""] ?? "cannot be opened"}`, { cause });
};

/** Target of a link in an open folder. */
export const linkTarget = (folder: FileHandle, name: string): string => readlinkSync(below(folder, name));
