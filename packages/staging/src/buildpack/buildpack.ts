import { access, constants, stat } from "node:fs/promises";
import { join } from "node:path";
import { createHash } from "node:crypto";
import { parse } from "yaml";
import { readInsideOrNothing } from "../read-inside.ts";

/** A buildpack that lies in a folder, ready to run. */
export interface Buildpack {
  /** What identifies it: its key in the catalog, its URL without credentials, or its path. */
  readonly key: string;
  /** How it is shown to people: name, masked URL or path. */
  readonly label: string;
  /** Folder with `bin/`. */
  readonly path: string;
  /** Content of its `VERSION` file. */
  readonly version: string | undefined;
  /** Stack which its `manifest.yml` asks for. */
  readonly stack: string | undefined;
}

/** The programs of a buildpack. */
export type ScriptName = "detect" | "supply" | "finalize" | "compile" | "release";

export const scriptPath = ({ path }: Buildpack, name: ScriptName): string => join(path, "bin", name);

export const hasScript = (buildpack: Buildpack, name: ScriptName): Promise<boolean> =>
  stat(scriptPath(buildpack, name)).then((status) => status.isFile(), () => false);

export const isRunnable = (buildpack: Buildpack, name: ScriptName): Promise<boolean> =>
  access(scriptPath(buildpack, name), constants.X_OK).then(() => true, () => false);

/** Reads what a buildpack says about itself. */
export async function describeBuildpack(key: string, label: string, path: string): Promise<Buildpack> {
  const version = (await readInsideOrNothing(path, join(path, "VERSION")))?.trim().split("\n")[0];
  const manifest = await readInsideOrNothing(path, join(path, "manifest.yml"));
  let stack: string | undefined;
  try {
    const value: unknown = manifest === undefined ? undefined : parse(manifest);
    const found = (value as { stack?: unknown } | null | undefined)?.stack;
    if (typeof found === "string" && found !== "") stack = found;
  } catch {
    // A manifest is the buildpack's own business; only its stack concerns us.
  }
  return { key, label, path, version: version || undefined, stack };
}

/** A name for a folder that stands for a text. */
export const folderName = (text: string): string => createHash("sha256").update(text).digest("hex").slice(0, 16);

/** Name of a buildpack's own folder inside a cache. The query of a URL does not count: a signed link differs each time. */
export const cacheName = (key: string): string => folderName(key.replace(/\?.*$/s, ""));
