import type { RequestRecord } from "../proxy/record.ts";
import { Histogram } from "./histogram.ts";
import { Latest } from "./latency.ts";
import { Rates } from "./rates.ts";

/** The parts of a request's time: in the router before a connection, making it, waiting for the answer's head, all of it. */
export const phases = ["queue", "connect", "first_byte", "total"] as const;
export type Phase = (typeof phases)[number];

/** Groups of answers; `xxx` is what has no status, or one outside of HTTP. */
export const statusGroups = ["xxx", "2xx", "3xx", "4xx", "5xx"] as const;

export const groupOf = (status: number): number => (status >= 200 && status < 600 ? Math.floor(status / 100) - 1 : 0);

/** What went through for one app on one route. Of fixed size. */
export class Traffic {
  requests = 0;
  readonly responses = new Float64Array(statusGroups.length);
  /** Body bytes from clients, and to them. */
  bytesIn = 0;
  bytesOut = 0;
  upgrades = 0;
  failedAttempts = 0;
  /** Answers of the router's own, for want of one of the app's. */
  routerErrors = 0;
  readonly phases: Readonly<Record<Phase, Histogram>> = { queue: new Histogram(), connect: new Histogram(), first_byte: new Histogram(), total: new Histogram() };
  /** Requests, and bytes each way, per second. */
  readonly rates: Rates;
  readonly inRates: Rates;
  readonly outRates: Rates;
  /** The last durations of whole requests, seconds. */
  readonly latest = new Latest(128);
  lastMs: number;

  constructor(nowMs: number) {
    this.rates = new Rates(nowMs);
    this.inRates = new Rates(nowMs);
    this.outRates = new Rates(nowMs);
    this.lastMs = nowMs;
  }

  count(record: RequestRecord, nowMs: number): void {
    const { timings, upgraded } = record;
    const group = groupOf(record.status);
    this.requests += 1;
    this.responses[group] = (this.responses[group] as number) + 1;
    this.bytesIn += record.bytesIn;
    this.bytesOut += record.bytesOut;
    this.failedAttempts += record.failedAttempts;
    if (upgraded) this.upgrades += 1;
    if (record.error !== undefined && record.truncated === undefined) this.routerErrors += 1;
    if (timings.queueMs !== undefined) this.phases.queue.add(timings.queueMs / 1_000);
    if (timings.connectMs !== undefined) this.phases.connect.add(timings.connectMs / 1_000);
    if (timings.appHeadersMs !== undefined) this.phases.first_byte.add(timings.appHeadersMs / 1_000);
    // A tunnel takes as long as people talk; that says nothing about how quick the app is.
    if (!upgraded) {
      this.phases.total.add(timings.totalMs / 1_000);
      this.latest.add(timings.totalMs / 1_000);
    }
    this.rates.mark(nowMs);
    this.inRates.mark(nowMs, record.bytesIn);
    this.outRates.mark(nowMs, record.bytesOut);
    this.lastMs = nowMs;
  }

  merge(other: Traffic): void {
    this.requests += other.requests;
    for (let at = 0; at < this.responses.length; at += 1) this.responses[at] = (this.responses[at] as number) + (other.responses[at] as number);
    this.bytesIn += other.bytesIn;
    this.bytesOut += other.bytesOut;
    this.upgrades += other.upgrades;
    this.failedAttempts += other.failedAttempts;
    this.routerErrors += other.routerErrors;
    for (const phase of phases) this.phases[phase].merge(other.phases[phase]);
    this.lastMs = Math.max(this.lastMs, other.lastMs);
  }
}
