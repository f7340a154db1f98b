import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { rootCertificates } from "node:tls";
import type { BusRoutesOptions } from "../bus-link.ts";
import type { TlsOptions } from "../edge/tls-options.ts";
import type { RouterOptions } from "../options.ts";
import { rewriteAnswers } from "../proxy/rewrite.ts";
import { defaultSteps } from "../proxy/steps.ts";
import { traceRequests } from "../proxy/tracing.ts";
import type { SocketTargetOptions } from "../log/socket.ts";
import type { RouteServiceOptions } from "../route-service/options.ts";
import type { Draft, LogLevel, NatsConfig } from "./draft.ts";
import { parseRoutes } from "../routes-file/parse.ts";
import { parsePorts } from "../tcp/ports.ts";
import { tcpTlsOf } from "./tcp-tls.ts";
import { BadValue } from "./value.ts";
import { badConfig, parseYaml, readKeys, type KeyReport } from "./read.ts";
import { htmlErrorPageFrom } from "../proxy/html-error-page.ts";

/** A configuration file, in the words of the library. */
export interface ProgramConfig {
  readonly router: RouterOptions;
  /** Where the bus is; undefined: none. */
  readonly nats: NatsConfig | undefined;
  readonly bus: BusRoutesOptions;
  /** Whether the file itself holds routes, and is therefore to be watched. */
  readonly hasRoutes: boolean;
  readonly accessLogFile: string | undefined;
  /** Where lines of the access log go besides. */
  readonly syslog: SocketTargetOptions | undefined;
  readonly logLevel: LogLevel;
  readonly drainWaitMs: number;
  /** Between two `router.active_apps`; 0: none is said. */
  readonly activeAppsMs: number;
  /** Whether apps get their access lines by way of the bus. */
  readonly appLogs: boolean;
  readonly report: readonly KeyReport[];
}

/**
 * Reads a file of a gorouter, or of this program. One with `routes` is ours: it stays on this machine and asks no bus unless it says so.
 * One without is a gorouter's, and what it does not say is as there: port 8081 on all interfaces, status on 8080, a bus on this machine,
 * paths without case.
 * @throws {RouterError} ROUTER_BAD_CONFIG
 */
export async function readConfig(path: string): Promise<ProgramConfig> {
  let text: string;
  try { text = await readFile(path, "utf8"); } catch (cause) { throw badConfig(path, [`cannot be read: ${(cause as Error).message}`]); }
  return parseConfig(text, path);
}

/** The same from text; only files that it names are read. @throws {RouterError} ROUTER_BAD_CONFIG */
export async function parseConfig(text: string, from: string): Promise<ProgramConfig> {
  const document = parseYaml(text, from);
  const hasRoutes = document["routes"] !== undefined || document["tcp_routes"] !== undefined;
  const { draft, report } = readKeys(document, from);
  const problems = [...contradictions(draft), ...pageProblems(draft), ...routeProblems(document, text, from)];
  if (problems.length > 0) throw badConfig(from, problems);
  const { router, bus, services, emptyPool } = draft;
  const tls = tlsOf(draft);
  const status = await statusOf(draft, hasRoutes, from);
  const steps = [
    ...(Object.keys(draft.rewrite).length > 0 ? [rewriteAnswers(draft.rewrite)] : []),
    ...(draft.tracing.b3 === true || draft.tracing.w3c === true ? [traceRequests(draft.tracing)] : []),
  ];
  // A gorouter that traces logs the headers of the trace, unasked.
  const traced = [...(draft.tracing.b3 === true ? traceHeaders.b3 : []), ...(draft.tracing.w3c === true ? traceHeaders.w3c : [])];
  if (traced.length > 0) draft.accessLog.extraHeaders = [...new Set([...(draft.accessLog.extraHeaders ?? []), ...traced])];
  const authorities = draft.authorities.length > 0 ? [...rootCertificates, ...draft.authorities] : undefined;
  return {
    hasRoutes, bus, report, accessLogFile: draft.accessLogFile, syslog: syslogOf(draft), logLevel: draft.logLevel ?? "warn", drainWaitMs: draft.drainWaitMs ?? 0, activeAppsMs: draft.activeAppsMs, appLogs: draft.appLogs,
    nats: natsOf(draft, hasRoutes),
    router: {
      ...(hasRoutes ? {} : { port: 8_081, host: "0.0.0.0", pathCase: "insensitive", startDelayMs: 5_000, drainTimeoutMs: router.endpointTimeoutMs ?? 60_000 }),
      ...router,
      ...(document["tcp_ports"] === undefined ? {} : { tcp: { ports: String(document["tcp_ports"]), ...(document["tcp_tls"] === undefined ? {} : { tls: tcpTlsOf(document["tcp_tls"]) }) } }),
      ...(draft.disableHttp ? { port: false } : {}),
      ...(tls === undefined ? {} : { tls }),
      ...(status === undefined ? {} : { status }),
      ...(draft.forceHttps ? { forwardedProto: "https" } : draft.sanitizeProto ? { forwardedProto: "overwrite" } : {}),
      ...(authorities === undefined ? {} : { backendCa: authorities }),
      ...(emptyPool.answers503 === true ? { emptyPoolTimeoutMs: emptyPool.timeoutMs ?? 0 } : {}),
      ...(Object.keys(draft.accessLog).length > 0 ? { accessLogFormat: draft.accessLog } : {}),
      ...(steps.length > 0 ? { steps: [...steps, ...defaultSteps] } : {}),
      ...(services.secret === undefined ? {} : { routeServices: servicesOf(draft, services.secret, authorities) }),
    },
  };
}

