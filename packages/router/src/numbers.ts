import { Latest, type Latency, type Samples } from "./numbers/latency.ts";
import { Histogram } from "./numbers/histogram.ts";
import { PerApp, type PerAppOptions } from "./numbers/per-app.ts";
import { Rates } from "./numbers/rates.ts";
import { groupOf, statusGroups } from "./numbers/traffic.ts";
import type { RequestRecord } from "./proxy/record.ts";

/** Counters of requests, as `/varz` names them. */
export interface RequestCounters {
  readonly requests: number;
  readonly responses_2xx: number;
  readonly responses_3xx: number;
  readonly responses_4xx: number;
  readonly responses_5xx: number;
  readonly responses_xxx: number;
  /** Requests the router refused itself (400, 404, 431 …). */
  readonly bad_requests: number;
  /** Requests no endpoint could serve. */
  readonly bad_gateways: number;
  readonly websocket_upgrades: number;
  /** Requests to leave HTTP that no endpoint could serve. */
  readonly websocket_failures: number;
  readonly failed_attempts: number;
  /** Answers the app or its connection cut short. */
  readonly truncated_responses: number;
  /** Requests for which every endpoint was at its limit. */
  readonly exhausted_connections: number;
  /** Body bytes from clients, and to them. */
  readonly bytes_in: number;
  readonly bytes_out: number;
}

/** What is counted of a group of requests. */
export interface RequestNumbers extends RequestCounters {
  /** Requests per second over the last 1, 5 and 15 minutes. */
  readonly rate: readonly [number, number, number];
  /** The first of these. */
  readonly requests_per_sec: number;
  /** Seconds, of the last requests; tunnels are not among them. */
  readonly latency: Latency;
}

/** What the router counts, as `/varz` shows it (names of the original document; times in seconds). */
export interface RouterNumbers extends RequestNumbers {
  readonly top10_app_requests: readonly { readonly application_id: string; readonly rpm: number; readonly rps: number }[];
  /** The same per label `component` of the endpoints. */
  readonly tags: { readonly component: Readonly<Record<string, RequestNumbers>> };
  /** Failed attempts by what they failed of, in the words of the failure table. */
  readonly attempt_failures: Readonly<Record<string, number>>;
}

/** The same for somebody who adds several routers up: plain data, samples instead of quantiles. */
export interface NumbersReport {
  readonly total: CountedReport;
  readonly components: Readonly<Record<string, CountedReport>>;
  /** The busiest apps of the last minute. */
  readonly busiest: readonly { readonly app: string; readonly rpm: number }[];
  readonly failures: Readonly<Record<string, number>>;
}

/** Counters, requests per second over 1, 5 and 15 minutes, and samples of the last durations. */
export interface CountedReport {
  readonly counters: RequestCounters;
  readonly rate: readonly [number, number, number];
  readonly latency: readonly Samples[];
}

export interface Numbers {
  count(record: RequestRecord): void;
  /** An attempt has failed; `cause` is a word of the failure table. */
  attemptFailed(cause: string): void;
  snapshot(): RouterNumbers;
  report(): NumbersReport;
  readonly perApp: PerApp;
  /** All requests by the time they took in the router and altogether, seconds. */
  readonly durations: { readonly router: Histogram; readonly total: Histogram };
}

const maxComponents = 500;
/** Apps that are counted for the ten busiest of the last minute. */
const maxApps = 20_000;
/** Of these a report names so many: what is among the ten of several routers is high on the list of one. */
const reportedApps = 100;
/** Samples in a report, of all and of one component. */
const reportedSamples = 512;
const componentSamples = 64;

