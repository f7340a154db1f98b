import { RouterError } from "../errors.ts";

/** Ports that routes may open. */
export interface PortRange {
  has(port: number): boolean;
  readonly list: Iterable<number>;
  readonly count: number;
}

/**
 * Reads `1024-1123,2000`, the way of a router group's `reservable_ports`; nothing may stand twice.
 * @throws {RouterError} ROUTER_BAD_OPTION
 */
export function parsePorts(text: string, name = "tcp.ports"): PortRange {
  const ports = new Set<number>();
  for (const part of String(text).split(",")) {
    const match = /^\s*(\d{1,5})(?:\s*-\s*(\d{1,5}))?\s*$/.exec(part);
    const first = Number(match?.[1]);
    const last = Number(match?.[2] ?? match?.[1]);
    if (match === null || first < 1 || last > 65_535 || last < first) throw bad(name, `${JSON.stringify(part)} is neither a port nor a range such as 2000-2100`);
    for (let port = first; port <= last; port += 1) {
      if (ports.has(port)) throw bad(name, `${port} is in it twice`);
      ports.add(port);
    }
  }
  return { has: (port) => ports.has(port), list: ports, count: ports.size };
}

const bad = (name: string, message: string): RouterError => new RouterError("ROUTER_BAD_OPTION", `${name}: ${message}`);
