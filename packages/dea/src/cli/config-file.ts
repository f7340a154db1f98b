import { readFile, stat } from "node:fs/promises";
import { parse } from "yaml";
import { textOf } from "../errors.ts";
import { type FileSettings, honouredKeys, knownKeys } from "./config-keys.ts";
import { UsageError } from "./usage.ts";

export interface ConfigFile {
  settings: FileSettings;
  /** Keys that change nothing, each with the reason. */
  ignored: { key: string; why: string }[];
}

const maxFileBytes = 1024 ** 2;
const isMapping = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);

/** Applies a parsed configuration. Throws UsageError with the path of a key whose value cannot be meant. */
export function settingsOf(document: unknown): ConfigFile {
  const file: ConfigFile = { settings: {}, ignored: [] };
  if (document === null || document === undefined) return file;
  if (!isMapping(document)) throw new UsageError("the configuration must be a mapping of keys to values");
  const visit = (values: Record<string, unknown>, prefix: string): void => {
    for (const [key, value] of Object.entries(values)) {
      const path = prefix + key;
      const apply = Object.hasOwn(honouredKeys, path) ? honouredKeys[path] : undefined;
      // A key without a value is a key that was left out.
      if (apply) value === null || value === undefined ? undefined : apply(file.settings, value, path);
      else if (isMapping(value) && Object.keys(honouredKeys).some((known) => known.startsWith(`${path}.`))) visit(value, `${path}.`);
      else file.ignored.push({ key: path, why: (Object.hasOwn(knownKeys, path) ? knownKeys[path] : undefined) ?? "no such key" });
    }
  };
  visit(document, "");
  return file;
}

/** Reads a DEA's YAML file. Throws UsageError when it cannot be read or meant. */
export async function readConfigFile(path: string): Promise<ConfigFile> {
  try {
    if ((await stat(path)).size > maxFileBytes) throw new UsageError("it is larger than 1 MiB");
    return settingsOf(parse(await readFile(path, "utf8")));
  } catch (error) {
    throw new UsageError(`${path}: ${textOf(error)}`);
  }
}
