import { compactVerify, errors, type CryptoKey } from "jose";
import { publicKeyAlgorithms, secretAlgorithms, type PublicKeyAlgorithm } from "./algorithms.ts";
import { UaaError } from "./errors.ts";
import type { KeyCache } from "./keys.ts";

const maxKidChars = 256;

export interface SignatureCheck {
  /** Published keys; absent when only secrets are accepted. */
  keys: KeyCache | undefined;
  algorithms: readonly PublicKeyAlgorithm[];
  secrets: readonly Uint8Array[];
}

/**
 * Checks the signature with the key the issuer published under the token's `kid`, and the algorithm that key allows.
 * `jku`, `jwk`, `x5u` and `x5c` in the header are never looked at; `alg: none` is never accepted.
 * Throws `bad_alg`, `unknown_key`, `bad_signature`, `malformed`, `keys_unavailable`, `aborted`.
 */
export async function checkSignature(token: string, header: Readonly<Record<string, unknown>>, check: SignatureCheck, signal?: AbortSignal): Promise<void> {
  const { alg, kid } = header;
  if (kid !== undefined && typeof kid !== "string") throw new UaaError("malformed", "the token's kid is not a string");
  if (kid !== undefined && kid.length > maxKidChars) throw new UaaError("unknown_key", "the token's kid is too long to be one of ours");
  if (header["crit"] !== undefined || header["b64"] !== undefined) throw new UaaError("malformed", "the token demands extensions that are not understood");
  const secretAlg = secretAlgorithms.find((one) => one === alg);
  if (secretAlg !== undefined && check.secrets.length > 0) {
    await tryEach(token, check.secrets, secretAlg);
    return;
  }
  const publicAlg = publicKeyAlgorithms.find((one) => one === alg);
  if (publicAlg === undefined || check.keys === undefined || !check.algorithms.includes(publicAlg))
    throw new UaaError("bad_alg", `tokens signed with ${typeof alg === "string" ? alg.slice(0, 16) : "no algorithm"} are not accepted`);
  const candidates = await check.keys.find(kid, publicAlg, signal);
  if (candidates.length === 0) throw new UaaError("bad_alg", "the token's algorithm does not belong to its key");
  await tryEach(token, await Promise.all(candidates.map((key) => key.ready(publicAlg))), publicAlg);
}

async function tryEach(token: string, keys: readonly (CryptoKey | Uint8Array)[], alg: string): Promise<void> {
  let last: unknown;
  for (const key of keys) {
    try {
      await compactVerify(token, key, { algorithms: [alg] });
      return;
    } catch (cause) {
      last = cause;
      if (!(cause instanceof errors.JWSSignatureVerificationFailed)) break;
    }
  }
  if (last instanceof errors.JWSInvalid || last instanceof errors.JOSENotSupported) throw new UaaError("malformed", "the token is no valid signed token", { cause: last });
  throw new UaaError("bad_signature", "the token's signature is wrong", { cause: last });
}
