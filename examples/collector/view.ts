import type { Entry, State } from "./census.ts";
import { commonNumbers, readStart, readUptime } from "./varz.ts";

/** A component as the page and `/components.json` show it; nothing in it is secret. */
export interface ComponentView {
  readonly type: string;
  readonly index: number;
  readonly uuid: string;
  readonly host: string;
  readonly state: State | "new";
  readonly reason: string | null;
  /** Since when it is in this state; ISO 8601, as all times here. */
  readonly since: string;
  readonly seen: string;
  readonly started: string | null;
  readonly version: string | null;
  readonly zone: string | null;
  readonly memory_bytes: number | null;
  readonly cpu_percent: number | null;
  readonly requests: number | null;
  readonly scrape_ms: number | null;
}

export function viewOf({ identity, state, reason, sinceMs, seenMs, last, durationMs }: Entry): ComponentView {
  const varz = last?.varz ?? {};
  const { memoryBytes, cpuPercent } = commonNumbers(varz);
  const sum = (name: RegExp): number | undefined => {
    const family = last?.families.find((each) => name.test(each.name));
    return family?.samples.reduce((total, { value, suffix }) => (suffix === undefined ? total + value : total), 0);
  };
  const uptime = readUptime(identity.uptime ?? "");
  const startedMs = readStart(identity.start) ?? (uptime === undefined ? undefined : seenMs - uptime * 1_000);
  return {
    type: identity.type, index: identity.index, uuid: identity.uuid, host: identity.host,
    state: state ?? "new", reason: reason ?? null,
    since: iso(sinceMs), seen: iso(seenMs), started: startedMs === undefined ? null : iso(startedMs),
    version: text(identity.version ?? varz["version"]), zone: text(identity.zone ?? varz["zone"]),
    memory_bytes: memoryBytes ?? sum(/^process_resident_memory_bytes$/) ?? null,
    cpu_percent: cpuPercent ?? null,
    requests: typeof varz["requests"] === "number" ? varz["requests"] : sum(/^(\w+_)?requests_total$/) ?? null,
    scrape_ms: durationMs === undefined ? null : Math.round(durationMs),
  };
}

const iso = (ms: number): string => new Date(ms).toISOString();
const text = (value: unknown): string | null => (typeof value === "string" && value !== "" ? value : typeof value === "number" ? String(value) : null);
