import type { BusRoutesOptions } from "../bus-link.ts";
import type { RouterOptions } from "../options.ts";
import type { AccessLogOptions } from "../proxy/access-log.ts";
import type { RewriteOptions } from "../proxy/rewrite.ts";
import type { TracingOptions } from "../proxy/tracing.ts";
import type { RouteServiceOptions } from "../route-service/options.ts";
import type { TlsOptions } from "../edge/tls-options.ts";

type Writable<T> = { -readonly [K in keyof T]?: T[K] };

/** How far messages of the program matter. */
export const logLevels = ["debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof logLevels)[number];

/** Where the bus is, and who we are there; as `natsTransport` takes it. */
export interface NatsConfig {
  readonly servers: readonly string[];
  readonly user?: string;
  readonly password?: string;
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string };
  /** A server that is silent for so long is taken for gone. */
  readonly staleAfterMs?: number;
}

/** What the keys of a file have said so far, in the words of the library. */
export interface Draft {
  readonly router: Writable<RouterOptions>;
  readonly tls: Writable<TlsOptions> & { enabled?: boolean; publicClientAuthorities?: boolean; checkSubjects?: boolean };
  readonly bus: Writable<BusRoutesOptions>;
  readonly nats: { servers?: string[]; user?: string; password?: string; tls?: boolean; ca?: string; cert?: string; key?: string; staleAfterMs?: number };
  readonly status: { host?: string; port?: number; user?: string; password?: string; insidePort?: number; plain?: boolean; everywhere?: boolean };
  readonly statusTls: { port?: number; cert?: string; key?: string };
  /** `cert`, `key` and `ca` are paths. */
  readonly prometheus: { port?: number; cert?: string; key?: string; ca?: string };
  readonly syslog: { enabled?: boolean; program?: string; address?: string; kind?: "udp" | "tcp" };
  readonly services: Writable<RouteServiceOptions> & { hairpin?: boolean; allowed?: string[] };
  readonly tracing: Writable<TracingOptions>;
  readonly rewrite: Writable<RewriteOptions>;
  readonly accessLog: Writable<AccessLogOptions>;
  readonly emptyPool: { answers503?: boolean; timeoutMs?: number };
  authorities: string[];
  forceHttps: boolean;
  sanitizeProto: boolean;
  disableHttp: boolean;
  accessLogFile: string | undefined;
  /** A path. */
  errorTemplate: string | undefined;
  logLevel: LogLevel | undefined;
  drainWaitMs: number | undefined;
  activeAppsMs: number;
  appLogs: boolean;
}

export const emptyDraft = (): Draft => ({
  router: {}, tls: {}, bus: {}, nats: {}, status: {}, statusTls: {}, prometheus: {}, syslog: {}, services: {}, tracing: {}, rewrite: {}, accessLog: {}, emptyPool: {}, authorities: [],
  forceHttps: false, sanitizeProto: false, disableHttp: false, accessLogFile: undefined, errorTemplate: undefined, logLevel: undefined, drainWaitMs: undefined, activeAppsMs: 0, appLogs: false,
});
