import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ListEntry } from "./container.ts";

type Labels = Readonly<Record<string, string>>;

/** Keeps a container's labels in its folder, where `list` finds them after a restart too. */
export const writeLabels = (dir: string, labels: Labels = {}): Promise<void> => writeFile(join(dir, "labels.json"), JSON.stringify(labels), { mode: 0o600 });

export async function readLabels(dir: string): Promise<Labels> {
  try {
    const value: unknown = JSON.parse(await readFile(join(dir, "labels.json"), "utf8"));
    return typeof value === "object" && value !== null ? (value as Labels) : {};
  } catch {
    return {};
  }
}

/** The containers whose folders are in `dir` and that carry all the wanted labels, by handle. */
export async function listLabelled(dir: string, wanted: Labels = {}): Promise<ListEntry[]> {
  const found = await Promise.all((await readdir(dir)).sort().map(async (handle) => ({ handle, labels: await readLabels(join(dir, handle)) })));
  return found.filter(({ labels }) => Object.entries(wanted).every(([name, value]) => labels[name] === value));
}
