import { performance } from "node:perf_hooks";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { connectionOf, type ConnectionInfo } from "../edge/connection.ts";
import type { NoChoice } from "../balance.ts";
import type { Backend, Endpoint } from "../endpoint.ts";
import type { HeaderBlock } from "../http1/head.ts";
import type { Pool } from "../pool.ts";
import type { Clock, Logger } from "../ports.ts";
import type { RouteTable } from "../table/route-table.ts";
import type { Arrival } from "./arrival.ts";
import type { FailedAttempt } from "./failure.ts";
import type { Fault } from "./fault.ts";
import { firstValue, joinedValues } from "./flat-headers.ts";
import { flatOf, type Outbound } from "./lines.ts";
import { momentHeaders, type Passage } from "./passage.ts";
import type { RouteService, RouteServices } from "../route-service/services.ts";
import type { RetryBudget } from "./retry-budget.ts";
import type { ProxySettings } from "./settings.ts";

/** A client's connection that asks to leave HTTP. */
export interface Upgrade {
  readonly socket: Duplex;
  /** Stops reading along, and gives what the client has sent after its request. */
  release(): Buffer;
  /** Tells the client that the tunnel is open, where that is not said in HTTP/1.1's words. Headers flat. */
  readonly accept?: (status: number, headers: readonly string[]) => void;
}

/** What the steps of all requests share. */
export interface ProxyContext {
  readonly table: RouteTable;
  readonly settings: ProxySettings;
  readonly log: Logger;
  readonly clock: Clock;
  /** Name of this router, for the trace headers. */
  readonly id: string;
  /** True from the first moment of a drain: connections are closed after their current answer. */
  draining: boolean;
  /** Connections that left HTTP, to be cut when a drain is over. */
  readonly tunnels: Set<Duplex>;
  readonly engine: Engine;
  /** Told of each failed attempt, in the words of the failure table. */
  readonly attemptFailed?: ((cause: string) => void) | undefined;
  /** For routes that have a service; undefined where no secret is configured. */
  readonly routeServices?: RouteServices | undefined;
  /** Where requests wait when every endpoint is at its limit; without it none waits. */
  readonly queue?: Queue | undefined;
  /** What bounds repetitions; without it only `maxAttempts` does. */
  readonly retryBudget?: RetryBudget | undefined;
}

/** Requests that wait for a place because every endpoint of their route is at its limit. */
export interface Queue extends Disposable {
  /** The endpoint, its place taken; or why there is none: too many wait already, or it took too long. */
  wait(exchange: Exchange, tried: readonly Endpoint[]): Promise<Endpoint | NoChoice>;
  /** A place has become free at an address: whoever waits longest for one of its routes gets it. */
  freed(backend: Backend): void;
  readonly waiting: number;
}

/**
 * What carries one request to one endpoint and streams the answer back: the seam behind which the HTTP client can be exchanged.
 * An engine reports failures in the codes of `failure.ts`: what the system says (`ECONNREFUSED` …), TLS codes, and
 * `CLIENT_GONE`, `ENDPOINT_TIMEOUT`, `DIAL_TIMEOUT`, `EOF`, `HEADERS_TOO_LARGE`, `BAD_RESPONSE`, `BODY_TOO_LARGE`.
 */
export interface Engine {
  /**
   * Makes one attempt, and calls `over` once, at its end: with nothing when the endpoint's part is over, its answer handed to the client's
   * connection as a whole or cut short; with a failure when the answer had not begun, so that another attempt can be made. Never throws.
   */
  forward(exchange: Exchange, endpoint: Endpoint, headers: Outbound, over: (failure: FailedAttempt | undefined) => void): void;
  /** The same for a WebSocket to an endpoint registered with `http2`. Without this they go over HTTP/1.1. */
  upgrade?(exchange: Exchange, endpoint: Endpoint, headers: Outbound, over: (failure: FailedAttempt | undefined) => void): void;
  /** The address is used by no route any more: its idle connections can go, those in use when they are done. */
  release(backend: Backend): void;
  /** Closes every connection. */
  close(): Promise<void>;
}

/** Waits for the end of an exchange. */
export interface CloseListener { onClosed(): void }

/** Waits for the end of the attempts to have a request answered. */
export interface DeliveryListener {
  /** It is answered, or its client gone. `answer`: resolves when that is so, where it is the router's own answer. */
  onDelivered(exchange: Exchange, answer?: Promise<void>): void;
  /** Something broke that is no failure of an endpoint. */
  onBroken(exchange: Exchange, cause: unknown): void;
}

/**
 * One request and its answer, on their way through the steps.
 * A class, so that every exchange has the same shape; all fields may be read by any step, the mutable ones may be set.
 */
