import { BlockList, isIP } from "node:net";
import type { ProxyProtocol } from "./edge/proxy-protocol.ts";
import type { TlsOptions } from "./edge/tls-options.ts";
import type { EngineName } from "./engines.ts";
import { RouterError } from "./errors.ts";
import { loadBalancings, whyNotOption, type LoadBalancing } from "./route-options.ts";
import type { Clock, Logger } from "./ports.ts";
import type { AccessLogOutput } from "./log/access-log.ts";
import type { AccessLogOptions } from "./proxy/access-log.ts";
import { plainErrorPage, type ErrorPage } from "./proxy/fault.ts";
import type { Engine } from "./proxy/exchange.ts";
import type { Step } from "./proxy/pipeline.ts";
import type { ProxySettings } from "./proxy/settings.ts";
import type { RouteServiceOptions } from "./route-service/options.ts";
import type { RouteSource } from "./source.ts";
import type { StatusOptions } from "./status.ts";
import type { RouteTable } from "./table/route-table.ts";
import type { TcpOptions } from "./tcp/options.ts";

export interface RouterOptions {
  /** Port for plain HTTP. Default 8080; 0 = any free one; false = none, where there is `tls`. */
  port?: number | false;
  /** Interface for traffic. Default `127.0.0.1`; `0.0.0.0` or `::` to be reached from elsewhere. */
  host?: string;
  /** Opens a port for HTTPS. Default none. */
  tls?: TlsOptions;
  /** Whether connections begin with a PROXY header (version 1 or 2): `off`, `optional`, `required`. The client it names counts from then on. Default `off`. */
  proxyProtocol?: ProxyProtocol;
  /** For a PROXY header to arrive. Default 3 000 ms: time for a lost packet to be sent again. */
  proxyHeaderTimeoutMs?: number;
  /** HTTP/2 (RFC 9113): in front by ALPN and, without TLS, by prior knowledge; WebSockets over it (RFC 8441); and to endpoints registered with `protocol: "http2"`. Default true. */
  http2?: boolean;

  /** The way of a request. Default `defaultSteps`; write `[mine, ...defaultSteps]` to put yours first. */
  steps?: readonly Step[];
  /** What fills the table. Default nothing: `router.table` is yours. */
  sources?: readonly RouteSource[];
  /** A table made elsewhere. Default a new one. */
  table?: RouteTable;
  /** Where access lines go: `process.stdout` or another stream, `logToFile(path)`, `logToSocket(…)`, or several of these. Default nowhere. */
  accessLog?: AccessLogOutput | readonly AccessLogOutput[];
  /** What the lines hold besides the fixed fields. */
  accessLogFormat?: AccessLogOptions;
  /** Opens a second port with `/health`, a page for people, `/routes`, `/varz`, `/metrics`. Default none. */
  status?: StatusOptions;
  /** Requests with this `User-Agent` are answered as `/health` is, whatever they ask for; they are neither logged nor counted. Default none: real clients may bear any name. */
  healthCheckAgent?: string;
  /** Which of its kind this router is. Default 0. */
  index?: number;
  /** Name of this router. Default its index and a new UUID. */
  id?: string;
  /** Pairs of app and route whose numbers are kept apart; what comes beyond is counted together. Default 1000. */
  maxCountedApps?: number;
  /** Between the start of the sources and the opening of the port, while routes come in. Default 0 ms. */
  startDelayMs?: number;
  /** How long a disposed router lets requests finish. Default 10 000 ms. */
  drainTimeoutMs?: number;

  /** How pools choose unless their registration says otherwise. Default `round-robin`. */
  loadBalancing?: LoadBalancing;
  /** Endpoints a request may be tried on. Default 3. */
  maxAttempts?: number;
  /** One attempt, the whole body included. Default 900 000 ms. Tunnels are not bound by it. */
  endpointTimeoutMs?: number;
  /** Connecting to an endpoint, TLS included. Default 5 000 ms. */
  dialTimeoutMs?: number;
  /** How long an idle connection to an endpoint is kept. Default 4 000 ms: shorter than what any common server grants, so that none is closed just as it is used. 0: a new one for each request. */
  backendIdleMs?: number;
  /** How long the balancer avoids an address that failed; then one request finds out whether it works again. Default 30 000 ms, and twice as long with each failure that follows. */
  failureMarkMs?: number;
  /** The longest it is avoided. Default 240 000 ms. */
  maxFailureMarkMs?: number;
  /** Requests and tunnels per address at a time. Default 0: no limit. */
  maxConnectionsPerEndpoint?: number;
  /** Requests that may wait for each endpoint of a route when all are at that limit. Default 0: they get their 503 at once. */
  maxQueuedPerEndpoint?: number;
  /** How long they wait for a place. Default 5 000 ms. */
  queueTimeoutMs?: number;
  /** Methods besides GET, HEAD, OPTIONS and TRACE that may be repeated although the app may have acted on them; never with a body. Default none. */
  retryMethods?: readonly string[];
  /** No further attempt begins this long after the request came. Default 30 000 ms. 0: whenever. */
  retryDeadlineMs?: number;
  /** Of the requests under way for a route, how many per cent may be repetitions; fifty at a time always may. Default 50. 100: no bound. */
  retryBudgetPercent?: number;
  /** Bytes of a request's body; beyond that 413. Default 0: no limit. */
  maxRequestBodyBytes?: number;
  /** Whether an app may read on when it has begun to answer (HTTP/1). Default true. False: what has not come by then never reaches it, and it has a second for the rest of its answer. */
  concurrentReadWrite?: boolean;
  /** Whether connections on which an app was asked for a body (`Expect: 100-continue`) are used again, for further questions. Default false: an app that has refused a body may take the next request for it. */
  reuseExpectConnections?: boolean;
  /** How long a route whose last endpoint has left answers 503 before it is unknown (404). Default 0: it is unknown at once. */
  emptyPoolTimeoutMs?: number;
  /** Whether `/App` and `/app` are two routes: `sensitive`, or one, as in a gorouter: `insensitive`. Default `sensitive`. */
  pathCase?: "sensitive" | "insensitive";