/** What the access log tells of a trace (gorouter `handlers/zipkin.go` and `handlers/w3c.go`). */
const traceHeaders = { b3: ["X-B3-TraceId", "X-B3-SpanId", "X-B3-ParentSpanId", "b3"], w3c: ["traceparent", "tracestate"] };

/** What each key may say by itself, but not together with the others. */
function contradictions({ tls, disableHttp, bus, services, status, statusTls, prometheus }: Draft): string[] {
  const out: string[] = [];
  if (tls.enabled === true && (tls.certificates ?? []).length === 0) out.push("tls_pem: enable_ssl needs at least one certificate");
  if (disableHttp && tls.enabled !== true) out.push("disable_http: without enable_ssl there would be no port at all");
  if (bus.sharding === "segments" && (bus.isolationSegments ?? []).length === 0) out.push("isolation_segments: routing_table_sharding_mode segments needs at least one");
  if (tls.minVersion === "TLSv1.3" && tls.maxVersion === "TLSv1.2") out.push("max_tls_version: lower than min_tls_version");
  if (services.previousSecret !== undefined && services.secret === undefined) out.push("route_services_secret_decrypt_only: needs route_services_secret beside it");
  if ((services.cert === undefined) !== (services.key === undefined)) out.push("route_services.cert_chain and route_services.private_key: one needs the other");
  if (statusTls.cert === undefined ? statusTls.key !== undefined : statusTls.key === undefined) out.push("status.tls.certificate and status.tls.key: one needs the other");
  if (status.plain === false && statusTls.cert === undefined) out.push("status.enable_nontls_health_checks: without status.tls nobody could ask for the router's health");
  if (new Set([prometheus.cert, prometheus.key, prometheus.ca].map((one) => one === undefined)).size > 1) out.push("prometheus.cert_path, key_path and ca_path: they belong together");
  return out;
}

/** Reads the template for error pages. */
function pageProblems({ router, errorTemplate }: Draft): string[] {
  if (errorTemplate === undefined) return [];
  try { router.errorPage = htmlErrorPageFrom(errorTemplate); } catch (error) { return [`html_error_template_file: ${(error as Error).message}`]; }
  return [];
}

/** The routes of the file and the ports for them. */
function routeProblems(document: Readonly<Record<string, unknown>>, text: string, from: string): string[] {
  const { routes, tcp_routes: tcp, tcp_ports: ports, tcp_tls: tls } = document;
  const out: string[] = [];
  if (routes !== undefined || tcp !== undefined) {
    try { parseRoutes(text, from); } catch (error) { out.push((error as Error).message.replace(`${from} `, "routes: ")); }
  }
  try { if (tls !== undefined) tcpTlsOf(tls); } catch (error) {
    if (!(error instanceof BadValue)) throw error;
    out.push(`tcp_tls${error.where}: ${error.message}`);
  }
  if (ports === undefined) {
    if (tls !== undefined) out.push("tcp_tls: say in tcp_ports which ports may be opened, e.g. tcp_ports: 2000-2100,5432");
    if (tcp !== undefined) out.push("tcp_routes: say in tcp_ports which ports may be opened, e.g. tcp_ports: 2000-2100,5432");
    return out;
  }
  try { parsePorts(String(ports)); } catch (error) { out.push((error as Error).message.replace("tcp.ports", "tcp_ports")); }
  return out;
}

