import { BitsProblem } from "./problem.ts";
import { plainPath } from "./paths.ts";

/** A file that need not be uploaded, because the platform has its content. */
export interface Resource {
  path: string;
  sha1: string;
  sizeBytes: number;
  /** Permission bits, at most 0777. */
  mode: number;
}

/** Sizes (inclusive) and least mode of what goes into the pool. */
export interface PoolRule {
  minBytes: number;
  maxBytes: number;
}
export const defaultPoolRule: PoolRule = { minBytes: 1, maxBytes: 512 * 1024 * 1024 };

const maxResources = 100_000;

/**
 * Reads the `resources` part of an upload: a JSON list in the form of v3 (`path`, `size_in_bytes`, `checksum.value`,
 * `mode`) or v2 (`fn`, `size`, `sha1`, `mode`).
 * @throws BitsProblem for a path that leaves the app or a mode its owner could not read and write
 */
export function readResources(list: unknown): Resource[] | undefined {
  if (!Array.isArray(list) || list.length > maxResources) return undefined;
  const resources: Resource[] = [];
  for (const item of list as unknown[]) {
    if (typeof item !== "object" || item === null) return undefined;
    const { path, fn, size_in_bytes: sizeInBytes, size, checksum, sha1, mode } = item as Record<string, unknown>;
    const name = path ?? fn;
    const bytes = sizeInBytes ?? size ?? 0;
    const digest = (checksum as { value?: unknown } | undefined)?.value ?? sha1;
    if (typeof name !== "string" || typeof digest !== "string" || !Number.isSafeInteger(bytes) || (bytes as number) < 0) return undefined;
    if (!/^[0-9a-f]{40}$/i.test(digest)) return undefined;
    const plain = plainPath(name);
    if (plain === undefined || plain === "" || plain.endsWith("/")) throw new BitsProblem("AppResourcesFilePathInvalid", `'${name.slice(0, 200)}' is not safe`);
    resources.push({ path: plain, sha1: digest.toLowerCase(), sizeBytes: bytes as number, mode: readMode(mode, plain) });
  }
  return resources;
}

function readMode(mode: unknown, path: string): number {
  if (mode === undefined || mode === null || mode === "") return 0o744;
  const bits = octal(mode);
  if (bits === undefined || (bits & 0o600) !== 0o600) throw new BitsProblem("AppResourcesFileModeInvalid", `'${String(mode).slice(0, 20)}' of '${path.slice(0, 200)}' is not readable and writable by its owner`);
  return bits;
}

/** Permission bits of an octal text; the extra type bits that the command line prints for special files are cut off. */
export function octal(mode: unknown): number | undefined {
  if (typeof mode !== "string" || !/^[0-7]{1,12}$/.test(mode)) return undefined;
  return Number.parseInt(mode, 8) & 0o777;
}

/** An entry of a resource match, judged by its own words alone. */
export interface MatchCandidate {
  sha1: string;
  sizeBytes: number;
  mode: number | undefined;
}

/**
 * Which candidates may be looked up. Content is matched all or nothing: when one entry of a checksum cannot be used
 * (its mode is missing or too small), none is, since clients upload by checksum and would send neither.
 */
export function matchable(candidates: readonly MatchCandidate[], rule: PoolRule = defaultPoolRule): Set<string> {
  const good = new Set<string>();
  const bad = new Set<string>();
  for (const { sha1, sizeBytes, mode } of candidates) {
    const usable = sizeBytes >= rule.minBytes && sizeBytes <= rule.maxBytes && mode !== undefined && (mode & 0o600) === 0o600;
    (usable ? good : bad).add(sha1);
  }
  for (const sha1 of bad) good.delete(sha1);
  return good;
}
