import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { DeaError } from "../errors.ts";

/** Where a droplet comes from, and what it must hash to. */
export interface DropletSource {
  /** Path of a local `.tgz` or `.tar`; nothing is copied. */
  path?: string;
  /** http or https URL. May carry a signature or credentials: it is never logged. */
  url?: string;
  /** Hex digests; every one given must match. */
  sha1?: string;
  sha256?: string;
}

export interface Digests {
  sha1: string;
  sha256: string;
  bytes: number;
}

/** A string is a URL when it starts with http:// or https://, else a path. Throws DEA_INVALID_SPEC. */
export function dropletSource(given: string | DropletSource): DropletSource {
  const source = typeof given === "string" ? (/^https?:\/\//i.test(given) ? { url: given } : { path: given }) : { ...given };
  if ((source.path === undefined) === (source.url === undefined)) {
    throw new DeaError("DEA_INVALID_SPEC", "a droplet is given by a path or by a url, one of the two");
  }
  if (source.url !== undefined && !URL.canParse(source.url)) throw new DeaError("DEA_INVALID_SPEC", "the droplet's url is not a URL");
  for (const [name, length] of [["sha1", 40], ["sha256", 64]] as const) {
    const digest = source[name]?.toLowerCase();
    if (digest === undefined) continue;
    if (digest.length !== length || !/^[0-9a-f]+$/.test(digest)) throw new DeaError("DEA_INVALID_SPEC", `${name} is not ${length} hex digits`);
    source[name] = digest;
  }
  return source;
}

/** A name for logs that gives nothing away: the host of a URL, the path of a file. */
export const sourceName = (source: DropletSource): string => source.path ?? `a file at ${new URL(source.url ?? "http://?").host}`;

/** Key in the cache: the strongest digest that is known beforehand. */
export const cacheKey = (source: DropletSource): string | undefined =>
  source.sha256 ? `sha256-${source.sha256}` : source.sha1 ? `sha1-${source.sha1}` : undefined;

export interface Digester {
  update(chunk: Uint8Array): void;
  digests(): Digests;
}

export function createDigester(): Digester {
  const hashes: Record<"sha1" | "sha256", Hash> = { sha1: createHash("sha1"), sha256: createHash("sha256") };
  let bytes = 0;
  return {
    update(chunk) {
      bytes += chunk.length;
      hashes.sha1.update(chunk);
      hashes.sha256.update(chunk);
    },
    digests: () => ({ sha1: hashes.sha1.digest("hex"), sha256: hashes.sha256.digest("hex"), bytes }),
  };
}

export async function digestFile(path: string, signal?: AbortSignal): Promise<Digests> {
  const digester = createDigester();
  for await (const chunk of createReadStream(path, { signal, highWaterMark: 256 * 1024 })) digester.update(chunk as Buffer);
  return digester.digests();
}

/** Throws DEA_DROPLET_MISMATCH when a digest that was asked for is another one. */
export function checkDigests(source: DropletSource, found: Digests): void {
  for (const name of ["sha256", "sha1"] as const) {
    const wanted = source[name];
    if (wanted !== undefined && wanted !== found[name]) {
      throw new DeaError("DEA_DROPLET_MISMATCH", `${sourceName(source)}: ${name} is ${found[name]}, not ${wanted}`);
    }
  }
}
