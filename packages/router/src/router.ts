import { randomUUID } from "node:crypto";
import type { Duplex } from "node:stream";
import { engineFor } from "./engines.ts";
import { RouterError } from "./errors.ts";
import type { CertificateSource } from "./edge/certificate.ts";
import { createEdge, type EdgeNumbers } from "./edge/edge.ts";
import { createFront } from "./front.ts";
import { withHttp2 } from "./http2/engine.ts";
import { createHttp2Front } from "./http2/front.ts";
import type { Address } from "./listen.ts";
import { createAccessLog } from "./log/access-log.ts";
import { countLogs } from "./log/count-logger.ts";
import { createNumbers, type RouterNumbers } from "./numbers.ts";
import { createNativeFront } from "./native/native-front.ts";
import { resolveSettings, type RouterOptions } from "./options.ts";
import { silentLogger, systemClock } from "./ports.ts";
import type { DeliveryListener, Exchange, ProxyContext } from "./proxy/exchange.ts";
import { faults } from "./proxy/fault.ts";
import { handedOn } from "./proxy/forward.ts";
import { createHealthChecks } from "./proxy/health-check.ts";
import { runSteps } from "./proxy/pipeline.ts";
import { takeLeave } from "./proxy/leave-taking.ts";
import { giveBack } from "./proxy/places.ts";
import { createQueue } from "./proxy/queue.ts";
import { recordOf, type RequestRecord } from "./proxy/record.ts";
import { ended, respondFault } from "./proxy/respond.ts";
import { watchSlowBodies } from "./proxy/slow-body.ts";
import { defaultSteps } from "./proxy/steps.ts";
import { UnderWay } from "./proxy/under-way.ts";
import { createRetryBudget } from "./proxy/retry-budget.ts";
import { createRouteServices } from "./route-service/services.ts";
import { createTcpFront } from "./tcp/front.ts";
import { resolveTcp } from "./tcp/options.ts";
import { tcpLogLine, type TcpNumbers, type TcpRecord } from "./tcp/record.ts";
import type { RunningSource } from "./source.ts";
import { checkStatusOptions, createStatusListener, type StatusAddresses, type StatusListener, type StatusView, viewOf } from "./status.ts";
import { createRouteTable, type RouteTable } from "./table/route-table.ts";

export interface RouterEvents {
  /** A request is over: answered, failed or left. */
  request: RequestRecord;
  /** A TCP connection is over. */
  connection: TcpRecord;
  /** The state changed. */
  state: RouterState;
}

/** `draining`: still answering what came in, with `/health` at 503. */
export type RouterState = "new" | "starting" | "healthy" | "draining" | "stopped";

export interface DrainOptions {
  /** How long to go on accepting requests while `/health` says 503, so that balancers can look elsewhere. Default 0. */
  waitMs?: number;
  /** How long requests may take to finish after that. Default the router's `drainTimeoutMs`. */
  timeoutMs?: number;
}

export interface Router extends AsyncDisposable {
  readonly table: RouteTable;
  readonly id: string;
  readonly state: RouterState;
  /** Where it listens for plain HTTP, else for HTTPS; undefined before `listen`. */
  readonly address: Address | undefined;
  /** Where it listens for HTTPS; undefined before `listen`, and without `tls`. */
  readonly tlsAddress: Address | undefined;
  /** Ports that TCP routes have open now, in order. */
  readonly tcpPorts: readonly number[];
  /** Where the status listener listens, if there is one. */
  readonly statusAddress: Address | undefined;
  /** Where its other doors are. */
  readonly statusAddresses: StatusAddresses | undefined;
  /**
   * Starts the sources, waits `startDelayMs`, opens the ports. @returns `address`
   * @throws {RouterError} ROUTER_PORT_TAKEN, ROUTER_PORT_FORBIDDEN, ROUTER_LISTEN_FAILED, ROUTER_BAD_CERTIFICATE, ROUTER_SOURCE_FAILED, ROUTER_CLOSED
   */
  listen(): Promise<Address>;
  /**
   * Reads the files of certificates again, or takes these certificates instead, for connections from now on; no open one is touched.
   * @throws {RouterError} ROUTER_BAD_CERTIFICATE (the old ones stay), ROUTER_BAD_OPTION (no `tls`), ROUTER_CLOSED
   */
  reloadTls(certificates?: readonly CertificateSource[]): Promise<void>;
  /** Subscribes to an event. A listener that throws harms nobody. */
  on<K extends keyof RouterEvents>(event: K, listener: (value: RouterEvents[K]) => void): Disposable;
  numbers(): RouterNumbers & EdgeNumbers & Partial<TcpNumbers>;
  /** Requests and tunnels under way. */
  readonly inFlight: number;
  /** What the status pages show, for whoever shows it elsewhere: a process that stands for several routers. */
  readonly view: StatusView;
  /** Stops accepting, lets requests finish, then stops for good. A second call waits for the first. */
  drain(options?: DrainOptions): Promise<void>;
}

