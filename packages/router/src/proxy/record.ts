import type { IncomingMessage } from "node:http";
import type { Exchange } from "./exchange.ts";

/** What is known of a request when it is over: the event `request`, and the source of the access log line. */
export interface RequestRecord {
  readonly method: string;
  /** As the client sent it. */
  readonly host: string;
  readonly target: string;
  readonly httpVersion: string;
  /** `host/path` of the route, undefined when there was none. */
  readonly route: string | undefined;
  readonly endpoint: { readonly address: string; readonly app: string; readonly instanceId: string; readonly instanceIndex: string; readonly tags: Readonly<Record<string, string>> } | undefined;
  /** 499 when the client left before there was an answer. */
  readonly status: number;
  /** Body bytes from the client; for a tunnel what went through it. */
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly requestId: string;
  /** `address:port` of the peer. */
  readonly peer: string;
  readonly forwardedFor: string;
  readonly forwardedProto: string;
  readonly referer: string;
  readonly userAgent: string;
  /** The router's own error (`X-Cf-RouterError`), if it answered itself; else why an answer was cut. */
  readonly error: string | undefined;
  readonly attempts: number;
  readonly failedAttempts: number;
  readonly upgraded: boolean;
  /** Milliseconds since the epoch. */
  readonly receivedAtMs: number;
  readonly timings: {
    /** From the request's headers to the last byte of the answer, or the end of the tunnel. */
    readonly totalMs: number;
    /** Of it, the router's part. */
    readonly routerMs: number;
    /** From the first byte written to the endpoint to the last one read; undefined when none answered. */
    readonly appMs: number | undefined;
    /** From the first byte written to the endpoint to its answer's headers. */
    readonly appHeadersMs: number | undefined;
    /** Spent on attempts that failed. */
    readonly failedAttemptsMs: number;
  };
  /** Values of request headers, by lower-case name; for additional fields of the log. */
  header(name: string): string | undefined;
}

/** Takes down what happened. The exchange must be over. */
export function recordOf(exchange: Exchange): RequestRecord {
  const { endpoint, request, fault, appStartedMs, appHeadersMs, startedMs } = exchange;
  const now = performance.now();
  const totalMs = now - startedMs;
  const appMs = appHeadersMs === 0 ? undefined : (exchange.appFinishedMs || now) - appStartedMs;
  return {
    method: exchange.method,
    host: exchange.host,
    target: exchange.target,
    httpVersion: request.httpVersion,
    route: exchange.route?.key,
    endpoint: endpoint === undefined ? undefined
      : { address: endpoint.address, app: endpoint.app, instanceId: endpoint.instanceId, instanceIndex: endpoint.instanceIndex, tags: endpoint.tags },
    status: exchange.status === 0 && exchange.closed ? 499 : exchange.status,
    bytesIn: exchange.bytesIn,
    bytesOut: exchange.bytesOut,
    requestId: exchange.requestId,
    peer: exchange.peerAddress.includes(":") ? `[${exchange.peerAddress}]:${exchange.peerPort}` : `${exchange.peerAddress}:${exchange.peerPort}`,
    forwardedFor: exchange.forwardedFor || received(request, "x-forwarded-for"),
    forwardedProto: exchange.forwardedProto || received(request, "x-forwarded-proto"),
    referer: request.headers.referer ?? "",
    userAgent: request.headers["user-agent"] ?? "",
    error: fault?.code ?? (exchange.truncated === undefined ? undefined : `answer_truncated (${exchange.truncated})`),
    attempts: exchange.attempts,
    failedAttempts: exchange.failedAttempts,
    upgraded: exchange.upgraded,
    receivedAtMs: exchange.receivedAtMs,
    timings: {
      totalMs,
      routerMs: totalMs - (appMs ?? 0) - exchange.failedMs,
      appMs,
      appHeadersMs: appHeadersMs === 0 ? undefined : appHeadersMs - appStartedMs,
      failedAttemptsMs: exchange.failedMs,
    },
    header: (name) => {
      const value = received(request, name);
      return value === "" ? undefined : value;
    },
  };
}

function received({ headers }: IncomingMessage, name: string): string {
  const value = headers[name];
  return Array.isArray(value) ? value.join(", ") : value ?? "";
}
