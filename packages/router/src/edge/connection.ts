import type { Socket } from "node:net";

/** What is known of a client's connection before its first request. */
export interface ConnectionInfo {
  /** Address the client comes from: the peer's, or what its PROXY header says; an IPv4 address in IPv6 clothes is undressed. */
  readonly peerAddress: string;
  readonly peerPort: number;
  /** Both, with brackets where the address is an IPv6 one. */
  readonly peer: string;
  /** Whether it came over TLS. */
  readonly secure: boolean;
  /** Certificate of the client as base64 of its DER form: the body of a PEM without armour. Undefined without a (verified) one. */
  readonly clientCertificate?: string | undefined;
  /** Whether a request for this host may come over this connection; undefined when every host may. */
  readonly serves?: ((host: string) => boolean) | undefined;
}

const key = Symbol("opencf.connection");

type Marked = Partial<Pick<Socket, "remoteAddress" | "remotePort">> & { encrypted?: boolean; [key]?: ConnectionInfo };

/** Says what a connection is; everybody who asks later hears this. */
export function describeConnection(socket: object, info: Omit<ConnectionInfo, "peer">): void {
  (socket as Marked)[key] = withPeer(info);
}

/** What was said of a connection, else what its socket knows. */
export function connectionOf(socket: object): ConnectionInfo {
  const marked = socket as Marked;
  return marked[key] ??= withPeer({ peerAddress: undressed(marked.remoteAddress ?? ""), peerPort: marked.remotePort ?? 0, secure: marked.encrypted === true });
}

/** All in one shape: every request reads it. */
const withPeer = ({ peerAddress, peerPort, secure, clientCertificate, serves }: Omit<ConnectionInfo, "peer">): ConnectionInfo =>
  ({ peerAddress, peerPort, peer: `${peerAddress.includes(":") ? `[${peerAddress}]` : peerAddress}:${peerPort}`, secure, clientCertificate, serves });

/** `::ffff:10.0.0.1` is 10.0.0.1 on a socket that speaks both. */
export const undressed = (address: string): string => (/^::ffff:\d+\.\d+\.\d+\.\d+$/i.test(address) ? address.slice(7) : address);