/** Requests under way on one connection of HTTP/2. */
const maxHttp2Streams = 250;
/**
 * Makes a router. Nothing listens before `listen`; disposing it drains it.
 * @throws {RouterError} ROUTER_BAD_OPTION
 */
export function createRouter(options: RouterOptions = {}): Router {
  const settings = resolveSettings(options);
  const {
    port = 8080, host = "127.0.0.1", tls, proxyProtocol = "off", proxyHeaderTimeoutMs = 3_000, steps: ownSteps = defaultSteps, sources = [], status, index = 0, id = `${index}-${randomUUID()}`, startDelayMs = 0,
    drainTimeoutMs = 10_000, headersTimeoutMs = 60_000, clientIdleMs = 900_000, clock = systemClock,
    emptyPoolTimeoutMs = 0, pathCase = "sensitive", engine: engineOption = "native",
  } = options;
  const { log, counts: logCounts } = countLogs(options.log ?? silentLogger);
  if (status !== undefined) checkStatusOptions(status);
  const table = options.table ?? createRouteTable({ emptyPoolTimeoutMs, pathCase, log, clock });
  const engine = options.http2 === false ? engineFor(engineOption, settings) : withHttp2(engineFor(engineOption, settings), settings);
  const released = table.onIdleBackend((backend) => engine.release(backend));
  const numbers = createNumbers(() => clock.now(), options.maxCountedApps === undefined ? {} : { max: options.maxCountedApps });
  const accessLog = options.accessLog === undefined ? undefined : createAccessLog([options.accessLog].flat(), options.accessLogFormat ?? {}, log);
  const routeServices = options.routeServices === undefined ? undefined : createRouteServices(options.routeServices, (backend) => engine.release(backend));
  const queue = createQueue({ clock, settings }, table);
  const retryBudget = createRetryBudget(settings.retryBudgetPercent);
  const context: ProxyContext = { table, settings, log, clock, id, engine, draining: false, tunnels: new Set<Duplex>(), attemptFailed: numbers.attemptFailed, routeServices, queue, retryBudget };
  const healthy = (): boolean => state === "healthy" && !broken;
  const healthChecks = options.healthCheckAgent ? createHealthChecks(options.healthCheckAgent, healthy) : undefined;
  const steps = healthChecks === undefined ? ownSteps : [healthChecks.step, ...ownSteps];
  const listeners: { [K in keyof RouterEvents]: Set<(value: RouterEvents[K]) => void> } = { request: new Set(), connection: new Set(), state: new Set() };
  const started: { readonly name: string; readonly source: RunningSource }[] = [];
  const underWay = new UnderWay();
  const aborter = new AbortController();
  let idle: (() => void) | undefined;
  let state: RouterState = "new";
  let address: Address | undefined;
  let tlsAddress: Address | undefined;
  let statusListener: StatusListener | undefined;
  let ending: Promise<void> | undefined;
  let broken = false;
  const startedAtMs = clock.now();

  const front = createFront({ context, headersTimeoutMs, clientIdleMs, maxHeaderBytes: settings.maxRequestHeaderBytes, handle });
  const nativeFront = engineOption !== "native" ? undefined : createNativeFront({
    context, headersTimeoutMs, clientIdleMs, maxHeaderBytes: settings.maxRequestHeaderBytes + 4_096, handle: serve, handOver: (socket) => front.emit("connection", socket),
  });
  const http2Front = options.http2 === false ? undefined : createHttp2Front({
    context, headersTimeoutMs, clientIdleMs, maxHeaderBytes: settings.maxRequestHeaderBytes, maxResponseHeaderBytes: settings.maxResponseHeaderBytes, maxStreams: maxHttp2Streams, handle,
  });
  const slowBodies = watchSlowBodies(underWay, settings.clientStallMs);
  const edge = createEdge({
    maxConnections: options.maxClientConnections ?? 0,
    host, port, tls, proxyProtocol, proxyHeaderTimeoutMs, trustedProxies: settings.trustedProxies, log, clock, headersTimeoutMs,
    serve: nativeFront === undefined ? (socket) => front.emit("connection", socket) : (socket) => nativeFront.serve(socket),
    failed: () => { broken = true; },
    serveHttp2: http2Front === undefined ? undefined : (socket) => http2Front.serve(socket),
  });

  const tcpFront = options.tcp === undefined ? undefined : createTcpFront({
    tcp: resolveTcp(options.tcp, { host, tls }), table, settings, log, clock,
    finished: (taken) => {
      emit("connection", taken);
      accessLog?.addLine(tcpLogLine(taken, options.accessLogFormat));
    },
  });

  async function handle(exchange: Exchange): Promise<void> {
    underWay.add(exchange);
    await settle(exchange, runSteps(steps, exchange));
  }

  /** The same for those who do not wait for the end. Where no step of others may wait for it either, it goes without promises, which cost a share of a small request. */
  function serve(exchange: Exchange): void {
    if (ownSteps !== defaultSteps) return void handle(exchange);
    underWay.add(exchange);
    exchange.whenDelivered = delivery;
    const way = runSteps(steps, exchange);
    if (way !== handedOn) void way.then(() => { if (!exchange.isHandedOn) void settle(exchange, way); }, () => void settle(exchange, way));
  }

  const delivery: DeliveryListener = {
    onDelivered(exchange, answer) {
      if (answer === undefined && exchange.closed) finish(exchange);
      else void settle(exchange, answer);
    },
    onBroken: (exchange, cause) => void settle(exchange, Promise.reject(cause as Error)),
  };

  async function settle(exchange: Exchange, way: Promise<void> | undefined): Promise<void> {
    try {
      await way;
      // A step may have answered without waiting for the end of its answer.
      if (!exchange.closed && exchange.response.headersSent) await ended(exchange);
      else if (!exchange.closed) throw new Error("no step answered the request");
    } catch (cause) {
      log.error("router.step.failed", { requestId: exchange.requestId, error: cause instanceof Error ? cause.stack : String(cause) });
      try { await respondFault(exchange, faults.unknownFailure()); } catch { exchange.socket.destroy(); }
    }
    finish(exchange);
  }

  function finish(exchange: Exchange): void {
    // A step may have answered between choice and attempt.
    giveBack(exchange);
    underWay.delete(exchange);
    record(exchange);
    if (underWay.size <= context.tunnels.size) idle?.();
  }

  function record(exchange: Exchange): void {
    if (healthChecks?.answered(exchange) === true) return;
    if (exchange.status === 0 && exchange.response.headersSent) exchange.status = exchange.response.statusCode;
    const taken = recordOf(exchange);
    numbers.count(taken);
    emit("request", taken);
    accessLog?.add(taken);
  }

  function emit<K extends keyof RouterEvents>(event: K, value: RouterEvents[K]): void {
    for (const listener of listeners[event]) {
      try { listener(value); } catch (cause) { log.error("router.listener.failed", { event, error: String(cause) }); }
    }
  }

  function enter(next: RouterState): void {
    state = next;
    emit("state", next);
    log.info(`router.${next}`, { id, address });
  }

  async function listen(): Promise<Address> {
    if (state !== "new") throw new RouterError("ROUTER_CLOSED", state === "stopped" || state === "draining" ? "this router has been stopped: make another one" : "listen was called already");
    enter("starting");
    try {
      if (status !== undefined) statusListener = await createStatusListener(status, view);
      for (const source of sources) {
        try {
          started.push({ name: source.name, source: await source.start({ table, routerId: id, log, clock }) });
        } catch (cause) {
          throw new RouterError("ROUTER_SOURCE_FAILED", `the source of routes ${JSON.stringify(source.name)} did not start: ${cause instanceof Error ? cause.message : String(cause)}`, { cause, retryable: true });
        }
      }
      if (sources.length > 0 && startDelayMs > 0) await pause(startDelayMs, started.flatMap(({ source }) => source.confirmed?.(aborter.signal) ?? []));
      if (ending !== undefined) throw new RouterError("ROUTER_CLOSED", "the router was stopped while it started");
      // Connections are given to it, it listens itself nowhere; this is what starts its watch over slow heads and idle connections.
      front.emit("listening");
      const opened = await edge.listen();
      tlsAddress = opened.tlsAddress;
      address = opened.address ?? tlsAddress as Address;
      await tcpFront?.listen();
    } catch (cause) {
      await stop();
      throw cause;
    }
    enter("healthy");
    return address;
  }

  /** A table from the last run needs no full start delay once somebody has confirmed it. */
  function pause(ms: number, sooner: readonly Promise<void>[]): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      for (const one of sooner) void one.then(() => { clearTimeout(timer); resolve(); });
      aborter.signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
    });
  }

  async function drainOnce({ waitMs = 0, timeoutMs = drainTimeoutMs }: DrainOptions): Promise<void> {
    const wasListening = edge.listening;
    if (state !== "stopped") enter("draining");
    // From here on every answer says `Connection: close`, so that clients come back through the balancer.
    context.draining = true;
    http2Front?.drain();
    if (wasListening) {
      if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
      edge.close();
      front.close();
      nativeFront?.drain();
      tcpFront?.close();
      const begun = performance.now();
      const limit = setTimeout(() => {
        idle?.();
        tcpFront?.cut();
      }, timeoutMs);
      // Tunnels do not end by themselves, and their clients reconnect: they are ended when the last ordinary request is answered.
      if (underWay.size > context.tunnels.size) await new Promise<void>((resolve) => { idle = resolve; });
      await tcpFront?.idle();
      clearTimeout(limit);
      if (timeoutMs > 0) await takeLeave(context.tunnels, begun + timeoutMs - performance.now());
      await http2Front?.sent(begun + timeoutMs - performance.now());
    }
    await stop();
  }

  async function stop(): Promise<void> {
    context.draining = true;
    aborter.abort();
    for (const socket of context.tunnels) socket.destroy();
    edge.close();
    front.close();
    front.closeAllConnections();
    nativeFront?.cut();
    http2Front?.cut();
    edge.cut();
    tcpFront?.close();
    tcpFront?.cut();
    for (const exchange of underWay) exchange.socket.destroy();
    for (const { source } of started.splice(0).reverse()) {
      try { await source[Symbol.asyncDispose](); } catch (cause) { log.warn("router.source.stop", { error: String(cause) }); }
    }
    released[Symbol.dispose]();
    slowBodies[Symbol.dispose]();
    queue[Symbol.dispose]();
    await engine.close();
    accessLog?.flush();
    await statusListener?.[Symbol.asyncDispose]();
    if (state !== "stopped") enter("stopped");
  }

  const view = viewOf({
    table, numbers, clock, id, index, startedAtMs, accessLog, logCounts,
    // A door that broke is no place to send people to, whatever else still works.
    healthy,
    state: () => (state === "healthy" && broken ? "degraded" : state),
    address: () => address,
    inFlight: () => ({ requests: underWay.size, tunnels: context.tunnels.size }),
    sources: () => ({ ...Object.fromEntries(started.map(({ name, source }) => [name, source.numbers?.() ?? {}])), edge: { ...edge.numbers() }, ...(tcpFront === undefined ? {} : { tcp: { ...tcpFront.numbers() } }) }),
    isUnconfirmed: (route, endpoint) => started.some(({ source }) => source.isUnconfirmed?.(route, endpoint) === true),
    patience: () => ({ refusedRetries: retryBudget.refused, waiting: queue.waiting, refusedWaiting: queue.refused, timedOutWaiting: queue.timedOut }),
  });
  const drain = (drainOptions: DrainOptions = {}): Promise<void> => ending ??= drainOnce(drainOptions);
  return {
    table, id, listen, drain, view,
    async reloadTls(certificates) {
      if (tls !== undefined || certificates !== undefined || options.tcp?.tls === undefined) await edge.reloadTls(certificates);
      await tcpFront?.reloadTls(certificates);
    },
    get state() { return state; },
    get address() { return address; },
    get tlsAddress() { return tlsAddress; },
    get tcpPorts() { return tcpFront?.ports ?? []; },
    get statusAddress() { return statusListener?.address; },
    get statusAddresses() { return statusListener; },
    get inFlight() { return underWay.size; },
    numbers: () => ({ ...numbers.snapshot(), ...edge.numbers(), ...tcpFront?.numbers() }),
    on(event, listener) {
      const held = listeners[event];
      held.add(listener);
      return { [Symbol.dispose]: () => void held.delete(listener) };
    },
    [Symbol.asyncDispose]: () => drain(),
  };
}