  /** Request line and headers of a request. Default 1 MiB. */
  maxRequestHeaderBytes?: number;
  /** Number of a request's headers. Default 0: only their size counts. */
  maxRequestHeaders?: number;
  /** Headers of an answer. Default 1 MiB. */
  maxResponseHeaderBytes?: number;
  /** Number of an answer's header lines; beyond that 502. Default 0: only their size counts. */
  maxResponseHeaders?: number;
  /** Connections of clients to each port at a time; those beyond are closed at once and counted (`dropped_connections`). Default 0: as many as the system allows. */
  maxClientConnections?: number;
  /** For a client to send its request's headers. Default 60 000 ms. */
  headersTimeoutMs?: number;
  /** How long an idle client connection is kept. Default 900 000 ms: longer than the balancer before us. */
  clientIdleMs?: number;
  /** How long a client may send nothing of a body that is waited for (HTTP/1; then 408), or take nothing of an answer that the app has finished. Default 60 000 ms. */
  clientStallMs?: number;

  /** Session cookies of apps that tie a client to an instance. Default `["JSESSIONID"]`. */
  stickyCookieNames?: readonly string[];
  /** Whether `Authorization: Negotiate` ties a client to its instance, and hard: without the instance there is no answer but 502. Default false. */
  stickyForNegotiate?: boolean;
  /** Whether the affinity cookie is always `Secure`. Default false: like the app's. */
  secureCookies?: boolean;
  /** `X-Forwarded-Proto` of the client: kept, overwritten by the truth, or always `https`. Default `keep`. */
  forwardedProto?: "keep" | "overwrite" | "https";
  /** `X-Forwarded-Client-Cert` of the client: passed on; passed on from clients that have shown a certificate of their own; or replaced by that certificate (base64 of its DER form). Default `always-forward`. */
  forwardedClientCert?: "always-forward" | "forward" | "sanitize-set";
  /** Addresses or CIDR ranges whose `X-Forwarded-*` and PROXY headers are believed. Default: everybody's, as behind a balancer. */
  trustedProxies?: readonly string[];
  /** Availability zone of this router. Default none. */
  zone?: string;
  /** Whether the first attempt prefers endpoints of the same zone. Default false. */
  preferZone?: boolean;
  /** Requests with this value in `X-Vcap-Trace` are told which endpoint answered. Default off. */
  traceKey?: string;
  /** Makes the bodies of the router's own answers. Default one line of text. */
  errorPage?: ErrorPage;
  /** For TLS to endpoints: whom to trust instead of the system's authorities, PEM. */
  backendCa?: string | readonly string[];
  /** For TLS to endpoints: the router's own certificate and its chain, PEM. Default none. */
  backendCert?: string;
  /** The key to it, PEM. */
  backendKey?: string;

  /** What makes routes with a route service work. Default none: such routes are refused with 502. */
  routeServices?: RouteServiceOptions;

  /** Ports for routes below HTTP. Default none: such routes open nothing. */
  tcp?: TcpOptions;

  /** Who speaks HTTP/1.1: `native`, the router itself on plain sockets, on both sides; `undici`, with `node:http` in front, at about twice the cost; or one of yours. Default `native`. */
  engine?: EngineName | ((settings: ProxySettings) => Engine);
  /** Where the router says what it does. Default nowhere. */
  log?: Logger;
  /** Time, for tests that do not want to wait. Default the system's. */
  clock?: Clock;
}

/** Checks the options that concern the proxy and fills in the defaults.
 * @throws {RouterError} ROUTER_BAD_OPTION */
