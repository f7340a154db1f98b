import { X509Certificate, createPrivateKey } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { RouterError } from "../errors.ts";

/** A certificate with its chain (the leaf first) and its key, as PEM or as files of PEM. */
export type CertificateSource =
  | { readonly cert: string; readonly key: string }
  | { readonly certFile: string; readonly keyFile: string };

/** A certificate that was read and fits its key. */
export interface LoadedCertificate {
  readonly cert: string;
  readonly key: string;
  readonly leaf: X509Certificate;
  /** `rsa`, `ec` …: one of each kind can stand for the same name. */
  readonly keyType: string;
  /** DNS names it stands for, in lower case. */
  readonly names: readonly string[];
}

/** @throws {RouterError} ROUTER_BAD_CERTIFICATE */
export async function loadCertificate(source: CertificateSource): Promise<LoadedCertificate> {
  const label = "certFile" in source ? source.certFile : "certificate given as text";
  const { cert, key } = "certFile" in source ? { cert: await readPem(source.certFile), key: await readPem(source.keyFile) } : source;
  let leaf: X509Certificate;
  let fits: boolean;
  try {
    leaf = new X509Certificate(cert);
    fits = leaf.checkPrivateKey(createPrivateKey(key));
  } catch (cause) {
    throw badCertificate(`${label}: not a certificate and key in PEM form: ${(cause as Error).message}`, cause);
  }
  if (!fits) throw badCertificate(`${label}: the key belongs to another certificate`);
  return { cert, key, leaf, keyType: leaf.publicKey.asymmetricKeyType ?? "", names: namesOf(leaf) };
}

/** @throws {RouterError} ROUTER_BAD_CERTIFICATE */
export async function readPem(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (cause) {
    throw badCertificate(`${file} cannot be read: ${(cause as Error).message}`, cause);
  }
}

/** Changes when one of the files does, replaced or rewritten; a file that is missing counts as a state of its own. */
export async function stateOfFiles(files: readonly string[]): Promise<string> {
  const states = await Promise.all(files.map((file) => stat(file).then(({ ino, size, mtimeMs }) => `${ino}:${size}:${mtimeMs}`, () => "-")));
  return states.join("|");
}

/** The alternative names; a common name does not count (RFC 9525, 6.3). */
const namesOf = ({ subjectAltName = "" }: X509Certificate): string[] =>
  [...subjectAltName.matchAll(/DNS:([^,\s"]+)/g)].map(([, name]) => (name as string).toLowerCase());

export const badCertificate = (message: string, cause?: unknown): RouterError => new RouterError("ROUTER_BAD_CERTIFICATE", message, { cause });
