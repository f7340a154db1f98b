import { isIP } from "node:net";
import { createBackend, createEndpoint, type Endpoint } from "../endpoint.ts";
import { RouterError } from "../errors.ts";
import { parseAllowlist, type Allowlist } from "./allowlist.ts";
import type { TrustingBackend } from "../trust.ts";
import type { RouteServiceOptions } from "./options.ts";
import { createSigner, type Signer } from "./signature.ts";

/** Where the requests of a route go first. */
export interface RouteService {
  /** `Host` of the requests to it. */
  readonly authority: string;
  /** Lower case, without port. */
  readonly hostname: string;
  /** Path without query, for a look-up. */
  readonly path: string;
  /** Path and query of its URL: every request to it asks for this. */
  readonly target: string;
  readonly endpoint: Endpoint;
}

/** What the step of the route services works with. */
export interface RouteServices {
  readonly signer: Signer;
  readonly timeoutMs: number;
  readonly forwardedScheme: "https" | "http";
  readonly maxAttempts: number;
  readonly strict: boolean;
  readonly webSockets: boolean;
  readonly mayHairpin: Allowlist;
  /** The service behind a URL; undefined when it is none. */
  at(url: string): RouteService | undefined;
}

/** Services whose connections are kept. */
const maxServices = 1_000;

/**
 * Derives the keys (some 30 ms each) and keeps one connection pool per service.
 * @throws {RouterError} ROUTER_BAD_OPTION
 */
export function createRouteServices(options: RouteServiceOptions, release: (backend: Endpoint["backend"]) => void): RouteServices {
  const { secret, previousSecret = "", timeoutMs = 60_000, forwardedScheme = "https", maxAttempts = 3, strict = false, hairpinning = false, webSockets = true, ca, cert, key, insecure = false } = options;
  if (typeof secret !== "string" || secret === "") throw new RouterError("ROUTER_BAD_OPTION", "routeServices.secret: expected a text that all routers of the fleet share");
  for (const [name, value] of [["timeoutMs", timeoutMs], ["maxAttempts", maxAttempts]] as const) {
    if (!Number.isInteger(value) || value < 1) throw new RouterError("ROUTER_BAD_OPTION", `routeServices.${name}: ${String(value)} is no whole number from 1 on`);
  }
  const trust = { ...(ca === undefined ? {} : { ca }), ...(cert === undefined ? {} : { cert }), ...(key === undefined ? {} : { key }), ...(insecure ? { rejectUnauthorized: false } : {}) };
  const held = new Map<string, RouteService>();

  function read(url: string): RouteService | undefined {
    let parsed: URL;
    try { parsed = new URL(url); } catch { return undefined; }
    if (parsed.protocol !== "https:") return undefined;
    const host = parsed.hostname.replace(/^\[|\]$/g, "");
    const port = parsed.port === "" ? 443 : Number(parsed.port);
    // Never in the table: it belongs to no route, so no route can take it away.
    const backend: TrustingBackend = Object.assign(createBackend({ host, tlsPort: port, serverCertDomainSan: isIP(host) === 0 ? host : "" }, port), { trust });
    backend.join({ key: url });
    return {
      authority: parsed.host, hostname: parsed.hostname.toLowerCase(), path: parsed.pathname, target: parsed.pathname + parsed.search,
      endpoint: createEndpoint({ host, source: "route-service" }, backend, 0),
    };
  }

  return {
    signer: createSigner(secret, previousSecret), timeoutMs, forwardedScheme, maxAttempts, strict, webSockets,
    mayHairpin: hairpinning === false ? () => false : parseAllowlist(hairpinning === true ? [] : hairpinning),
    at(url) {
      let service = held.get(url);
      // The one that was not asked for longest goes first.
      if (service !== undefined) held.delete(url);
      else service = read(url);
      if (service === undefined) return undefined;
      held.set(url, service);
      if (held.size > maxServices) {
        const [oldest, { endpoint: { backend } }] = held.entries().next().value as [string, RouteService];
        held.delete(oldest);
        for (const route of backend.routes) backend.leave(route);
        if (backend.inFlight === 0) release(backend);
      }
      return service;
    },
  };
}
