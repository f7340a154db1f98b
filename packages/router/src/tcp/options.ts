import { RouterError } from "../errors.ts";
import { parsePorts, type PortRange } from "./ports.ts";

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
}

export interface TcpSettings extends Required<Omit<TcpOptions, "ports" | "host">> {
  readonly ports: PortRange;
  readonly host: string;
}

/** @throws {RouterError} ROUTER_BAD_OPTION */
export function resolveTcp({ ports, host, maxConnections = 64_000, idleTimeoutMs = 300_000, serverNameTimeoutMs = 5_000 }: TcpOptions, routerHost: string): TcpSettings {
  for (const [name, value] of [["maxConnections", maxConnections], ["idleTimeoutMs", idleTimeoutMs], ["serverNameTimeoutMs", serverNameTimeoutMs]] as const) {
    if (!Number.isInteger(value) || value < 1 || value > 0x7fffffff) throw new RouterError("ROUTER_BAD_OPTION", `tcp.${name}: ${String(value)} is no whole number from 1 on`);
  }
  return { ports: parsePorts(ports), host: host ?? routerHost, maxConnections, idleTimeoutMs, serverNameTimeoutMs };
}
