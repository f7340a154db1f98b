import type { RequestRecord } from "./proxy/record.ts";

/** What the router counts, as `/varz` shows it (names of the original document; times in seconds). */
export interface RouterNumbers {
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
  readonly failed_attempts: number;
  /** Answers the app or its connection cut short. */
  readonly truncated_responses: number;
  /** Requests per second over the last minute. */
  readonly requests_per_sec: number;
  readonly latency: Readonly<Record<"50" | "75" | "90" | "95" | "99", number>>;
  readonly top10_app_requests: readonly { readonly application_id: string; readonly rpm: number; readonly rps: number }[];
  /** The same counters per label `component` of the endpoints. */
  readonly tags: { readonly component: Readonly<Record<string, Readonly<Record<string, number>>>> };
}

export interface Numbers {
  count(record: RequestRecord): void;
  snapshot(): RouterNumbers;
}

const groups = ["responses_xxx", "responses_xxx", "responses_2xx", "responses_3xx", "responses_4xx", "responses_5xx"] as const;
const sampleCount = 2_048;
const maxComponents = 500;

/** Counters of fixed size: the samples are the last 2048, the per-minute numbers are kept in two half-filled minutes. */
export function createNumbers(now: () => number = Date.now): Numbers {
  const total = counters();
  const components = new Map<string, ReturnType<typeof counters>>();
  const samples = new Float64Array(sampleCount);
  let sampled = 0;
  let minute = { start: now(), requests: 0, apps: new Map<string, number>() };
  let lastMinute = { requests: 0, apps: new Map<string, number>() };

  function turn(): void {
    const age = now() - minute.start;
    if (age < 60_000) return;
    lastMinute = age < 120_000 ? minute : { requests: 0, apps: new Map() };
    minute = { start: now(), requests: 0, apps: new Map() };
  }

  return {
    count(record) {
      turn();
      const group = groups[Math.floor(record.status / 100)] ?? "responses_xxx";
      bump(total, record, group);
      const component = record.endpoint?.tags["component"];
      if (component !== undefined) {
        let held = components.get(component);
        if (held === undefined && components.size < maxComponents) components.set(component, held = counters());
        if (held !== undefined) bump(held, record, group);
      }
      minute.requests += 1;
      const app = record.endpoint?.app;
      if (app !== undefined && app !== "") minute.apps.set(app, (minute.apps.get(app) ?? 0) + 1);
      if (!record.upgraded) samples[sampled++ % sampleCount] = record.timings.totalMs / 1_000;
    },
    snapshot() {
      turn();
      // The running minute is weighed by how much of it is over; the last one fills the rest.
      const share = Math.min(1, (now() - minute.start) / 60_000);
      const perMinute = (running: number, last: number): number => running + last * (1 - share);
      const sorted = samples.slice(0, Math.min(sampled, sampleCount)).sort();
      const at = (percent: number): number => sorted[Math.max(0, Math.ceil(sorted.length * percent / 100) - 1)] ?? 0;
      const apps = [...new Set([...minute.apps.keys(), ...lastMinute.apps.keys()])]
        .map((app) => ({ app, rpm: perMinute(minute.apps.get(app) ?? 0, lastMinute.apps.get(app) ?? 0) }))
        .sort((one, other) => other.rpm - one.rpm).slice(0, 10);
      return {
        ...total,
        requests_per_sec: perMinute(minute.requests, lastMinute.requests) / 60,
        latency: { 50: at(50), 75: at(75), 90: at(90), 95: at(95), 99: at(99) },
        top10_app_requests: apps.map(({ app, rpm }) => ({ application_id: app, rpm: Math.round(rpm), rps: rpm / 60 })),
        tags: { component: Object.fromEntries([...components].map(([name, held]) => [name, { ...held }])) },
      };
    },
  };
}

const counters = () => ({
  requests: 0, responses_2xx: 0, responses_3xx: 0, responses_4xx: 0, responses_5xx: 0, responses_xxx: 0,
  bad_requests: 0, bad_gateways: 0, websocket_upgrades: 0, failed_attempts: 0, truncated_responses: 0,
});

function bump(into: ReturnType<typeof counters>, record: RequestRecord, group: (typeof groups)[number]): void {
  into.requests += 1;
  into[group] += 1;
  into.failed_attempts += record.failedAttempts;
  if (record.upgraded) into.websocket_upgrades += 1;
  if (record.error === undefined) return;
  if (record.attempts > 0 && record.status === 502) into.bad_gateways += 1;
  else if (record.status >= 400 && record.status < 500 && record.attempts === 0) into.bad_requests += 1;
  else if (record.status < 400) into.truncated_responses += 1;
}