export class Exchange {
  /** Stands also for upgrade requests, until the tunnel is open. */
  readonly response: ServerResponse;
  readonly context: ProxyContext;
  /** The client's socket, when it asks to leave HTTP (`Upgrade`). */
  readonly upgrade: Upgrade | undefined;
  readonly method: string;
  readonly httpVersion: string;
  readonly httpVersionMajor: number;
  readonly httpVersionMinor: number;
  /** Whether a body was announced. */
  readonly hasBody: boolean;
  /** The client's connection; over HTTP/2 what stands for it. */
  readonly socket: Socket;
  /** The target as received. */
  readonly receivedTarget: string;
  /** `Host` as the client sent it (or the authority of an absolute target); this is what the app sees. */
  readonly host: string;
  /** What was known of the client before its request: its certificate, for which hosts it came. */
  readonly connection: ConnectionInfo;
  /** Address the client comes from, without port: the peer's, or what its PROXY header says. */
  readonly peerAddress: string;
  readonly peerPort: number;
  /** Whether it came over TLS. */
  readonly secure: boolean;

  /** Under this name the route is looked up. A step before `findRoute` may change it; `Host` stays as it is. */
  lookupHost: string;
  /** What stands in the request line, and goes to the app byte by byte. A step before `findRoute` may change it. */
  target: string;
  /** The shortest way for the headers, where there is one; taken unless somebody asks for `outboundHeaders`. */
  passage: Passage | undefined = undefined;
  requestId = "";
  /** Id of the trace the request belongs to, hexadecimal; empty without tracing. */
  traceId = "";
  /** Changes the headers of the answer (name, value, name, value …) last of all, whoever made it. */
  rewriteAnswer: ((headers: string[]) => string[]) | undefined = undefined;
  route: Pool | undefined = undefined;
  endpoint: Endpoint | undefined = undefined;
  /** A further condition on the endpoint; set by `pickEndpoint` for instance headers, or by a step of yours. */
  eligible: ((endpoint: Endpoint) => boolean) | undefined = undefined;
  /** Instance the request's affinity cookie names; empty without one. */
  stickyInstance = "";
  /** Whether only that instance will do. */
  stickyHard = false;
  /** The address at which the request holds a place: it counts there. */
  held: Backend | undefined = undefined;
  /** Bytes its body may have; 0 = no limit. An engine that reads more gives up with `BODY_TOO_LARGE`. */
  maxBodyBytes = 0;
  /** The router's own answer, if it made one. */
  fault: Fault | undefined = undefined;
  forwardedFor = "";
  forwardedProto = "";
  /** The route's service, while this leg of the request goes there. */
  service: RouteService | undefined = undefined;
  /** Whether the request has come back from the route's service, with a valid signature. */
  viaRouteService = false;
  idempotencyKey = false;
  expectContinue = false;
  /** Whoever carries the body to the endpoint now; undefined before the first byte is asked for. */
  upload: { stop(): void } | undefined = undefined;
  /** Whether the client's connection ends with this answer, because a part of its body will never be read. */
  closesAfter = false;

  status = 0;
  /** Whether the client can tell a complete answer from a cut one without looking at the connection. */
  framed = true;
  bytesIn = 0;
  bytesOut = 0;
  attempts = 0;
  failedAttempts = 0;
  /** Why the answer of the app was cut short; undefined when it was complete. */
  truncated: string | undefined = undefined;
  /** Whether the connection became a tunnel. */
  upgraded = false;
  /** Milliseconds since the epoch at which the request's headers were read. */
  readonly receivedAtMs: number;
  /** Monotonic, milliseconds: see `timings` of the record. 0 = did not happen. */
  readonly startedMs: number;
  failedMs = 0;
  /** Of the attempt that counts, where it made a connection of its own: name, TCP, TLS, and from the first of these to the last. */
  dnsMs = 0;
  dialMs = 0;
  tlsMs = 0;
  connectMs = 0;
  /** `address:port` of the router's end of the connection to the endpoint; empty where there was none, or it is not known. */
  localAddress = "";
  /** When the attempt under way was begun. */
  attemptMs = 0;
  appStartedMs = 0;
  appHeadersMs = 0;
  appFinishedMs = 0;

  /** Who is told instead of a promise, where no step waits behind `next`; undefined where one may. */
  whenDelivered: DeliveryListener | undefined = undefined;
  /** Whether `whenDelivered` will be told, whatever the steps have given back. */
  isHandedOn = false;
  /** Where it stands in the list of those under way; -1 when it does not. */
  placeUnderWay = -1;
  /** True when the client's connection is gone or the answer is complete. */
  closed = false;
  /** The header lines as the client's connection keeps them; undefined where it keeps none. */
  readonly block: HeaderBlock | undefined;
  readonly #arrival: Arrival;
  #outbound: string[] = [];
  /** As they stand now; undefined as long as they are those that were received. */
  #headers: readonly string[] | undefined = undefined;
  /** Whether the headers are this exchange's alone. */
  #ownHeaders = false;
  #onClose: CloseListener | (() => void) | undefined = undefined;

