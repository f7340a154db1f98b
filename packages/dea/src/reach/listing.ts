import { type FileHandle, lstat, readdir } from "node:fs/promises";
import { below } from "../container/open-below.ts";

const units = [[2 ** 40, "T"], [2 ** 30, "G"], [2 ** 20, "M"], [2 ** 10, "K"]] as const;
/** At most so many names in one listing. */
const maxEntries = 10_000;

/** `12B`, `1.5K`, `3.0G`. */
export function sizeText(bytes: number): string {
  const [unit, letter] = units.find(([size]) => bytes >= size) ?? [1, "B"];
  return letter === "B" ? `${bytes}B` : `${(bytes / unit).toFixed(1)}${letter}`;
}

/** One line: the name in 35 columns, folders with a slash, the size in 10 (dea_ng `directoryserver`). */
export const listingLine = (name: string, bytes: number | undefined): string =>
  `${(bytes === undefined ? `${name}/` : name).padEnd(35)} ${(bytes === undefined ? "-" : sizeText(bytes)).padStart(10)}\n`;

/** The listing of an open folder, by name; `isShown` leaves out what is hidden. */
export async function listFolder(folder: FileHandle, isShown: (name: string) => boolean = () => true): Promise<string> {
  const names = (await readdir(`/proc/self/fd/${folder.fd}`)).filter(isShown).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  const lines: string[] = [];
  for (const name of names.slice(0, maxEntries)) {
    const facts = await lstat(below(folder, name)).catch(() => undefined);
    // A newline in a name must not make two lines of one.
    const shown = name.replaceAll(/[\x00-\x1f\x7f]/g, "?");
    if (facts) lines.push(listingLine(shown, facts.isDirectory() ? undefined : facts.size));
  }
  return lines.join("");
}
