import { performance } from "node:perf_hooks";
import type { Exchange } from "./exchange.ts";
import { joinedValues } from "./flat-headers.ts";
import { namesOf } from "./names.ts";
import { spokenFor, type Passage } from "./passage.ts";
import { markSemicolons } from "./semicolons.ts";

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
  /** Why the answer of the app was cut; undefined when it was whole, or there was none. */
  readonly truncated: string | undefined;
  /** What the log should say of the request where it has no error: `deprecated-semicolon-params` for a target with a `;`. */
  readonly warning: string | undefined;
  readonly attempts: number;
  readonly failedAttempts: number;
  readonly upgraded: boolean;
  /** Whether the client asked to leave HTTP (`Upgrade`). */
  readonly wantedUpgrade: boolean;
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
    /** In the router before there was a connection to the endpoint, failed attempts aside; undefined when none answered. */
    readonly queueMs: number | undefined;
    /** To make that connection; undefined when one was open already. */
    readonly connectMs: number | undefined;
    /** Of that, for the name (none for an address), for TCP, for TLS (none without). */
    readonly dnsMs: number | undefined;
    readonly dialMs: number | undefined;
    readonly tlsMs: number | undefined;
  };
  /** `address:port` of the router's end of the connection to the endpoint; empty when there was none. Over HTTP/2, and with undici, known only of a connection that was made for this request. */
  readonly localAddress: string;
  /** Values of request headers as they went on their way (a trace's among them), by lower-case name; for additional fields of the log. */
  header(name: string): string | undefined;
}

/** Takes down what happened. The exchange must be over. */
export const recordOf = (exchange: Exchange): RequestRecord => new TakenRecord(exchange, performance.now());

/** What has become of its header lines; undefined where they were taken apart. */
export const passageTakenBy = (record: RequestRecord): Passage | undefined => TakenRecord.passageOf(record);

/** Plain fields, so that it can be written as JSON; the question that costs something is answered when it is asked. */
class TakenRecord implements RequestRecord {
  readonly method: string;
  readonly host: string;
  readonly target: string;
  readonly httpVersion: string;
  readonly route: string | undefined;
  readonly endpoint: RequestRecord["endpoint"];
  readonly status: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly requestId: string;
  readonly peer: string;
  readonly forwardedFor: string;
  readonly forwardedProto: string;
  readonly referer: string;
  readonly userAgent: string;
  readonly error: string | undefined;
  readonly truncated: string | undefined;
  readonly warning: string | undefined;
  readonly attempts: number;
  readonly failedAttempts: number;
  readonly upgraded: boolean;
  readonly wantedUpgrade: boolean;
  readonly receivedAtMs: number;
  readonly timings: RequestRecord["timings"];
  readonly localAddress: string;
  readonly #lines: { readonly raw: readonly string[] };
  readonly #passage: Passage | undefined;

  constructor(exchange: Exchange, nowMs: number) {
    const { endpoint, appStartedMs, appHeadersMs, startedMs } = exchange;
    const totalMs = nowMs - startedMs;
    const appMs = appHeadersMs === 0 ? undefined : (exchange.appFinishedMs || nowMs) - appStartedMs;
    this.method = exchange.method;
    this.host = exchange.host;
    this.target = exchange.target;
    this.httpVersion = exchange.httpVersion;
    this.route = exchange.route?.key;
    this.endpoint = endpoint === undefined ? undefined : namesOf(endpoint).shown;
    this.status = exchange.status === 0 && exchange.closed ? 499 : exchange.status;
    this.bytesIn = exchange.bytesIn;
    this.bytesOut = exchange.bytesOut;
    this.requestId = exchange.requestId;
    this.peer = exchange.connection.peer;
    this.forwardedFor = exchange.forwardedFor || (exchange.received("x-forwarded-for") ?? "");
    this.forwardedProto = exchange.forwardedProto || (exchange.received("x-forwarded-proto") ?? "");
    const { referer, userAgent } = exchange.passage ?? spokenFor(exchange.receivedHeaders);
    this.referer = referer;
    this.userAgent = userAgent;
    this.error = exchange.fault?.code ?? (exchange.truncated === undefined ? undefined : `answer_truncated (${exchange.truncated})`);
    this.truncated = exchange.truncated;
    this.warning = markSemicolons(exchange);
    this.attempts = exchange.attempts;
    this.failedAttempts = exchange.failedAttempts;
    this.upgraded = exchange.upgraded;
    this.wantedUpgrade = exchange.upgrade !== undefined;
    this.receivedAtMs = exchange.receivedAtMs;
    this.timings = {
      totalMs,
      routerMs: totalMs - (appMs ?? 0) - exchange.failedMs,
      appMs,
      appHeadersMs: appHeadersMs === 0 ? undefined : appHeadersMs - appStartedMs,
      failedAttemptsMs: exchange.failedMs,
      queueMs: appStartedMs === 0 ? undefined : Math.max(0, appStartedMs - startedMs - exchange.failedMs - exchange.connectMs),
      connectMs: exchange.connectMs || undefined,
      dnsMs: exchange.dnsMs || undefined,
      dialMs: exchange.dialMs || undefined,
      tlsMs: exchange.tlsMs || undefined,
    };
    this.localAddress = exchange.localAddress;
    this.#lines = exchange.isUntouched && exchange.block !== undefined ? exchange.block : { raw: exchange.currentHeaders };
    this.#passage = exchange.passage;
  }

  /** The passage that it took, where it was one; nothing of a record that was made elsewhere. */
  static passageOf(record: RequestRecord): Passage | undefined { return #passage in record ? record.#passage : undefined; }

  header(name: string): string | undefined { return joinedValues(this.#lines.raw, name) || undefined; }
}
