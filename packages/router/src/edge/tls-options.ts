import { constants } from "node:crypto";
import type { SecureContextOptions } from "node:tls";
import { rootCertificates } from "node:tls";
import { RouterError } from "../errors.ts";
import { badCertificate, loadCertificate, readPem, type CertificateSource, type LoadedCertificate } from "./certificate.ts";
import { strayRule, type ClientSubjectRule } from "./client-subjects.ts";
import { proxyProtocols, type ProxyProtocol } from "./proxy-protocol.ts";

/** Whether clients are asked for certificates, and whether they may go without. One that is shown must be good in both cases. */
export const clientCertificateModes = ["none", "request", "require"] as const;
export type ClientCertificateMode = (typeof clientCertificateModes)[number];

export const tlsVersions = ["TLSv1.2", "TLSv1.3"] as const;
export type TlsVersion = (typeof tlsVersions)[number];

/** A port for HTTPS. */
export interface TlsOptions {
  /** Port for HTTPS. Default 8443; 0 = any free one. */
  port?: number;
  /** At least one. The name a client asks for (SNI) chooses: exact names before wildcards; the first one serves everybody else. */
  certificates: readonly CertificateSource[];
  /** How often files of certificates are looked at for changes. Default 5 000 ms; 0 = never, only at `router.reloadTls()`. */
  watchMs?: number;
  /** Whether clients are asked for certificates: `none`; `request`, where one may be shown and must be good then; `require`. Default `none`. */
  clientCertificates?: ClientCertificateMode;
  /** Authorities of client certificates, PEM. */
  clientCa?: string | readonly string[];
  /** A file with more of them, watched like the certificates. */
  clientCaFile?: string;
  /** Whether the public authorities may vouch for clients as well. Default false: only those named here. */
  publicClientCa?: boolean;
  /** Which subjects an authority may vouch for. Default: whichever it has signed. */
  clientSubjects?: readonly ClientSubjectRule[];
  /** The oldest version of TLS spoken. Default `TLSv1.2`. */
  minVersion?: TlsVersion;
  /** The newest. Default `TLSv1.3`. */
  maxVersion?: TlsVersion;
  /** List in OpenSSL's form; names of TLS 1.3 suites may be in it. Default Node's. */
  ciphers?: string;
  /** For a client to finish its handshake. Default 10 000 ms. */
  handshakeTimeoutMs?: number;
  /**
   * A request whose `Host` the certificate does not stand for, over a connection that asked for another name, is answered 421:
   * `certificate`. Default `certificate`; `off` lets it pass. Connections that asked for no name are not checked.
   */
  hostCheck?: "certificate" | "off";
  /** Whether connections begin with a PROXY header, before TLS. Default the router's `proxyProtocol`. */
  proxyProtocol?: ProxyProtocol;
}

/** What the files hold at this moment. */
export interface TlsMaterial {
  readonly certificates: readonly LoadedCertificate[];
  readonly common: SecureContextOptions;
}

/** @throws {RouterError} ROUTER_BAD_OPTION */
export function checkTlsOptions(options: TlsOptions): void {
  const { port = 8_443, certificates, watchMs = 0, handshakeTimeoutMs = 1, clientCertificates = "none", minVersion = "TLSv1.2", maxVersion = "TLSv1.3", proxyProtocol = "off", hostCheck = "off" } = options;
  const bad = (message: string): RouterError => new RouterError("ROUTER_BAD_OPTION", `tls: ${message}`);
  const oneOf = (name: string, value: string, list: readonly string[]): void => { if (!list.includes(value)) throw bad(`${name} ${JSON.stringify(value)}: expected one of ${list.join(", ")}`); };
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw bad(`port ${port}: expected a number from 0 to 65535`);
  if (!Array.isArray(certificates) || certificates.length === 0) throw bad("certificates: at least one is needed");
  for (const [name, value, least] of [["watchMs", watchMs, 0], ["handshakeTimeoutMs", handshakeTimeoutMs, 1]] as const) {
    if (!Number.isInteger(value) || value < least || value > 0x7fffffff) throw bad(`${name}: ${value} is no whole number from ${least} on`);
  }
  oneOf("clientCertificates", clientCertificates, clientCertificateModes);
  oneOf("minVersion", minVersion, tlsVersions);
  oneOf("maxVersion", maxVersion, tlsVersions);
  oneOf("proxyProtocol", proxyProtocol, proxyProtocols);
  oneOf("hostCheck", hostCheck, ["certificate", "off"]);
  if (minVersion > maxVersion) throw bad(`minVersion ${minVersion} is above maxVersion ${maxVersion}`);
  if (clientCertificates !== "none" && options.clientCa === undefined && options.clientCaFile === undefined && options.publicClientCa !== true) {
    throw bad("client certificates are asked for, but nobody may vouch for them: give clientCa, clientCaFile or publicClientCa");
  }
}

/** Reads certificates and authorities. @throws {RouterError} ROUTER_BAD_CERTIFICATE */
export async function loadTlsMaterial(options: TlsOptions): Promise<TlsMaterial> {
  const { clientCertificates = "none", clientCa = [], clientCaFile, publicClientCa = false, clientSubjects = [], minVersion = "TLSv1.2", maxVersion = "TLSv1.3", ciphers } = options;
  const certificates = await Promise.all(options.certificates.map(loadCertificate));
  const asked = clientCertificates !== "none";
  const named = asked ? [clientCa, clientCaFile === undefined ? [] : await readPem(clientCaFile)].flat() : [];
  const stray = strayRule(clientSubjects, named);
  if (stray !== undefined) throw badCertificate(`clientSubjects: ${JSON.stringify(stray.issuer)} is none of the authorities of client certificates`);
  const ca = asked ? [...named, ...(publicClientCa ? rootCertificates : [])] : undefined;
  return {
    certificates,
    common: {
      minVersion, maxVersion, honorCipherOrder: true,
      ...(ciphers === undefined ? {} : { ciphers }), ...(ca === undefined ? {} : { ca }),
      // A resumed session would carry a client past the check of its certificate.
      ...(asked ? { secureOptions: constants.SSL_OP_NO_TICKET } : {}),
    },
  };
}

/** The files to be watched. */
export const filesOf = ({ certificates, clientCaFile }: TlsOptions): string[] =>
  [...certificates.flatMap((source) => ("certFile" in source ? [source.certFile, source.keyFile] : [])), ...(clientCaFile === undefined ? [] : [clientCaFile])];