export function resolveSettings(options: RouterOptions): ProxySettings {
  const {
    loadBalancing = "round-robin", maxAttempts = 3, endpointTimeoutMs = 900_000, dialTimeoutMs = 5_000, backendIdleMs = 4_000, clientStallMs = 60_000, failureMarkMs = 30_000,
    maxConnectionsPerEndpoint = 0, maxRequestHeaderBytes = 1_048_576, maxRequestHeaders = 0, maxResponseHeaderBytes = 1_048_576, maxResponseHeaders = 0,
    maxFailureMarkMs = 240_000, maxQueuedPerEndpoint = 0, queueTimeoutMs = 5_000, retryMethods = [], retryDeadlineMs = 30_000, retryBudgetPercent = 50, maxRequestBodyBytes = 0, concurrentReadWrite = true, reuseExpectConnections = false,
    stickyForNegotiate = false, stickyCookieNames = ["JSESSIONID"], secureCookies = false, forwardedProto = "keep", forwardedClientCert = "always-forward",
    trustedProxies, zone = "", preferZone = false, traceKey = "", errorPage = plainErrorPage, backendCa, backendCert, backendKey,
  } = options;
  if (!["always-forward", "forward", "sanitize-set"].includes(forwardedClientCert)) throw badOption(`forwardedClientCert ${JSON.stringify(forwardedClientCert)}: expected one of always-forward, forward, sanitize-set`);
  for (const [name, value, least] of [
    ["maxAttempts", maxAttempts, 1], ["endpointTimeoutMs", endpointTimeoutMs, 1], ["dialTimeoutMs", dialTimeoutMs, 1], ["backendIdleMs", backendIdleMs, 0], ["clientStallMs", clientStallMs, 1],
    ["maxFailureMarkMs", maxFailureMarkMs, 0], ["maxClientConnections", options.maxClientConnections ?? 0, 0], ["maxQueuedPerEndpoint", maxQueuedPerEndpoint, 0], ["queueTimeoutMs", queueTimeoutMs, 1],
    ["retryDeadlineMs", retryDeadlineMs, 0], ["retryBudgetPercent", retryBudgetPercent, 0],
    ["failureMarkMs", failureMarkMs, 0], ["maxConnectionsPerEndpoint", maxConnectionsPerEndpoint, 0], ["maxRequestHeaderBytes", maxRequestHeaderBytes, 1],
    ["maxRequestHeaders", maxRequestHeaders, 0], ["maxResponseHeaderBytes", maxResponseHeaderBytes, 1], ["maxResponseHeaders", maxResponseHeaders, 0], ["port", options.port || 0, 0],
  ] as const) {
    // 2^31 - 1 is where timers wrap to "at once".
    if (!Number.isInteger(value) || value < least || value > 0x7fffffff) throw badOption(`${name}: ${String(value)} is no whole number from ${least} on`);
  }
  if ((options.port || 0) > 65_535) throw badOption(`port: ${options.port} is above 65535`);
  for (const [name, value] of Object.entries({ stickyCookieNames, retryMethods, maxRequestBodyBytes, stickyForNegotiate })) {
    const why = whyNotOption(name, value);
    if (why !== undefined) throw badOption(`${name} ${JSON.stringify(value)}: ${why}`);
  }
  if (!loadBalancings.includes(loadBalancing)) throw badOption(`loadBalancing ${JSON.stringify(loadBalancing)}: expected one of ${loadBalancings.join(", ")}`);
  return {
    loadBalancing, maxAttempts, endpointTimeoutMs, dialTimeoutMs, backendIdleMs, clientStallMs, failureMarkMs, maxConnectionsPerEndpoint,
    maxFailureMarkMs, maxQueuedPerEndpoint, queueTimeoutMs, retryMethods, retryDeadlineMs, retryBudgetPercent, maxRequestBodyBytes, concurrentReadWrite, reuseExpectConnections, stickyForNegotiate,
    maxRequestHeaderBytes, maxRequestHeaders, maxResponseHeaderBytes, maxResponseHeaders, stickyCookieNames, secureCookies, forwardedProto, forwardedClientCert,
    trustedProxies: trustedProxies === undefined ? undefined : blockListOf(trustedProxies), zone, preferZone, traceKey, errorPage,
    backendTls: {
      ...(backendCa === undefined ? {} : { ca: backendCa }), ...(backendCert === undefined ? {} : { cert: backendCert }), ...(backendKey === undefined ? {} : { key: backendKey }),
    },
  };
}

function blockListOf(ranges: readonly string[]): BlockList {
  const list = new BlockList();
  for (const range of ranges) {
    const [address = "", bits] = range.split("/");
    const family = isIP(address) === 6 ? "ipv6" : "ipv4";
    try {
      if (bits === undefined) list.addAddress(address, family);
      else list.addSubnet(address, Number(bits), family);
    } catch (cause) {
      throw badOption(`trustedProxies: ${JSON.stringify(range)} is neither an address nor a CIDR range`, cause);
    }
  }
  return list;
}

const badOption = (message: string, cause?: unknown): RouterError => new RouterError("ROUTER_BAD_OPTION", message, { cause });
