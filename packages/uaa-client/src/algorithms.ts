/** Signature algorithms this package accepts with public keys (RFC 7518, RFC 8037). */
export const publicKeyAlgorithms = [
  "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519",
] as const;

/** Algorithms accepted with a shared secret, and only when a secret was handed in. */
export const secretAlgorithms = ["HS256", "HS384", "HS512"] as const;

export type PublicKeyAlgorithm = (typeof publicKeyAlgorithms)[number];

const rsa: readonly PublicKeyAlgorithm[] = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];
const byCurve: Readonly<Record<string, readonly PublicKeyAlgorithm[]>> = {
  "P-256": ["ES256"],
  "P-384": ["ES384"],
  "P-521": ["ES512"],
  Ed25519: ["EdDSA", "Ed25519"],
};

/**
 * The algorithms a published key may be used with. The key decides, never the token: its `alg` when that is
 * a name we know (old UAAs write Java's names there, which say nothing), else what its type allows.
 * Empty for keys that cannot verify a signature with a public key (`MAC`, `oct`, encryption keys).
 */
export function algorithmsOf(key: { kty?: unknown; crv?: unknown; alg?: unknown; use?: unknown }): readonly PublicKeyAlgorithm[] {
  if (key.use !== undefined && key.use !== "sig") return [];
  const possible = key.kty === "RSA" ? rsa : typeof key.crv === "string" && (key.kty === "EC" || key.kty === "OKP") ? (byCurve[key.crv] ?? []) : [];
  const named = publicKeyAlgorithms.find((alg) => alg === key.alg);
  if (named === undefined) return possible;
  const same = named === "EdDSA" || named === "Ed25519" ? ["EdDSA", "Ed25519"] : [named];
  return possible.filter((alg) => same.includes(alg));
}