/** Counters of fixed size. Quantiles are taken of the last 2048 requests (256 per component). */
export function createNumbers(now: () => number = Date.now, perAppOptions: PerAppOptions = {}): Numbers {
  const total = new Counted(now(), 2_048);
  const components = new Map<string, Counted>();
  const perApp = new PerApp(now(), perAppOptions);
  const durations = { router: new Histogram(), total: new Histogram() };
  const failures = new Map<string, number>();
  let minute = { start: now(), apps: new Map<string, number>() };
  let lastMinute = new Map<string, number>();

  function turn(nowMs: number): void {
    const age = nowMs - minute.start;
    if (age < 60_000) return;
    lastMinute = age < 120_000 ? minute.apps : new Map();
    minute = { start: nowMs, apps: new Map() };
  }

  /** The running minute is weighed by how much of it is over; the last one fills the rest. */
  function busiest(nowMs: number, most: number): { readonly app: string; readonly rpm: number }[] {
    const rest = 1 - Math.min(1, (nowMs - minute.start) / 60_000);
    return [...new Set([...minute.apps.keys(), ...lastMinute.keys()])]
      .map((app) => ({ app, rpm: (minute.apps.get(app) ?? 0) + (lastMinute.get(app) ?? 0) * rest }))
      .sort((one, other) => other.rpm - one.rpm).slice(0, most);
  }

  return {
    perApp, durations,
    count(record) {
      // When it was over. The clock need not be asked again.
      const nowMs = record.receivedAtMs + record.timings.totalMs;
      turn(nowMs);
      total.count(record, nowMs);
      perApp.count(record, nowMs);
      durations.router.add(Math.max(0, record.timings.routerMs) / 1_000);
      if (!record.upgraded) durations.total.add(record.timings.totalMs / 1_000);
      const component = record.endpoint?.tags["component"];
      if (component !== undefined) {
        let held = components.get(component);
        if (held === undefined && components.size < maxComponents) components.set(component, held = new Counted(nowMs, 256));
        held?.count(record, nowMs);
      }
      const app = record.endpoint?.app;
      if (app === undefined || app === "") return;
      const seen = minute.apps.get(app);
      if (seen !== undefined || minute.apps.size < maxApps) minute.apps.set(app, (seen ?? 0) + 1);
    },
    attemptFailed(cause) { failures.set(cause, (failures.get(cause) ?? 0) + 1); },
    snapshot() {
      const nowMs = now();
      turn(nowMs);
      const apps = busiest(nowMs, 10);
      return {
        ...total.read(nowMs),
        top10_app_requests: apps.map(({ app, rpm }) => ({ application_id: app, rpm: Math.round(rpm), rps: rpm / 60 })),
        tags: { component: Object.fromEntries([...components].map(([name, held]) => [name, held.read(nowMs)])) },
        attempt_failures: Object.fromEntries(failures),
      };
    },
    report() {
      const nowMs = now();
      turn(nowMs);
      return {
        total: total.report(nowMs, reportedSamples), components: Object.fromEntries([...components].map(([name, held]) => [name, held.report(nowMs, componentSamples)])),
        busiest: busiest(nowMs, reportedApps), failures: Object.fromEntries(failures),
      };
    },
  };
}

/** Counters, rates and the last durations of one group of requests. */
class Counted {
  readonly #counters = {
    requests: 0, bad_requests: 0, bad_gateways: 0, websocket_upgrades: 0, websocket_failures: 0, failed_attempts: 0, truncated_responses: 0,
    exhausted_connections: 0, bytes_in: 0, bytes_out: 0,
  };
  /** In the order of `statusGroups`. */
  readonly #responses = new Float64Array(statusGroups.length);
  readonly #rates: Rates;
  readonly #latest: Latest;

  constructor(nowMs: number, samples: number) {
    this.#rates = new Rates(nowMs);
    this.#latest = new Latest(samples);
  }

  count(record: RequestRecord, nowMs: number): void {
    const into = this.#counters;
    into.requests += 1;
    const group = groupOf(record.status);
    this.#responses[group] = (this.#responses[group] as number) + 1;
    into.failed_attempts += record.failedAttempts;
    into.bytes_in += record.bytesIn;
    into.bytes_out += record.bytesOut;
    this.#rates.mark(nowMs);
    if (record.upgraded) into.websocket_upgrades += 1;
    else this.#latest.add(record.timings.totalMs / 1_000);
    if (record.error === undefined) return;
    if (record.truncated !== undefined) into.truncated_responses += 1;
    else if (record.error === "Connection Limit Reached") into.exhausted_connections += 1;
    else if (record.attempts > 0 && record.status === 502) {
      into.bad_gateways += 1;
      if (record.wantedUpgrade) into.websocket_failures += 1;
    } else if (record.status >= 400 && record.status < 500 && record.attempts === 0) into.bad_requests += 1;
  }

  #read(): RequestCounters {
    const [xxx = 0, ok = 0, moved = 0, refused = 0, failed = 0] = this.#responses;
    return { ...this.#counters, responses_xxx: xxx, responses_2xx: ok, responses_3xx: moved, responses_4xx: refused, responses_5xx: failed };
  }

  read(nowMs: number): RequestNumbers {
    const rate = this.#rates.read(nowMs);
    return { ...this.#read(), rate, requests_per_sec: rate[0], latency: this.#latest.read() };
  }

  report(nowMs: number, samples: number): CountedReport {
    return { counters: this.#read(), rate: this.#rates.read(nowMs), latency: [this.#latest.samples(samples)] };
  }
}
