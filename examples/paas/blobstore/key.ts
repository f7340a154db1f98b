import { BlobError } from "./errors.ts";

const segment = /^[A-Za-z0-9_~-][A-Za-z0-9._~-]*$/;
const sha1Pattern = /^[0-9a-f]{40}$/;

/**
 * Checks a key such as `packages/<guid>` or `buildpack_cache/<app>/<stack>`: one to eight parts joined by `/`,
 * each of letters, digits and `. _ ~ -`, not starting with a dot, 200 characters in all.
 * Nothing that could leave a folder or hide in it gets through.
 * @throws BlobError BLOB_KEY_INVALID
 */
export function checkKey(key: string): string {
  const parts = key.split("/");
  if (key.length > 200 || parts.length > 8 || !parts.every((part) => segment.test(part)))
    throw new BlobError("BLOB_KEY_INVALID", `Not a blob key: ${JSON.stringify(key.slice(0, 80))}`);
  return key;
}

/** Checks the lower-case hexadecimal SHA-1 that names a resource of the pool. */
export function checkSha1(sha1: string): string {
  if (!sha1Pattern.test(sha1)) throw new BlobError("BLOB_KEY_INVALID", "Not a SHA-1 digest");
  return sha1;
}

/** A key as the name of one file: `/` is the only sign that needs hiding. */
export const fileNameOf = (key: string): string => key.replaceAll("/", "%2F");
