import { createHash, timingSafeEqual, type Hash } from "node:crypto";
import { BlobError } from "./errors.ts";

/** Algorithm names of the `Content-Digest` field (RFC 9530) and what Node calls them. */
const algorithms: Readonly<Record<string, string>> = { "sha-512": "sha512", "sha-256": "sha256", sha: "sha1" };

export interface ExpectedDigest {
  algorithm: string;
  value: Buffer;
}

/**
 * Reads `Content-Digest: sha-256=:<base64>:` (also `sha-512` and the old `sha`), or `Content-MD5`.
 * Unknown algorithms are passed over, as the RFC wants.
 * @throws BlobError BLOB_REQUEST_INVALID when a known algorithm has an unreadable value
 */
export function parseContentDigest(contentDigest: string | undefined, contentMd5?: string): ExpectedDigest[] {
  const found: ExpectedDigest[] = [];
  for (const member of (contentDigest ?? "").split(",")) {
    const name = member.split("=", 1)[0]?.trim().toLowerCase() ?? "";
    const algorithm = algorithms[name];
    if (!algorithm) continue;
    const encoded = /^[^=]+=\s*:([A-Za-z0-9+/]+={0,2}):/.exec(member)?.[1];
    found.push({ algorithm, value: decode(encoded, algorithm) });
  }
  if (contentMd5 !== undefined) found.push({ algorithm: "md5", value: decode(contentMd5.trim(), "md5") });
  return found;
}

function decode(encoded: string | undefined, algorithm: string): Buffer {
  const value = Buffer.from(encoded ?? "", "base64");
  if (value.length !== createHash(algorithm).digest().length)
    throw new BlobError("BLOB_REQUEST_INVALID", `Unreadable ${algorithm} digest`);
  return value;
}

export const contentDigestOf = (sha256: string): string =>
  `sha-256=:${Buffer.from(sha256, "hex").toString("base64")}:`;

export interface Digests {
  update(chunk: Uint8Array): void;
  /** Hexadecimal digests, once everything has gone through. Throws BLOB_DIGEST_MISMATCH when an expectation failed. */
  finish(): { sha1: string; sha256: string };
}

/** SHA-1 and SHA-256 in one pass, plus whatever else the sender announced. */
export function createDigests(expected: readonly ExpectedDigest[] = []): Digests {
  const hashes = new Map<string, Hash>();
  for (const algorithm of ["sha1", "sha256", ...expected.map((one) => one.algorithm)])
    if (!hashes.has(algorithm)) hashes.set(algorithm, createHash(algorithm));
  return {
    update(chunk) {
      for (const hash of hashes.values()) hash.update(chunk);
    },
    finish() {
      const values = new Map([...hashes].map(([algorithm, hash]) => [algorithm, hash.digest()]));
      for (const { algorithm, value } of expected)
        if (!timingSafeEqual(values.get(algorithm) ?? Buffer.alloc(value.length), value))
          throw new BlobError("BLOB_DIGEST_MISMATCH", `The content does not have the announced ${algorithm} digest`);
      const hex = (algorithm: string) => (values.get(algorithm) ?? Buffer.alloc(0)).toString("hex");
      return { sha1: hex("sha1"), sha256: hex("sha256") };
    },
  };
}
