import { type Family, type Labels, renderFamilies, type Sample } from "@opencf/bus/component";
import type { Entry } from "./census.ts";
import { readStart, varzFamilies } from "./varz.ts";

export interface CollectorNumbers {
  readonly connected: boolean;
  readonly rounds: number;
  /** Components not taken in because there were too many. */
  readonly refused: number;
  readonly nowMs: number;
}

/**
 * One text for all: every sample gets the labels `component`, `index` and `uuid` of whom it is from; a label that it has by such a name is
 * kept as `exported_...`, as Prometheus itself does. Families of one name from several components become one.
 */
export function exposition(entries: readonly Entry[], numbers: CollectorNumbers): string {
  const merged = new Map<string, Merged>();
  const own = ownFamilies(entries, numbers);
  for (const family of own) merged.set(family.name, { ...family, samples: [...family.samples], own: true, seen: new Set() });
  let conflicts = 0;
  for (const entry of entries) {
    if (!entry.last || !isThere(entry)) continue;
    const labels = labelsOf(entry);
    for (const family of [...entry.last.families, ...varzFamilies(entry.last.varz)]) {
      let target = merged.get(family.name);
      if (!target) merged.set(family.name, (target = { ...family, samples: [], own: false, seen: new Set() }));
      // Ours says the same already.
      if (target.own) continue;
      if (target.type !== family.type) {
        conflicts++;
        continue;
      }
      for (const sample of family.samples) add(target, relabel(sample, labels));
    }
  }
  const last: Family = { name: "opencf_collector_conflicting_families", type: "gauge", help: "Families left out because another component has the name for another type.", samples: [{ labels: {}, value: conflicts }] };
  return renderFamilies([...merged.values(), last]);
}

interface Merged extends Family { readonly samples: Sample[]; readonly own: boolean; readonly seen: Set<string> }

function add(family: Merged, sample: Sample): void {
  const key = `${sample.suffix ?? ""}${JSON.stringify(Object.entries(sample.labels).sort(([a], [b]) => (a < b ? -1 : 1)))}`;
  if (family.seen.has(key)) return;
  family.seen.add(key);
  family.samples.push(sample);
}

function relabel({ labels, value, suffix }: Sample, ours: Labels): Sample {
  const all: Record<string, string> = { ...ours };
  for (const [name, text] of Object.entries(labels)) if (!(name in ours)) all[name] = text;
    else if (ours[name] !== text) all[`exported_${name}`] = text;
  return { labels: all, value, ...(suffix !== undefined && { suffix }) };
}

/** It answered when it was last asked. */
const isThere = ({ state }: Entry): boolean => state === "up" || state === "unhealthy";

const labelsOf = ({ identity: { type, index, uuid } }: Entry): Labels => ({ component: type, index: String(index), uuid });

function ownFamilies(entries: readonly Entry[], { connected, rounds, refused, nowMs }: CollectorNumbers): Family[] {
  const each = (name: string, help: string, read: (entry: Entry) => number | undefined): Family => ({
    name, help, type: "gauge",
    samples: entries.flatMap((entry) => {
      const value = read(entry);
      return value === undefined ? [] : [{ labels: labelsOf(entry), value }];
    }),
  });
  const one = (name: string, type: "counter" | "gauge", help: string, value: number): Family => ({ name, type, help, samples: [{ labels: {}, value }] });
  return [
    each("opencf_up", "1 when the component answered in the last round.", (entry) => (entry.state === undefined ? undefined : Number(isThere(entry)))),
    each("opencf_healthy", "0 when the component says that it cannot work.", (entry) => (isThere(entry) ? Number(entry.state === "up") : undefined)),
    each("opencf_scrape_duration_seconds", "How long the last reading took.", ({ durationMs, state }) => (durationMs === undefined || state === "gone" ? undefined : durationMs / 1_000)),
    each("opencf_last_seen_age_seconds", "How long ago the component last said anything, on the bus or over HTTP.", ({ seenMs }) => Math.max(0, (nowMs - seenMs) / 1_000)),
    each("opencf_component_start_time_seconds", "Start of the component, in seconds since the epoch.", ({ identity }) => {
      const ms = readStart(identity.start);
      return ms === undefined ? undefined : ms / 1_000;
    }),
    {
      name: "opencf_component_info", type: "gauge", help: "Who the component is; the value is always 1.",
      samples: entries.map((entry) => ({ labels: { ...labelsOf(entry), host: entry.identity.host, version: entry.identity.version ?? "", zone: entry.identity.zone ?? "" }, value: 1 })),
    },
    {
      name: "opencf_collector_components", type: "gauge", help: "Components by state.",
      samples: (["up", "unhealthy", "failing", "gone"] as const).map((state) => ({ labels: { state }, value: entries.filter((entry) => entry.state === state).length })),
    },
    one("opencf_collector_bus_connected", "gauge", "1 while the collector hears the bus.", Number(connected)),
    one("opencf_collector_rounds_total", "counter", "Rounds of discovery and reading.", rounds),
    one("opencf_collector_refused_components", "gauge", "Components not taken in because there were too many.", refused),
  ];
}
