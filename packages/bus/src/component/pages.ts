import type { Bus } from "../bus.ts";
import type { Handler } from "../http.ts";
import type { Clock, Logger } from "../ports.ts";
import type { LogCounts } from "./log-counts.ts";
import type { MetricsSource } from "./metrics.ts";
import { ownFamilies } from "./own-families.ts";
import { createProcessNumbers } from "./process-numbers.ts";
import { type Labels, prometheusContentType, renderFamilies } from "./prometheus-text.ts";
import { withoutSecrets } from "./redact.ts";

export interface PagesOptions {
  type: string;
  bus: Pick<Bus, "connected" | "counters" | "pendingOut">;
  clock: Clock;
  log: Logger;
  /** Where somebody logs through the component. */
  counts: LogCounts | undefined;
  allowed: (authorization: string | null) => boolean;
  /** The fields that discovery tells. */
  self: () => { readonly type: string; readonly index: number; readonly uuid: string; readonly version?: string; readonly zone?: string };
  varz?: () => object | Promise<object>;
  config?: object;
  healthy?: () => boolean | Promise<boolean>;
  metrics?: MetricsSource;
  subscriptions?: Readonly<Record<string, { readonly pending: number; readonly dropped: number }>>;
}

const paths = "/varz      what this component tells of itself, as JSON\n/healthz   whether it can work (also /health)\n/metrics   the same in numbers, as Prometheus reads them\n";

/** The status page of a component: credentials first, whatever the path. */
export function createPages(options: PagesOptions): Handler {
  const { type, clock, log, allowed, self, healthy = () => true } = options;
  const numbers = createProcessNumbers(clock);
  const config = options.config && withoutSecrets(options.config);

  /** What a hook of the component says; one that fails or hangs must not take the page with it. */
  const ask = async <T>(what: string, hook: () => T | Promise<T>, otherwise: T): Promise<T> => {
    let timer: Disposable | undefined;
    try {
      return await Promise.race([hook(), new Promise<never>((_, fail) => (timer = clock.after(5_000, () => fail(new Error("no answer within 5 s")))))]);
    } catch (error) {
      log.warn("component.hook_failed", { hook: what, reason: error instanceof Error ? error.message : String(error) });
      return otherwise;
    } finally {
      timer?.[Symbol.dispose]();
    }
  };
  const isHealthy = (): Promise<boolean> => ask("healthy", healthy, false);

  const varz = async (): Promise<Response> => {
    const common = { ...self(), ...numbers(), ...(options.counts && { log_counts: options.counts }), ...(config !== undefined && { config }) };
    // The identity is not the hook's to change.
    const body = { ...common, ...await ask("varz", options.varz ?? (() => ({})), {}), ...self() };
    return text(200, `${JSON.stringify(body, undefined, 2)}\n`, "application/json");
  };

  const metrics = async (): Promise<Response> => {
    const source = options.metrics;
    const theirs = source === undefined ? "" : usable(source, log) ? await ask("metrics", () => source.metrics(), "") : "";
    const { index, uuid, version = "", zone = "" } = self();
    const info: Labels = { type, index: String(index), uuid, version, zone };
    const { connected, counters: busCounters, pendingOut } = options.bus;
    const ours = ownFamilies({ info, healthy: await isHealthy(), connected, pendingOut, busCounters, subscriptions: options.subscriptions ?? {}, logCounts: options.counts });
    // A family may stand there once only; a registry that has it already knows better.
    const taken = new Set([...theirs.matchAll(/^# TYPE (\S+) /gm)].map(([, name]) => name));
    return text(200, renderFamilies(ours.filter(({ name }) => !taken.has(name))) + theirs.replace(/\n*$/, (end) => (theirs.trim() === "" ? end : "\n")), prometheusContentType);
  };

  return async (request) => {
    if (!allowed(request.headers.get("authorization")))
      return text(401, "unauthorized\n", "text/plain; charset=utf-8", { "www-authenticate": `Basic realm="${type.replace(/[^\x20-\x7e]|["\\]/g, "")}"` });
    if (request.method !== "GET" && request.method !== "HEAD") return text(405, "only GET and HEAD\n", "text/plain; charset=utf-8", { allow: "GET, HEAD" });
    switch (new URL(request.url).pathname) {
      case "/varz": return varz();
      case "/metrics": return metrics();
      case "/health": case "/healthz": return await isHealthy() ? text(200, "ok\n") : text(503, "not ok\n");
      case "/": return text(200, `${type}\n\n${paths}`);
      default: return text(404, `nothing here; there are\n\n${paths}`);
    }
  };
}

/** One connection per question, as gorouter has it: monitoring asks seldom and from many places. */
const text = (status: number, body: string, contentType = "text/plain; charset=utf-8", headers: Record<string, string> = {}): Response =>
  new Response(body, { status, headers: { "content-type": contentType, connection: "close", "cache-control": "no-store", ...headers } });

/** Only the classic text can stand in the same answer as ours. */
function usable({ contentType }: MetricsSource, log: Logger): boolean {
  if (contentType.startsWith("text/plain")) return true;
  log.warn("component.metrics_format", { contentType, wanted: prometheusContentType });
  return false;
}
