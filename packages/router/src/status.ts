import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { Readable } from "node:stream";
import { listenOn, type Address } from "./listen.ts";
import { createGuard } from "./status/auth.ts";
import { prometheusContentType } from "./status/exposition.ts";
import { metricsText } from "./status/metrics.ts";
import type { StatusOptions } from "./status/options.ts";
import { pageHeaders, statusPage } from "./status/page.ts";
import { varzDocument } from "./status/varz.ts";
import type { StatusView } from "./status/view.ts";

export { checkStatusOptions, type StatusOptions } from "./status/options.ts";
export type { StatusSources } from "./status/sources.ts";
export { viewOf, type StatusView } from "./status/view.ts";

/** Where the status doors are. */
export interface StatusAddresses {
  /** Where plain HTTP is spoken, else where TLS is. */
  readonly address: Address;
  readonly tlsAddress: Address | undefined;
  readonly insideAddress: Address | undefined;
  readonly metricsAddress: Address | undefined;
}

export interface StatusListener extends StatusAddresses, AsyncDisposable {}

/** How long a status request may take, either way, and how many connections there may be. */
const timeoutMs = 10_000;
const maxConnections = 256;

/**
 * The operator's doors: `/health` for balancers, liveness for supervisors, and the inside view for people and monitors.
 * @throws {RouterError} ROUTER_PORT_TAKEN, ROUTER_PORT_FORBIDDEN, ROUTER_LISTEN_FAILED
 */
export async function createStatusListener(options: StatusOptions, view: StatusView): Promise<StatusListener> {
  const { host = "127.0.0.1", user = "", password = "", tls, insidePort, everywhere = insidePort === undefined, metrics, refreshSeconds = 2 } = options;
  const allowed = createGuard(user, password);
  const doors: Server[] = [];

  const open = async (handle: RequestListener, at: Address, secure?: object): Promise<Address> => {
    const server = secure === undefined ? createServer(handle) : createTlsServer(secure, handle);
    server.requestTimeout = server.headersTimeout = timeoutMs;
    server.timeout = timeoutMs * 2;
    server.maxConnections = maxConnections;
    const address = await listenOn(server, at);
    doors.push(server);
    return address;
  };
  const close = async (): Promise<void> => {
    await Promise.all(doors.splice(0).map((server) => new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    })));
  };

  const health = pages({
    "/health": async (response) => {
      response.setHeader("Cache-Control", "private, max-age=0");
      response.setHeader("Expires", "0");
      const { healthy, state, requests, tunnels } = await view.health();
      if (healthy) return send(response, 200, "ok\n");
      // Whoever waits for the end of a drain sees how far it is.
      send(response, 503, state === "draining" ? `draining: ${requests - tunnels} requests and ${tunnels} tunnels under way\n` : "");
    },
    "/is-process-alive-do-not-use-for-loadbalancing": (response) => send(response, 200, "ok\n"),
  });
  const inside = pages({
    "/healthz": (response) => send(response, 200, "ok\n"),
    "/varz": guarded(async (response) => sendJson(response, varzDocument(await view.numbers()))),
    "/routes": guarded((response, request) => sendPieces(response, request, "application/json", view.routes())),
    "/metrics": guarded(sendMetrics),
    "/": guarded(async (response, request) => {
      const query = new URLSearchParams(queryOf(request)).get("q")?.slice(0, 1_000) ?? "";
      const [report, rows] = await Promise.all([view.numbers(), view.rows(query)]);
      for (const [name, value] of Object.entries(pageHeaders)) response.setHeader(name, value);
      send(response, 200, statusPage(report, rows, query, refreshSeconds));
    }),
  });

  function guarded(show: Page): Page {
    return (response, request) => {
      if (allowed(request)) return show(response, request);
      response.setHeader("WWW-Authenticate", "Basic realm=\"router\"");
      send(response, 401, "credentials wanted\n");
    };
  }
  async function sendMetrics(response: ServerResponse, request: IncomingMessage): Promise<void> {
    sendPieces(response, request, prometheusContentType, metricsText(await view.numbers(), view.apps()));
  }

  try {
    const outside = answer(everywhere ? [health, inside] : [health]);
    const address = options.port === undefined ? undefined : await open(outside, { host, port: options.port });
    const tlsAddress = tls === undefined ? undefined : await open(outside, { host, port: tls.port }, { cert: tls.cert, key: tls.key });
    const insideAddress = insidePort === undefined ? undefined : await open(answer([health, inside]), { host: "127.0.0.1", port: insidePort });
    const metricsAddress = metrics === undefined ? undefined : await open(answer([pages({ "/metrics": sendMetrics })]), { host: metrics.ca === undefined ? "127.0.0.1" : host, port: metrics.port },
      metrics.ca === undefined ? undefined : { cert: metrics.cert, key: metrics.key, ca: metrics.ca, requestCert: true, rejectUnauthorized: true });
    return { address: address ?? tlsAddress as Address, tlsAddress, insideAddress, metricsAddress, [Symbol.asyncDispose]: close };
  } catch (cause) {
    await close();
    throw cause;
  }
}

type Page = (response: ServerResponse, request: IncomingMessage) => void | Promise<void>;

const pages = (by: Readonly<Record<string, Page>>): ReadonlyMap<string, Page> => new Map(Object.entries(by));

function answer(shown: readonly ReadonlyMap<string, Page>[]): RequestListener {
  return (request, response) => {
    if (request.method !== "GET" && request.method !== "HEAD") return send(response, 405, "method not allowed\n");
    const path = (request.url ?? "/").split("?", 1)[0] as string;
    const page = shown.map((each) => each.get(path)).find((each) => each !== undefined);
    if (page === undefined) return send(response, 404, "not found\n");
    // What cannot be told in time is told as that.
    (async () => page(response, request))().catch(() => (response.headersSent ? response.destroy() : send(response, 503, "no answer in time\n")));
  };
}

function sendPieces(response: ServerResponse, request: IncomingMessage, type: string, pieces: AsyncIterable<string>): void {
  response.setHeader("Content-Type", type);
  if (request.method === "HEAD") return void response.end();
  Readable.from(pieces).on("error", () => response.destroy()).pipe(response);
}

const queryOf = ({ url = "/" }: IncomingMessage): string => (url.includes("?") ? url.slice(url.indexOf("?") + 1) : "");

function sendJson(response: ServerResponse, value: object): void {
  response.setHeader("Content-Type", "application/json");
  send(response, 200, JSON.stringify(value));
}

function send(response: ServerResponse, status: number, body: string): void {
  response.statusCode = status;
  if (!response.hasHeader("Content-Type")) response.setHeader("Content-Type", "text/plain; charset=utf-8");
  response.end(body);
}
