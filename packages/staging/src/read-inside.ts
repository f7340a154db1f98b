import { open, realpath } from "node:fs/promises";
import { sep } from "node:path";

/** Why a file was not read, in words that continue "Procfile ...". */
export class Unreadable extends Error {}

/**
 * Reads a small text file that strangers wrote, unless a link leads it out of `root`: scripts may run as a weaker user than we do,
 * and must not learn through us what they cannot read themselves.
 * @returns undefined when there is none
 * @throws Unreadable
 */
export async function readInside(root: string, path: string, maxBytes = 1024 * 1024): Promise<string | undefined> {
  let real;
  try {
    real = await realpath(path);
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "")) return undefined;
    throw new Unreadable(`cannot be read: ${(error as Error).message}`);
  }
  if (!real.startsWith((await realpath(root)) + sep)) throw new Unreadable("is a link that leads out of its folder");
  const file = await open(real, "r").catch((error: unknown) => {
    throw new Unreadable(`cannot be read: ${(error as Error).message}`);
  });
  try {
    const status = await file.stat();
    if (!status.isFile()) throw new Unreadable("is not a file");
    if (status.size > maxBytes) throw new Unreadable(`is larger than ${maxBytes} bytes`);
    return await file.readFile("utf8");
  } finally {
    await file.close();
  }
}

/** The same, where a file that cannot be read counts as absent. */
export const readInsideOrNothing = (root: string, path: string, maxBytes?: number): Promise<string | undefined> =>
  readInside(root, path, maxBytes).catch(() => undefined);
