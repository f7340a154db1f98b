import type { Bus } from "./bus.ts";
import { basicGuard } from "./component/credentials.ts";
import { hex, hostPort, newUuid, reachable, startText, uptimeText } from "./component/identity.ts";
import { countLogs } from "./component/log-counts.ts";
import { type MetricsSource } from "./component/metrics.ts";
import { createPages } from "./component/pages.ts";
import { listen } from "./http.ts";
import { componentAnnounce, componentDiscover } from "./messages/component.ts";
import { type Clock, type Logger, silentLogger, systemClock } from "./ports.ts";

export { createMetrics, type Counter, type Gauge, type Histogram, type MetricOptions, type Metrics, type MetricsSource } from "./component/metrics.ts";
export { type Family, type Labels, prometheusContentType, renderFamilies, type Sample } from "./component/prometheus-text.ts";
export { withoutSecrets } from "./component/redact.ts";

export interface ComponentOptions {
  /** What it is: `Router`, `DEA`, `CloudController` ... */
  type: string;
  /** Which one of its kind. Default 0. */
  index?: number;
  /** Where the status page listens. Default 127.0.0.1 and a free port; of `0.0.0.0` and `::` an address of this machine is told. */
  host?: string;
  port?: number;
  /** Basic credentials of the status page. Default: random. */
  user?: string;
  password?: string;
  /**
   * `told` (default): whoever discovers components gets the credentials too, as Cloud Foundry has it, and with it everybody on the bus.
   * `hidden`: they are on neither the bus nor `/varz`; give `user` and `password` and tell them to your monitoring by other means.
   */
  credentials?: "told" | "hidden";
  /** Where the component does its real work, when that is another door than the status page: others on the bus find it as `address`. */
  address?: { host: string; port: number };
  version?: string;
  /** Availability zone. */
  zone?: string;
  /** More fields for `/varz`, asked for at each request. Numbers among them become metrics in `examples/collector`. */
  varz?: () => object | Promise<object>;
  /** The configuration as `/varz` shows it: a copy, without the values of secret keys. */
  config?: object;
  /** Whether this component can work, for `/healthz`. Default: always. What throws, or takes more than 5 s, is not healthy. */
  healthy?: () => boolean | Promise<boolean>;
  /** What `/metrics` shows besides identity, process and bus: `createMetrics()`, or a `Registry` of prom-client. */
  metrics?: MetricsSource;
  /** Subscriptions whose `pending` and `dropped` `/metrics` shows, by a name for each. */
  subscriptions?: Readonly<Record<string, { readonly pending: number; readonly dropped: number }>>;
  /** Where lines go; log through `component.log` and `/varz` counts them as `log_counts`. */
  log?: Logger;
  clock?: Clock;
  /** Ends the component. */
  signal?: AbortSignal;
}

/** A component that others see. Disposing it ends the answers and the status page; peers notice by its silence. */
export interface Component extends AsyncDisposable {
  /** `<index>-<32 hex digits>`, new at every start. */
  readonly uuid: string;
  /** Where others reach the status page: the address told on the bus. */
  readonly host: string;
  readonly port: number;
  /** The logger that was given, counted. */
  readonly log: Required<Logger>;
}

/**
 * Makes a program a component of the bus: serves `/varz`, `/healthz`, `/health` and `/metrics` behind Basic credentials, then answers
 * `vcap.component.discover`, then announces itself; once more whenever the bus comes back. (vcap-common `component.rb`, gorouter `common/component.go`.)
 * @throws BusError `BUS_PORT_TAKEN`, `BUS_CLOSED`
 */
export async function createComponent(bus: Bus, options: ComponentOptions): Promise<Component> {
  const { type, index = 0, host = "127.0.0.1", port = 0, user = hex(16), password = hex(16), signal, clock = systemClock, version, zone, address } = options;
  signal?.throwIfAborted();
  const uuid = newUuid(index);
  const startedMs = clock.now();
  const { log, counts } = countLogs(options.log ?? silentLogger);

  const self = (boundPort: number) => ({
    type, index, uuid,
    host: hostPort(reachable(host), boundPort),
    credentials: options.credentials === "hidden" ? [] : [user, password],
    start: startText(startedMs),
    uptime: uptimeText(clock.now() - startedMs),
    ...(version !== undefined && { version }),
    ...(zone !== undefined && { zone }),
    ...(address && { address: hostPort(reachable(address.host), address.port) }),
  });
  let told = port;
  const pages = createPages({ ...options, bus, clock, log, counts: options.log && counts, allowed: basicGuard(user, password), self: () => self(told) });
  const http = await listen(pages, { host, port });
  told = http.port;

  const living: Disposable[] = [];
  let ended: Promise<void> | undefined;
  const end = (): Promise<void> => (ended ??= (async () => {
    signal?.removeEventListener("abort", onAbort);
    for (const one of living) one[Symbol.dispose]();
    await http[Symbol.asyncDispose]();
  })());
  const onAbort = (): void => void end();
  try {
    signal?.throwIfAborted();
    signal?.addEventListener("abort", onAbort, { once: true });
    // Without a subject for answers `respond` says nothing: such a question is nobody's.
    living.push(bus.subscribe(componentDiscover, ({ respond }) => respond(self(told))));
    const announce = (): void => bus.publish(componentAnnounce, self(told));
    living.push(bus.onStatus((status) => {
      if (status === "connected") announce();
    }));
    announce();
  } catch (error) {
    await end();
    throw error;
  }
  return { uuid, host: reachable(http.host), port: http.port, log, [Symbol.asyncDispose]: end };
}
