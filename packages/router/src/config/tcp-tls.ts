import { clientCertificateModes } from "../edge/tls-options.ts";
import type { TcpTlsOptions } from "../tcp/options.ts";
import { BadValue, filled, oneOf, oneOrMore, shape } from "./value.ts";

interface Entry { ports?: string | number; cert_file?: string; key_file?: string; client_certificates?: "none" | "request" | "require"; client_ca_file?: string }

const entry = shape<Entry>({
  ports: (value) => (typeof value === "number" ? String(value) : filled(value)), cert_file: filled, key_file: filled, client_certificates: oneOf(...clientCertificateModes), client_ca_file: filled,
}, ["ports", "cert_file", "key_file", "client_certificates", "client_ca_file"]);

/** `tcp_tls` of a file with routes: TCP ports on which TLS ends. Without files of its own an entry shows the certificates of `tls_pem`. @throws {BadValue} */
export function tcpTlsOf(value: unknown): TcpTlsOptions[] {
  return oneOrMore(entry)(value).map(({ ports, cert_file: certFile, key_file: keyFile, client_certificates: clientCertificates, client_ca_file: clientCaFile }, at) => {
    if ((certFile === undefined) !== (keyFile === undefined)) throw new BadValue("cert_file and key_file, or neither", `[${at}]`);
    return {
      ...(ports === undefined ? {} : { ports: String(ports) }), ...(certFile === undefined || keyFile === undefined ? {} : { certificates: [{ certFile, keyFile }] }),
      ...(clientCertificates === undefined ? {} : { clientCertificates }), ...(clientCaFile === undefined ? {} : { clientCaFile }),
    };
  });
}
