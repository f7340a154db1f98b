import type { Family } from "@opencf/bus/component";
import { fetchText } from "./fetch-text.ts";
import { parseMetrics } from "./parse-metrics.ts";

export interface Target {
  /** `address:port` */
  readonly host: string;
  readonly uuid: string;
  readonly credentials: readonly string[];
}

export interface ScrapeOptions {
  /** For all pages of one component together. */
  timeoutMs: number;
  maxBytes: number;
  signal: AbortSignal;
}

/** What one component said of itself, or why not. */
export type Scrape =
  | { readonly ok: true; readonly durationMs: number; readonly varz: Readonly<Record<string, unknown>>; readonly families: readonly Family[]; readonly healthy: boolean; readonly note: string | undefined }
  | { readonly ok: false; readonly durationMs: number; readonly reason: string };

/** Reads `/varz`, `/metrics` and `/healthz`. Old components have no `/metrics`: one of the first two is enough. Never throws. */
export async function scrape({ host, uuid, credentials }: Target, { timeoutMs, maxBytes, signal: outer }: ScrapeOptions): Promise<Scrape> {
  const startedMs = performance.now();
  const authorization = credentials.length >= 2 ? `Basic ${Buffer.from(`${credentials[0]}:${credentials[1]}`).toString("base64")}` : undefined;
  using limit = deadline(timeoutMs, outer);
  const get = (path: string): Promise<Answer> => fetchText({ host, path, authorization, maxBytes, signal: limit.signal }).catch((error: Error) => ({ failed: error.message }));
  const [varzAnswer, metricsAnswer, health] = await Promise.all([get("/varz"), get("/metrics"), get("/healthz")]);
  const durationMs = performance.now() - startedMs;

  const varz = readVarz(varzAnswer);
  const metrics = readMetrics(metricsAnswer);
  if ("reason" in varz && "reason" in metrics) return { ok: false, durationMs, reason: varz.reason };
  const said = "varz" in varz ? varz.varz : {};
  // Ports are given out again: the page may be that of another component by now.
  if (typeof said["uuid"] === "string" && said["uuid"] !== uuid) return { ok: false, durationMs, reason: "another component answers at its address" };
  const missing = "reason" in metrics && !("status" in metricsAnswer && metricsAnswer.status === 404) ? `/metrics ${metrics.reason}` : undefined;
  const bad = "status" in health && health.status >= 500;
  return {
    ok: true, durationMs, varz: said, families: "families" in metrics ? metrics.families : [], healthy: !bad,
    note: bad ? "says that it cannot work" : "reason" in varz ? `/varz ${varz.reason}` : missing,
  };
}

/** `AbortSignal.any` with a signal that lives as long as the program keeps something of every call. */
function deadline(ms: number, outer: AbortSignal): Disposable & { readonly signal: AbortSignal } {
  const both = new AbortController();
  const abort = (): void => both.abort();
  const timer = setTimeout(abort, ms);
  outer.addEventListener("abort", abort, { once: true });
  if (outer.aborted) abort();
  return {
    signal: both.signal,
    [Symbol.dispose]() {
      clearTimeout(timer);
      outer.removeEventListener("abort", abort);
    },
  };
}

type Answer = { status: number; text: string } | { failed: string };

function readVarz(answer: Answer): { varz: Record<string, unknown> } | { reason: string } {
  const reason = refusal(answer);
  if (reason !== undefined || !("text" in answer)) return { reason: reason ?? "" };
  try {
    const value = JSON.parse(answer.text) as unknown;
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return { varz: value as Record<string, unknown> };
  } catch {}
  return { reason: "answers something that is not JSON" };
}

function readMetrics(answer: Answer): { families: Family[] } | { reason: string } {
  const reason = refusal(answer);
  if (reason !== undefined || !("text" in answer)) return { reason: reason ?? "" };
  return { families: parseMetrics(answer.text) };
}

function refusal(answer: Answer): string | undefined {
  if ("failed" in answer) return answer.failed;
  if (answer.status === 401 || answer.status === 403) return "does not accept the credentials";
  return answer.status === 200 ? undefined : `answers with status ${answer.status}`;
}
