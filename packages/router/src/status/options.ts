import { RouterError } from "../errors.ts";

/** Where and to whom the router shows itself. */
export interface StatusOptions {
  /** Port for plain HTTP; 0 = any free one. Without it there must be `tls`. */
  port?: number;
  /** Interface of `port` and `tls`. Default 127.0.0.1: who may see the table may see every app. */
  host?: string;
  /** With a name and a password everything but the health pages asks for them (HTTP Basic). */
  user?: string;
  /** Belongs to `user`; may hold colons. */
  password?: string;
  /** The same over TLS on another port, PEM. Default none. */
  tls?: { port: number; cert: string; key: string };
  /**
   * A port on 127.0.0.1 for the inside view: the page, `/routes`, `/varz`, `/metrics`. Then `port` and `tls` show only the health pages,
   * unless `everywhere` is true. Default none: `port` shows all.
   */
  insidePort?: number;
  /** Whether the inside view is shown on every port of these although it has one of its own. Default false. */
  everywhere?: boolean;
  /**
   * A port for `/metrics` alone, asking for no password: on 127.0.0.1, or, with `cert`, `key` and `ca` (PEM), on `host` for whoever shows
   * a client certificate of that authority. Default none.
   */
  metrics?: { port: number; cert?: string; key?: string; ca?: string };
  /** How often an open page looks again. Default 2 s. */
  refreshSeconds?: number;
}

/** @throws {RouterError} ROUTER_BAD_OPTION */
export function checkStatusOptions({ port, tls, insidePort, metrics, user = "", refreshSeconds = 2 }: StatusOptions): void {
  if (port === undefined && tls === undefined) throw new RouterError("ROUTER_BAD_OPTION", "status: neither port nor tls, so nobody could ask for the router's health");
  for (const [name, value] of [["port", port], ["tls.port", tls?.port], ["insidePort", insidePort], ["metrics.port", metrics?.port]] as const) {
    if (value !== undefined && (!Number.isInteger(value) || value < 0 || value > 65_535)) throw new RouterError("ROUTER_BAD_OPTION", `status.${name}: ${String(value)} is no port`);
  }
  if (user.includes(":")) throw new RouterError("ROUTER_BAD_OPTION", "status.user may hold no colon (RFC 7617)");
  if (!(refreshSeconds >= 0.1)) throw new RouterError("ROUTER_BAD_OPTION", `status.refreshSeconds: ${String(refreshSeconds)} is no number from 0.1 on`);
  const given = [metrics?.cert, metrics?.key, metrics?.ca].filter((one) => one !== undefined).length;
  if (given !== 0 && given !== 3) throw new RouterError("ROUTER_BAD_OPTION", "status.metrics: cert, key and ca belong together");
}
