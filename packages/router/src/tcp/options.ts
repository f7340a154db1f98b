import type { CertificateSource } from "../edge/certificate.ts";
import { checkTlsOptions, type TlsOptions } from "../edge/tls-options.ts";
import { RouterError } from "../errors.ts";
import { parsePorts, type PortRange } from "./ports.ts";

/** TCP ports on which the router ends TLS: endpoints get what was inside, or TLS of their own where they register a `tlsPort`. */
export interface TcpTlsOptions extends Omit<TlsOptions, "port" | "certificates" | "hostCheck" | "proxyProtocol"> {
  /** Which ports, among those of `tcp.ports`. Default all of them. */
  ports?: string;
  /** What clients are shown, chosen by the name they ask for. Default those of the router's `tls`. */
  certificates?: readonly CertificateSource[];
  /** Protocols offered in the handshake (ALPN, RFC 7301), the preferred one first. Default none: any client is taken. */
  protocols?: readonly string[];
}

/** Routes below HTTP: `tcp:2222` in the table opens port 2222 as long as it has endpoints. */
export interface TcpOptions {
  /** Ports that routes may open, e.g. `2000-2100,5432`. What asks for another one is logged and opens nothing. */
  ports: string;
  /** Interface for them. Default the router's. */
  host?: string;
  /** Client connections at a time on all ports together; beyond that they are closed at once. Default 64 000. */
  maxConnections?: number;
  /** A connection on which neither side has said anything for so long is closed. Default 300 000 ms. */
  idleTimeoutMs?: number;
  /** On ports with routes for names (`tcp:5432/db.example.com`): how long to wait for the client's TLS handshake, which has the name. Default 5 000 ms. */
  serverNameTimeoutMs?: number;
  /** Ports with TLS ended here; several entries for several certificates or rules. Default none: TLS is passed through. */
  tls?: TcpTlsOptions | readonly TcpTlsOptions[];
}

export interface TcpSettings extends Required<Omit<TcpOptions, "ports" | "host" | "tls">> {
  readonly ports: PortRange;
  readonly host: string;
  readonly tls: readonly TcpTlsSettings[];
}

export interface TcpTlsSettings {
  readonly ports: PortRange;
  readonly tls: TlsOptions;
  readonly protocols: readonly string[];
  /** Whether the certificates are the router's, and change with them. */
  readonly shared: boolean;
}

/** @throws {RouterError} ROUTER_BAD_OPTION */
export function resolveTcp(
  { ports, host, maxConnections = 64_000, idleTimeoutMs = 300_000, serverNameTimeoutMs = 5_000, tls = [] }: TcpOptions, router: { readonly host: string; readonly tls: TlsOptions | undefined },
): TcpSettings {
  for (const [name, value] of [["maxConnections", maxConnections], ["idleTimeoutMs", idleTimeoutMs], ["serverNameTimeoutMs", serverNameTimeoutMs]] as const) {
    if (!Number.isInteger(value) || value < 1 || value > 0x7fffffff) throw new RouterError("ROUTER_BAD_OPTION", `tcp.${name}: ${String(value)} is no whole number from 1 on`);
  }
  const range = parsePorts(ports);
  return { ports: range, host: host ?? router.host, maxConnections, idleTimeoutMs, serverNameTimeoutMs, tls: resolveTls([tls].flat(), { text: ports, range }, router.tls) };
}

function resolveTls(entries: readonly TcpTlsOptions[], all: { readonly text: string; readonly range: PortRange }, router: TlsOptions | undefined): TcpTlsSettings[] {
  const taken = new Set<number>();
  return entries.map(({ ports, certificates, protocols = [], ...rest }) => {
    const own = parsePorts(ports ?? all.text, "tcp.tls.ports");
    for (const port of own.list) {
      if (!all.range.has(port)) throw new RouterError("ROUTER_BAD_OPTION", `tcp.tls.ports: ${port} is not among tcp.ports`);
      if (taken.has(port)) throw new RouterError("ROUTER_BAD_OPTION", `tcp.tls.ports: ${port} is in two entries`);
      taken.add(port);
    }
    const shown = certificates ?? router?.certificates;
    if (shown === undefined) throw new RouterError("ROUTER_BAD_OPTION", "tcp.tls.certificates: none, and the router has no tls whose certificates could be taken");
    const tls: TlsOptions = { ...rest, certificates: shown };
    checkTlsOptions(tls);
    return { ports: own, tls, protocols, shared: certificates === undefined };
  });
}
