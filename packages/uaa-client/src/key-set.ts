import { importJWK, importSPKI, type CryptoKey, type JWK } from "jose";
import { algorithmsOf, type PublicKeyAlgorithm } from "./algorithms.ts";
import { isRecord } from "./http.ts";
import type { Logger } from "./ports.ts";

/** One published key that can verify signatures. */
export interface VerifyKey {
  readonly kid: string | undefined;
  readonly algorithms: readonly PublicKeyAlgorithm[];
  /** The key made ready for one algorithm; made once. */
  ready(alg: PublicKeyAlgorithm): Promise<CryptoKey>;
}

export interface KeySet {
  /** Keys that may have signed a token with this header: same `kid`, or every key of the type when the token names none. */
  candidates(kid: string | undefined, alg: PublicKeyAlgorithm): readonly VerifyKey[];
  /** Is there a key of that name, whatever its type? */
  has(kid: string): boolean;
  readonly size: number;
}

/** A set with more entries is cut: no issuer has as many, and each costs memory and, without a `kid`, a check. */
const maxKeys = 64;

/** How many keys are tried for one token, at most. */
const maxTries = 8;

/**
 * Reads a JWKS document (RFC 7517) or UAA's variant of it (PEM in `value`).
 * Entries of no use here (`kty: "MAC"`, encryption keys, unknown curves, RSA below 2 048 bits) are skipped with a
 * debug line. `undefined` when the document is no key set or holds no usable key.
 */
export async function readKeySet(document: unknown, log: Logger): Promise<KeySet | undefined> {
  if (!isRecord(document) || !Array.isArray(document["keys"])) return undefined;
  const keys: VerifyKey[] = [];
  for (const entry of document["keys"].slice(0, maxKeys)) {
    const key = isRecord(entry) ? await readKey(entry) : "not an object";
    if (typeof key === "string") log.debug?.("uaa.key.skipped", { kid: isRecord(entry) ? entry["kid"] : undefined, reason: key });
    else keys.push(key);
  }
  return keys.length === 0 ? undefined : keySetOf(keys);
}

function keySetOf(keys: readonly VerifyKey[]): KeySet {
  return {
    candidates: (kid, alg) =>
      keys.filter((key) => key.algorithms.includes(alg) && (kid === undefined || key.kid === kid)).slice(0, maxTries),
    has: (kid) => keys.some((key) => key.kid === kid),
    size: keys.length,
  };
}

async function readKey(entry: Record<string, unknown>): Promise<VerifyKey | string> {
  const algorithms = algorithmsOf(entry);
  const first = algorithms[0];
  if (first === undefined) return `cannot verify with kty ${String(entry["kty"])}`;
  const made = new Map<PublicKeyAlgorithm, Promise<CryptoKey>>();
  const ready = (alg: PublicKeyAlgorithm): Promise<CryptoKey> => {
    const known = made.get(alg) ?? importKey(entry, alg);
    made.set(alg, known);
    return known;
  };
  try {
    const key = await ready(first);
    const bits = (key.algorithm as { modulusLength?: number }).modulusLength ?? Infinity;
    if (bits < 2048) return `RSA key of ${bits} bits`;
  } catch {
    return "cannot be imported";
  }
  return { kid: typeof entry["kid"] === "string" ? entry["kid"] : undefined, algorithms, ready };
}

/** Only the public members are taken, so that a document that leaks private ones still imports, and as a public key. */
async function importKey(entry: Record<string, unknown>, alg: PublicKeyAlgorithm): Promise<CryptoKey> {
  const { kty, crv, n, e, x, y, value } = entry;
  if (kty === "RSA" && n === undefined && typeof value === "string") return importSPKI(value, alg);
  const bare = JSON.parse(JSON.stringify({ kty, crv, n, e, x, y })) as JWK;
  const key = await importJWK(bare, alg);
  if (key instanceof Uint8Array) throw new TypeError("not a public key");
  return key;
}
