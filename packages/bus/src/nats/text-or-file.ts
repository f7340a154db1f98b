import { readFileSync } from "node:fs";

/**
 * A secret as text, or the file it is in. A file is read again at every call, so that what was renewed counts at the next connection;
 * while it cannot be read the last good content stays.
 */
export function textOrFile(given: string, isText: (value: string) => boolean): () => string {
  if (isText(given)) return () => given;
  let last: string | undefined;
  return () => {
    try {
      last = readFileSync(given, "utf8");
    } catch (error) {
      if (last === undefined) throw error;
    }
    return last as string;
  };
}
