import type { Family, Sample } from "@opencf/bus/component";

/** Numbers of one component beyond this many are passed over. */
const maxSamples = 500;

/** Fields that are identity, secrets or settings, not measurements. */
const skipped = new Set(["type", "index", "uuid", "host", "credentials", "start", "config", "uptime", "mem", "cpu", "address", "version", "zone"]);

type Varz = Readonly<Record<string, unknown>>;

/**
 * The numbers in a `/varz`, as gauges. `latency.50` becomes `opencf_varz_latency{key="50"}`: a key that is data (an id, a quantile, a name with
 * dots) is a label, one that is a word is part of the name. The common fields get names with units.
 */
export function varzFamilies(varz: Varz): Family[] {
  const samples = new Map<string, Sample[]>();
  let count = 0;
  const put = (name: string, value: number, keys: readonly string[] = []): void => {
    if (!Number.isFinite(value) || ++count > maxSamples) return;
    const list = samples.get(name) ?? [];
    samples.set(name, list);
    const key = keys.join("/");
    if (!list.some(({ labels }) => (labels["key"] ?? "") === key)) list.push({ labels: key === "" ? {} : { key }, value });
  };
  const walk = (value: unknown, name: string, keys: readonly string[]): void => {
    if (typeof value === "number") put(name, value, keys);
    else if (typeof value === "boolean") put(name, Number(value), keys);
    else if (typeof value === "object" && value !== null && !Array.isArray(value) && name.length < 100 && keys.length < 4)
      for (const [field, inner] of Object.entries(value)) step(field, inner, { name, keys });
  };
  const step = (field: string, value: unknown, { name, keys }: { name: string; keys: readonly string[] }): void => {
    if (isWord(field)) walk(value, `${name}_${snake(field)}`, keys);
    else walk(value, name, [...keys, field.slice(0, 100)]);
  };
  const common = commonNumbers(varz);
  put("opencf_varz_uptime_seconds", common.uptimeSeconds ?? NaN);
  put("opencf_varz_memory_bytes", common.memoryBytes ?? NaN);
  put("opencf_varz_cpu_percent", common.cpuPercent ?? NaN);
  for (const [field, value] of Object.entries(varz)) if (!skipped.has(field)) step(field, value, { name: isWord(field) ? "opencf_varz" : "opencf_varz_other", keys: [] });
  return [...samples].map(([name, list]) => ({ name, help: helpOf(name), type: "gauge", samples: list }));
}

export interface CommonNumbers {
  readonly uptimeSeconds: number | undefined;
  readonly memoryBytes: number | undefined;
  readonly cpuPercent: number | undefined;
}

export function commonNumbers({ uptime, mem, cpu }: Varz): CommonNumbers {
  const kb = Number(mem);
  return {
    uptimeSeconds: typeof uptime === "string" ? readUptime(uptime) : undefined,
    memoryBytes: mem !== undefined && mem !== null && Number.isFinite(kb) ? kb * 1_024 : undefined,
    cpuPercent: typeof cpu === "number" ? cpu : undefined,
  };
}

/** `1d:2h:3m:4s` in seconds. */
export function readUptime(text: string): number | undefined {
  const [, d, h, m, s] = /^(\d+)d:(\d+)h:(\d+)m:(\d+)s$/.exec(text) ?? [];
  return s === undefined ? undefined : Number(d) * 86_400 + Number(h) * 3_600 + Number(m) * 60 + Number(s);
}

/**
 * When a component says it began, in ms since the epoch: `2012-03-04 05:06:07 +0100` (Ruby 1.9, gorouter), `Sun Mar 04 05:06:07 +0100 2012`
 * (Ruby 1.8), or whatever else `Date` reads.
 */
export function readStart(text: string): number | undefined {
  const newer = /^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.\d+)? ([+-]\d\d):?(\d\d)$/.exec(text);
  const older = /^\w{3} (\w{3}) +(\d{1,2}) (\d\d:\d\d:\d\d) ([+-]\d{4}|[A-Z]{3,4}) (\d{4})$/.exec(text);
  const ms = Date.parse(newer ? `${newer[1]}T${newer[2]}${newer[3]}:${newer[4]}` : older ? `${older[2]} ${older[1]} ${older[5]} ${older[3]} ${older[4]}` : text);
  return Number.isNaN(ms) ? undefined : ms;
}

/** A word of a programmer, not an id: letters first, and no long row of hexadecimal digits. */
const isWord = (field: string): boolean => /^[a-zA-Z_][a-zA-Z0-9_]{0,39}$/.test(field) && !/[0-9a-f]{16}/i.test(field);

const snake = (field: string): string => field.replace(/([a-z0-9])([A-Z])/g, "$1_$2").toLowerCase();

const helps: Readonly<Record<string, string>> = {
  opencf_varz_uptime_seconds: "Uptime that the component tells.",
  opencf_varz_memory_bytes: "Resident memory that the component tells.",
  opencf_varz_cpu_percent: "Percent of one core that the component tells.",
  opencf_varz_num_cores: "Cores of the component's machine.",
};
const helpOf = (name: string): string => helps[name] ?? `Field ${name.slice("opencf_varz_".length)} of /varz.`;
