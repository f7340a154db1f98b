import { isIP } from "node:net";
import { checkServerIdentity, type PeerCertificate } from "node:tls";
import type { ConnectionOptions } from "nats";
import { BusError } from "../errors.ts";
import type { NatsTlsOptions } from "./options.ts";
import { textOrFile } from "./text-or-file.ts";

/**
 * TLS settings in the client's words. The client reads them anew for every connection, hence the getters.
 * @param servers `host:port` as they were given; a server that the cluster told of may have the name of any of them
 * @param dialled `host:port` that is being dialled, where it is known
 * @throws BusError `BUS_CONNECT_FAILED` for a file that cannot be read
 */
export function tlsFor({ ca, cert, key, serverName, handshakeFirst }: NatsTlsOptions, servers: readonly string[], dialled: () => string | undefined): NonNullable<ConnectionOptions["tls"]> {
  const hosts = (): string[] => (serverName === undefined ? [dialled(), ...servers].filter((each) => each !== undefined).map(hostOf) : [serverName]);
  const tls = {
    ...(handshakeFirst === true && { handshakeFirst }),
    // The client gives Node neither a name to ask for nor one to compare with when it is told not to resolve names itself.
    get servername() {
      return hosts().find((host) => isIP(host) === 0) ?? "";
    },
    checkServerIdentity(_: string, certificate: PeerCertificate): Error | undefined {
      const faults = hosts().map((host) => checkServerIdentity(host, certificate));
      return faults.includes(undefined) ? undefined : faults[0];
    },
  };
  for (const [name, value] of Object.entries({ ca, cert, key }))
    if (value !== undefined) Object.defineProperty(tls, name, { enumerable: true, get: pem(name, value) });
  return tls;
}

function pem(name: string, given: string): () => string {
  const read = textOrFile(given, (text) => text.includes("-----BEGIN"));
  try {
    read();
  } catch (cause) {
    throw new BusError("BUS_CONNECT_FAILED", `tls.${name} cannot be read: a PEM text or the path of a file is needed`, { cause });
  }
  return read;
}

const hostOf = (server: string): string => server.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1");