  constructor(context: ProxyContext, arrival: Arrival, response: ServerResponse, upgrade?: Upgrade) {
    this.context = context;
    this.#arrival = arrival;
    this.response = response;
    this.upgrade = upgrade;
    this.method = arrival.method;
    this.target = this.receivedTarget = arrival.target;
    this.httpVersion = arrival.httpVersion;
    this.httpVersionMajor = arrival.httpVersionMajor;
    this.httpVersionMinor = arrival.httpVersionMinor;
    this.hasBody = arrival.hasBody;
    this.socket = arrival.socket;
    this.block = arrival.block;
    this.host = (this.method === "CONNECT" ? this.target : authorityOf(this.target)) ?? arrival.host;
    this.lookupHost = this.host;
    const connection = connectionOf(arrival.socket);
    this.connection = connection;
    this.peerAddress = connection.peerAddress;
    this.peerPort = connection.peerPort;
    this.secure = connection.secure;
    this.receivedAtMs = context.clock.now();
    this.startedMs = performance.now();
    arrival.whenGone(this);
  }

  /** For one attempt, the whole body included: the route's, else the router's. */
  get endpointTimeoutMs(): number {
    return this.route?.options.endpointTimeoutMs ?? this.context.settings.endpointTimeoutMs;
  }

  /** The request as a stream with headers by name; made when it is first asked for. */
  get request(): IncomingMessage { return this.#arrival.request; }

  /** Name, value, name, value … as received; may be shared with other requests. */
  get receivedHeaders(): readonly string[] { return this.#arrival.rawHeaders; }

  /** Whether no step has had its hands in the headers. */
  get isUntouched(): boolean { return this.#headers === undefined; }

  /** Name, value, name, value … as received. A step before `rewriteHeaders` may change or replace it; what is here reaches the app. */
  get requestHeaders(): string[] {
    if (!this.#ownHeaders) this.requestHeaders = this.currentHeaders.slice();
    return this.#headers as string[];
  }

  set requestHeaders(headers: string[]) {
    this.#headers = headers;
    this.#ownHeaders = true;
  }

  /** What goes to the endpoint: made by `rewriteHeaders`, without the headers that depend on the endpoint. A later step may change or replace it. */
  get outboundHeaders(): string[] {
    const { passage } = this;
    if (passage !== undefined) this.outboundHeaders = [...flatOf(passage.lines), ...momentHeaders(this, passage.forwarding)];
    return this.#outbound;
  }

  set outboundHeaders(headers: string[]) {
    this.passage = undefined;
    this.#outbound = headers;
  }

  /** The same for those who only read. */
  get currentHeaders(): readonly string[] { return this.#headers ?? this.receivedHeaders; }

  /** Value of a request header as it came; of several all, joined. `name` in lower case. */
  received(name: string): string | undefined { return joinedValues(this.receivedHeaders, name); }

  /** Value of a request header as it stands now; the first one of several. `name` in lower case. */
  header(name: string): string | undefined { return firstValue(this.currentHeaders, name); }

  /** Sets a header the app will see, in place of any the client sent. */
  setHeader(name: string, value: string): void {
    const lower = name.toLowerCase();
    const kept: string[] = [];
    const headers = this.currentHeaders;
    for (let at = 0; at < headers.length; at += 2) {
      const given = headers[at] as string;
      if (given.toLowerCase() !== lower) kept.push(given, headers[at + 1] as string);
    }
    kept.push(name, value);
    this.requestHeaders = kept;
  }

  /** Told once, when the exchange closes for whatever reason; at most one waits at a time, the last one set. */
  whenClosed(waiting: CloseListener | (() => void) | undefined): void {
    if (!this.closed || waiting === undefined) this.#onClose = waiting;
    else if (typeof waiting === "function") waiting();
    else waiting.onClosed();
  }

  markClosed(): void {
    if (this.closed) return;
    this.closed = true;
    const waiting = this.#onClose;
    this.#onClose = undefined;
    if (typeof waiting === "function") waiting();
    else waiting?.onClosed();
  }
}

/** The authority of an absolute-form target, which then counts instead of `Host` (RFC 9112, 3.2.2). */
export function authorityOf(target: string): string | undefined {
  if (target.charCodeAt(0) === 0x2f /* / */) return undefined;
  const match = /^https?:\/\/([^/?#]*)/i.exec(target);
  return match?.[1];
}

/** The path of a target for look-up: of an absolute target what follows the authority. */
export function originOf(target: string): string {
  if (target.charCodeAt(0) === 0x2f) return target;
  const match = /^https?:\/\/[^/?#]*/i.exec(target);
  if (match === null) return target;
  const rest = target.slice(match[0].length);
  return rest.startsWith("/") ? rest : `/${rest}`;
}

/** Such a client knows neither chunks nor trailers nor interim answers. */
export const speaksHttp10 = ({ httpVersionMajor, httpVersionMinor }: Exchange): boolean => httpVersionMajor < 2 && httpVersionMinor === 0;
