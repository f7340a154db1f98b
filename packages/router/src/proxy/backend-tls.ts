import { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import type { ConnectionOptions, PeerCertificate } from "node:tls";
import type { Backend } from "../endpoint.ts";
import { trustOf } from "../trust.ts";
import type { ProxySettings } from "./settings.ts";

/**
 * Whom an address must prove to be, and how: the instance it was registered as, never the `Host` of a request, which is the same
 * for all instances and says nothing about which one answers. Alternative names count, a common name does not (RFC 9525, 6.3; gorouter).
 */
export function backendTls(backend: Backend, settings: ProxySettings): ConnectionOptions {
  const { serverName, host } = backend;
  const expected = serverName || host;
  const trust = trustOf(backend) ?? settings.backendTls;
  return {
    ...trust as ConnectionOptions,
    // A name may be asked for, an address must not be (RFC 6066, 3).
    servername: isIP(expected) === 0 ? expected : "",
    checkServerIdentity: (_: string, certificate: PeerCertificate) => mismatch(expected, certificate),
  };
}

function mismatch(expected: string, { raw }: PeerCertificate): Error | undefined {
  const certificate = new X509Certificate(raw);
  const fits = isIP(expected) === 0 ? certificate.checkHost(expected, { subject: "never" }) : certificate.checkIP(expected);
  return fits !== undefined ? undefined : Object.assign(new Error("the certificate is another's"), { code: "ERR_TLS_CERT_ALTNAME_INVALID" });
}