function tlsOf({ tls }: Draft): TlsOptions | undefined {
  if (tls.enabled !== true) return undefined;
  const { enabled: _, publicClientAuthorities = true, checkSubjects = false, clientSubjects, ...rest } = tls;
  return { port: 443, certificates: [], publicClientCa: publicClientAuthorities, ...rest, ...(checkSubjects && clientSubjects !== undefined ? { clientSubjects } : {}) };
}

async function statusOf({ status, statusTls: tls, prometheus }: Draft, hasRoutes: boolean, from: string): Promise<RouterOptions["status"]> {
  const metrics = prometheus.port === undefined || prometheus.port === 0 ? undefined : { port: prometheus.port, ...await metricsTls(prometheus, from) };
  if (hasRoutes && Object.keys(status).length === 0 && tls.cert === undefined && metrics === undefined) return undefined;
  const { host = hasRoutes ? "127.0.0.1" : "0.0.0.0", port = 8_080, insidePort = hasRoutes ? undefined : 8_082, plain = true, everywhere = false, user, password } = status;
  return {
    host, ...(everywhere ? { everywhere } : {}),
    ...(plain ? { port } : {}), ...(insidePort === undefined ? {} : { insidePort }),
    ...(tls.cert === undefined || tls.key === undefined ? {} : { tls: { port: tls.port ?? 8_443, cert: tls.cert, key: tls.key } }),
    ...(metrics === undefined ? {} : { metrics }),
    ...(user !== undefined && password !== undefined ? { user, password }
      // The table of every app is not for whoever is on the network: without credentials nobody has them.
      : host.startsWith("127.") || host === "::1" || host === "localhost" || (!everywhere && insidePort !== undefined) ? {} : { user: "nobody", password: randomBytes(24).toString("hex") }),
  };
}

async function metricsTls({ cert, key, ca }: Draft["prometheus"], from: string): Promise<object> {
  const read = async (name: string, path: string): Promise<string> => {
    try { return await readFile(path, "utf8"); } catch (cause) { throw badConfig(from, [`prometheus.${name}_path: ${(cause as Error).message}`]); }
  };
  if (cert === undefined || key === undefined || ca === undefined) return {};
  return { cert: await read("cert", cert), key: await read("key", key), ca: await read("ca", ca) };
}

function syslogOf({ syslog }: Draft): SocketTargetOptions | undefined {
  const { enabled = false, program, address = "127.0.0.1:514", kind = "udp" } = syslog;
  if (!enabled) return undefined;
  const colon = address.lastIndexOf(":");
  const [host, port] = colon < 0 ? [address, 514] : [address.slice(0, colon), Number(address.slice(colon + 1))];
  return { kind, host: host.replace(/^\[|\]$/g, ""), port, ...(program === undefined ? {} : { program }) };
}

function natsOf({ nats }: Draft, hasRoutes: boolean): NatsConfig | undefined {
  if (hasRoutes && Object.keys(nats).length === 0) return undefined;
  const { servers = ["localhost:4222"], tls = false, user, password, staleAfterMs, ca, cert, key } = nats;
  return {
    servers: servers.map((server) => `${tls ? "tls" : "nats"}://${server}`),
    ...(user === undefined ? {} : { user }), ...(password === undefined ? {} : { password }), ...(staleAfterMs === undefined ? {} : { staleAfterMs }),
    ...(tls ? { tls: { ...(ca === undefined ? {} : { ca }), ...(cert === undefined ? {} : { cert }), ...(key === undefined ? {} : { key }) } } : {}),
  };
}

function servicesOf({ services }: Draft, secret: string, ca: readonly string[] | undefined): RouteServiceOptions {
  const { hairpin = false, allowed = [], forwardedScheme = "http", ...rest } = services;
  return { ...rest, secret, forwardedScheme, ...(ca === undefined ? {} : { ca }), hairpinning: hairpin ? (allowed.length === 0 ? true : allowed) : false };
}
