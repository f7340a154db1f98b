import { timingSafeEqual, createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { listenOn, type Address } from "./listen.ts";
import type { RouteTable } from "./table/route-table.ts";

export interface StatusOptions {
  /** 0 = any free one. */
  port: number;
  /** Default 127.0.0.1: who may see the table may see every app. */
  host?: string;
  /** With a name and a password `/varz` and `/routes` ask for them (HTTP Basic). */
  user?: string;
  password?: string;
}

export interface StatusSources {
  readonly table: RouteTable;
  readonly healthy: () => boolean;
  readonly varz: () => object;
}

export interface StatusListener extends AsyncDisposable { readonly address: Address }

/** The operator's door: `/health` for balancers, `/healthz`, liveness for supervisors, `/varz` and `/routes` for people. */
export async function createStatusListener(options: StatusOptions, sources: StatusSources): Promise<StatusListener> {
  const { host = "127.0.0.1", user = "", password = "" } = options;
  const server: Server = createServer((request, response) => answer(request, response, sources, user === "" ? undefined : `${user}:${password}`));
  server.requestTimeout = 10_000;
  const address = await listenOn(server, { host, port: options.port });
  return {
    address,
    [Symbol.asyncDispose]: () => new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    }),
  };
}

function answer(request: IncomingMessage, response: ServerResponse, sources: StatusSources, credentials: string | undefined): void {
  const path = (request.url ?? "/").split("?", 1)[0];
  if (request.method !== "GET" && request.method !== "HEAD") return send(response, 405, "method not allowed\n");
  switch (path) {
    case "/health":
      response.setHeader("Cache-Control", "private, max-age=0");
      response.setHeader("Expires", "0");
      return sources.healthy() ? send(response, 200, "ok\n") : send(response, 503, "");
    case "/healthz":
      return send(response, 200, "ok\n");
    case "/is-process-alive-do-not-use-for-loadbalancing":
      return send(response, 200, "ok\n");
    case "/varz":
    case "/routes":
      if (credentials !== undefined && !isAllowed(request, credentials)) {
        response.setHeader("WWW-Authenticate", "Basic realm=\"router\"");
        return send(response, 401, "credentials wanted\n");
      }
      return sendJson(response, path === "/varz" ? sources.varz() : routesDocument(sources.table));
    default:
      return send(response, 404, "not found\n");
  }
}

/** The table as gorouter shows it: route to endpoints, times in seconds. */
export function routesDocument(table: RouteTable): Record<string, object[]> {
  const document: Record<string, object[]> = {};
  for (const { route, endpoints, options } of table.snapshot()) {
    document[route] = endpoints.map((endpoint) => ({
      address: endpoint.address,
      availability_zone: endpoint.availabilityZone,
      protocol: endpoint.protocol,
      tls: endpoint.backend.tls,
      ttl: endpoint.staleAfterMs === undefined ? -1 : Math.round(endpoint.staleAfterMs / 1_000),
      tags: endpoint.tags,
      ...(options.routeServiceUrl ? { route_service_url: options.routeServiceUrl } : {}),
      ...(endpoint.isolationSegment ? { isolation_segment: endpoint.isolationSegment } : {}),
      ...(endpoint.instanceId ? { private_instance_id: endpoint.instanceId } : {}),
      ...(endpoint.backend.serverName ? { server_cert_domain_san: endpoint.backend.serverName } : {}),
      ...(options.loadBalancing ? { load_balancing_algorithm: options.loadBalancing === "least-connections" ? "least-connection" : options.loadBalancing } : {}),
      ...(options.hashHeader ? { hash_header: options.hashHeader } : {}),
      ...(options.hashBalance ? { hash_balance: options.hashBalance } : {}),
    }));
  }
  return document;
}

function isAllowed(request: IncomingMessage, credentials: string): boolean {
  const given = /^Basic ([A-Za-z0-9+/=]+)$/i.exec(request.headers.authorization ?? "")?.[1];
  if (given === undefined) return false;
  const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(Buffer.from(given, "base64").toString()), digest(credentials));
}

function sendJson(response: ServerResponse, value: object): void {
  response.setHeader("Content-Type", "application/json");
  send(response, 200, JSON.stringify(value));
}

function send(response: ServerResponse, status: number, body: string): void {
  response.statusCode = status;
  if (!response.hasHeader("Content-Type")) response.setHeader("Content-Type", "text/plain; charset=utf-8");
  response.end(body);
}
