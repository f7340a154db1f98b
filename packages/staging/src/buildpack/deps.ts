import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { parse } from "yaml";
import { readInsideOrNothing } from "../read-inside.ts";
import { markerName } from "../script/proc.ts";

/** Zero-padded, so that names sort as numbers: ten buildpacks give `00` to `09` and not `0` to `9`, as the Diego builder pads. */
export const depsIndex = (index: number, count: number): string => String(index).padStart(String(count).length, "0");

/** Folders which a supplied dependency adds to search paths while later buildpacks run. */
const paths: readonly (readonly [folder: string, variables: readonly string[]])[] = [
  ["bin", ["PATH"]],
  ["lib", ["LD_LIBRARY_PATH", "LIBRARY_PATH"]],
  ["include", ["CPATH"]],
  ["pkgconfig", ["PKG_CONFIG_PATH"]],
];

/** What the platform sets stays: a buildpack must not pass for another stack or app. */
const fixed = new Set(["CF_STACK", "VCAP_APPLICATION", "VCAP_SERVICES", "MEMORY_LIMIT", "HOME", "TMPDIR", "PATH", markerName]);

/**
 * The environment for a buildpack that comes after others: `DEPS/IDX/{bin,lib,include,pkgconfig}` before the existing search paths,
 * the later index first, and each file of `DEPS/IDX/env` as a variable, untrimmed. CF's own buildpacks do the same for themselves;
 * small shell buildpacks need not.
 */
export async function suppliedEnvironment(base: Readonly<Record<string, string>>, deps: string, indexes: readonly string[]): Promise<Record<string, string>> {
  const result = { ...base };
  for (const index of indexes) {
    for (const [folder, variables] of paths) {
      const path = join(deps, index, folder);
      if (!(await stat(path).catch(() => undefined))?.isDirectory()) continue;
      for (const name of variables) result[name] = result[name] ? `${path}:${result[name]}` : path;
    }
    for (const name of await readdir(join(deps, index, "env")).catch(() => [])) {
      if (fixed.has(name) || /[=\0]/.test(name)) continue;
      const value = await readInsideOrNothing(deps, join(deps, index, "env", name), 128 * 1024);
      if (value !== undefined && !value.includes("\0")) result[name] = value;
    }
  }
  return result;
}

/** What a buildpack tells about itself in `DEPS/IDX/config.yml`. */
export interface DepsConfig {
  readonly name?: string;
  readonly version?: string;
  readonly entrypointPrefix?: string;
}

/** Reads `config.yml`; a missing or unreadable one says nothing. */
export async function readDepsConfig(deps: string, index: string): Promise<DepsConfig> {
  const text = await readInsideOrNothing(deps, join(deps, index, "config.yml"));
  if (text === undefined) return {};
  try {
    const value = parse(text, { schema: "failsafe" }) as { name?: unknown; version?: unknown; config?: { entrypoint_prefix?: unknown } } | null;
    const prefix = value?.config?.entrypoint_prefix;
    return {
      ...(typeof value?.name === "string" && { name: value.name }),
      ...(typeof value?.version === "string" && { version: value.version }),
      ...(typeof prefix === "string" && { entrypointPrefix: prefix }),
    };
  } catch {
    return {};
  }
}
