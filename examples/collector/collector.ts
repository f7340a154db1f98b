import { setMaxListeners } from "node:events";
import { setTimeout as wait } from "node:timers/promises";
import type { Bus, Subscription } from "@opencf/bus";
import { prometheusContentType } from "@opencf/bus/component";
import { type HttpListener, listen } from "@opencf/bus/http";
import { componentAnnounce, componentDiscover } from "@opencf/bus/messages/component";
import { createCensus } from "./census.ts";
import type { CollectorConfig } from "./config.ts";
import { exposition } from "./exposition.ts";
import { pageHeaders, renderPage } from "./page.ts";
import { scrape } from "./scrape.ts";
import { viewOf } from "./view.ts";

export type CollectorOptions = Omit<CollectorConfig, "nats" | "json">;

export interface Collector extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
}

/**
 * Finds, reads and shows every component of a bus, round after round, until it is disposed.
 * @throws BusError `BUS_PORT_TAKEN`
 */
export async function startCollector(bus: Bus, options: CollectorOptions): Promise<Collector> {
  const { host, port, intervalMs, timeoutMs, maxAnswerBytes, concurrency, credentials } = options;
  const census = createCensus(options);
  const stop = new AbortController();
  // Every scrape under way listens to it.
  setMaxListeners(0, stop.signal);
  let rounds = 0;

  const http: HttpListener = await listen((request) => answer(request), { host, port });
  const heard: Subscription<typeof componentAnnounce> = bus.subscribe(componentAnnounce, ({ body }) => {
    census.heard(body, Date.now());
    wake();
  });

  const discover = async (): Promise<void> => {
    if (!bus.connected) return;
    const waitMs = Math.min(1_000, Math.max(100, intervalMs / 3));
    const answers = await bus.gather(componentDiscover, {}, { waitMs, signal: stop.signal }).catch(() => undefined);
    for (const identity of answers ?? []) census.heard(identity, Date.now());
    // Silence counts only where we could have heard: without the bus nobody is taken for gone.
    if (answers && bus.connected) census.roundEnded(new Set(answers.map(({ uuid }) => uuid)));
  };
  const read = async (): Promise<void> => {
    const waiting = census.targets();
    const worker = async (): Promise<void> => {
      for (let target = waiting.shift(); target && !stop.signal.aborted; target = waiting.shift()) {
        const { uuid, host: at, credentials: told } = target;
        const result = await scrape({ host: at, uuid, credentials: told.length >= 2 ? told : credentials ?? [] }, { timeoutMs, maxBytes: maxAnswerBytes, signal: stop.signal });
        if (!stop.signal.aborted) census.scraped(uuid, result, Date.now());
      }
    };
    await Promise.all(Array.from({ length: Math.min(concurrency, waiting.length) }, worker));
  };
  // Somebody who announces himself brings the next round forward, but not to within half a second of the last one.
  const leastMs = Math.min(500, intervalMs);
  let somebodyCame = false;
  let nap = new AbortController();
  const wake = (): void => {
    somebodyCame = true;
    nap.abort();
  };
  const rest = async (): Promise<void> => {
    await wait(leastMs, undefined, { signal: stop.signal }).catch(() => undefined);
    nap = new AbortController();
    if (somebodyCame || stop.signal.aborted) return;
    await wait(intervalMs - leastMs, undefined, { signal: nap.signal }).catch(() => undefined);
  };
  const run = (async () => {
    while (!stop.signal.aborted) {
      somebodyCame = false;
      await discover();
      await read();
      census.forget(Date.now());
      rounds++;
      if (!stop.signal.aborted) await rest();
    }
  })();

  const metrics = (): string => exposition(census.entries(), { connected: bus.connected, rounds, refused: census.refused, nowMs: Date.now() });

  const answer = (request: Request): Response => {
    if (request.method !== "GET" && request.method !== "HEAD") return text(405, "only GET and HEAD\n", { allow: "GET, HEAD" });
    const components = () => census.entries().map(viewOf);
    switch (new URL(request.url).pathname) {
      case "/": return text(200, renderPage({ components: components(), connected: bus.connected, nowMs: Date.now(), refreshSeconds: Math.max(2, Math.min(30, Math.round(intervalMs / 2_000))) }), { "content-type": "text/html; charset=utf-8", ...pageHeaders });
      case "/metrics": return text(200, metrics(), { "content-type": prometheusContentType });
      case "/components.json":
        return text(200, `${JSON.stringify({ time: new Date().toISOString(), bus: bus.connected ? "connected" : "disconnected", rounds, components: components() }, undefined, 2)}\n`, { "content-type": "application/json" });
      case "/healthz": return text(200, "ok\n");
      default: return text(404, "nothing here; there are\n\n/                  a page for people\n/metrics           for Prometheus\n/components.json   for programs\n");
    }
  };

  let ended: Promise<void> | undefined;
  return {
    host: http.host,
    port: http.port,
    [Symbol.asyncDispose]: () => (ended ??= (async () => {
      stop.abort();
      nap.abort();
      heard[Symbol.dispose]();
      await run;
      await http[Symbol.asyncDispose]();
    })()),
  };
}

const text = (status: number, body: string, headers: Record<string, string> = {}): Response =>
  new Response(body, { status, headers: { "content-type": "text/plain; charset=utf-8", "cache-control": "no-store", ...headers } });
