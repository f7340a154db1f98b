import { createSecureContext, type SecureContext, type SecureContextOptions } from "node:tls";
import { badCertificate, type LoadedCertificate } from "./certificate.ts";

/** What a client is shown. */
export interface Presented {
  readonly context: SecureContext;
  /** Whether one of the certificates shown stands for this name. */
  covers(name: string): boolean;
}

/** Certificates by the name a client asks for. */
export interface CertificateStore {
  /** By exact name, else by wildcard, else the first certificate. */
  select(serverName: string | undefined): Presented;
  /** What goes to clients that ask for no name. */
  readonly options: SecureContextOptions;
}

/**
 * Several certificates for one name stand side by side when their keys are of different kinds, so that a client gets the kind it
 * knows; of the same kind the first one counts.
 * @throws {RouterError} ROUTER_BAD_CERTIFICATE
 */
export function createCertificateStore(certificates: readonly LoadedCertificate[], common: SecureContextOptions): CertificateStore {
  const first = certificates[0];
  if (first === undefined) throw badCertificate("no certificate given");
  const byName = new Map<string, LoadedCertificate[]>();
  for (const certificate of certificates) {
    for (const name of certificate.names) {
      const held = byName.get(name) ?? [];
      if (!held.some(({ keyType }) => keyType === certificate.keyType)) byName.set(name, [...held, certificate]);
    }
  }
  const optionsOf = (shown: readonly LoadedCertificate[]): SecureContextOptions =>
    ({ ...common, cert: shown.map(({ cert }) => cert), key: shown.map(({ key }) => key) });
  const made = new Map<string, Presented>();
  const presentedOf = (shown: readonly LoadedCertificate[]): Presented => {
    const id = shown.map((certificate) => certificates.indexOf(certificate)).join();
    let presented = made.get(id);
    if (presented === undefined) {
      presented = { context: contextOf(optionsOf(shown)), covers: (name) => shown.some(({ leaf }) => leaf.checkHost(name, { subject: "never" }) !== undefined) };
      made.set(id, presented);
    }
    return presented;
  };
  // All are made at once: what does not work must show now and not at the first client.
  const presented = new Map([...byName].map(([name, shown]) => [name, presentedOf(shown)]));
  const standard = presentedOf([first]);
  return {
    select(serverName) {
      if (serverName === undefined) return standard;
      const name = serverName.toLowerCase();
      return presented.get(name) ?? presented.get(name.replace(/^[^.]+/, "*")) ?? standard;
    },
    options: optionsOf([first]),
  };
}

function contextOf(options: SecureContextOptions): SecureContext {
  try {
    return createSecureContext(options);
  } catch (cause) {
    throw badCertificate(`no TLS can be spoken with these certificates, versions and ciphers: ${(cause as Error).message}`, cause);
  }
}
