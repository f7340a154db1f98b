import { X509Certificate } from "node:crypto";
import type { DetailedPeerCertificate } from "node:tls";

/** A distinguished name: attributes by their short names (`CN`, `O`, `OU` …), a list where one stands several times. */
export type DistinguishedName = Readonly<Record<string, string | readonly string[]>>;

/** Which clients an authority may vouch for: where `issuer` is in the chain, the client's subject must be one of `subjects`, attribute by attribute (gorouter `verify_client_certificate_metadata`). */
export interface ClientSubjectRule {
  readonly issuer: DistinguishedName;
  readonly subjects: readonly DistinguishedName[];
}

/** One text for each name, whatever the order of its attributes. */
const textOf = (name: DistinguishedName): string =>
  JSON.stringify(Object.entries(name).map(([key, value]) => [key, [value].flat().sort()] as const).sort(([one], [other]) => (one < other ? -1 : 1)));

/** Whether every rule that concerns this chain is kept. `leaf`: as `getPeerCertificate(true)` gives it. */
export function keepsRules(leaf: DetailedPeerCertificate, rules: readonly ClientSubjectRule[]): boolean {
  const issuers = new Set<string>();
  for (let at: DetailedPeerCertificate | undefined = leaf, depth = 0; at !== undefined && depth < 16; depth += 1) {
    issuers.add(textOf(at.issuer as unknown as DistinguishedName));
    at = at.issuerCertificate === at ? undefined : at.issuerCertificate;
  }
  const subject = textOf(leaf.subject as unknown as DistinguishedName);
  return rules.every(({ issuer, subjects }) => !issuers.has(textOf(issuer)) || subjects.some((one) => textOf(one) === subject));
}

/** The first rule for an authority that is none of these: it could never be kept or broken. */
export function strayRule(rules: readonly ClientSubjectRule[], authorities: readonly string[]): ClientSubjectRule | undefined {
  const known = new Set(authorities.flatMap((pem) => pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [])
    .map((pem) => textOf(new X509Certificate(pem).toLegacyObject().subject as unknown as DistinguishedName)));
  return rules.find(({ issuer }) => !known.has(textOf(issuer)));
}
