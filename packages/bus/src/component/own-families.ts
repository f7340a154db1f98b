import { readdirSync } from "node:fs";
import type { LogCounts } from "./log-counts.ts";
import type { Family, Labels } from "./prometheus-text.ts";

/** What a component knows of itself at the moment of a scrape. */
export interface OwnState {
  /** Labels of `opencf_component_info`. */
  readonly info: Labels;
  readonly healthy: boolean;
  readonly connected: boolean;
  /** Messages kept until the bus is back. */
  readonly pendingOut: number;
  /** `"router.register invalid_message"` -> 3 */
  readonly busCounters: ReadonlyMap<string, number>;
  /** Subscriptions by name. */
  readonly subscriptions: Readonly<Record<string, { readonly pending: number; readonly dropped: number }>>;
  readonly logCounts: LogCounts | undefined;
}

/** The metrics that every component has; those of the process are named as Prometheus clients name them. */
export function ownFamilies({ info, healthy, connected, pendingOut, busCounters, subscriptions, logCounts }: OwnState): Family[] {
  const cpu = process.cpuUsage();
  const { rss, heapUsed } = process.memoryUsage();
  const one = (name: string, type: "counter" | "gauge", help: string, value: number): Family => ({ name, type, help, samples: [{ labels: {}, value }] });
  const queues = Object.entries(subscriptions);
  return [
    { name: "opencf_component_info", type: "gauge", help: "Who this component is; the value is always 1.", samples: [{ labels: info, value: 1 }] },
    one("opencf_component_healthy", "gauge", "1 when the component says it can work.", Number(healthy)),
    one("opencf_bus_connected", "gauge", "1 while the bus is there.", Number(connected)),
    one("opencf_bus_outgoing_pending_messages", "gauge", "Messages kept until the bus is back.", pendingOut),
    {
      name: "opencf_bus_events_total", type: "counter", help: "Messages refused, dropped or failed, by subject and reason.",
      samples: [...busCounters].map(([key, value]) => ({ labels: { subject: key.slice(0, key.lastIndexOf(" ")), reason: key.slice(key.lastIndexOf(" ") + 1) }, value })),
    },
    {
      name: "opencf_bus_pending_messages", type: "gauge", help: "Messages waiting to be read, by subscription.",
      samples: queues.map(([subscription, { pending }]) => ({ labels: { subscription }, value: pending })),
    },
    {
      name: "opencf_bus_dropped_messages_total", type: "counter", help: "Messages forgotten because the reader was too slow, by subscription.",
      samples: queues.map(([subscription, { dropped }]) => ({ labels: { subscription }, value: dropped })),
    },
    {
      name: "opencf_log_lines_total", type: "counter", help: "Lines logged, by level.",
      samples: Object.entries(logCounts ?? {}).map(([level, value]) => ({ labels: { level }, value })),
    },
    one("process_cpu_seconds_total", "counter", "User and system CPU time spent, in seconds.", (cpu.user + cpu.system) / 1e6),
    one("process_start_time_seconds", "gauge", "Start of the process, in seconds since the epoch.", Math.round(Date.now() / 1_000 - process.uptime())),
    one("process_resident_memory_bytes", "gauge", "Resident memory, in bytes.", rss),
    { name: "process_open_fds", type: "gauge", help: "Open file descriptors.", samples: openFiles().map((value) => ({ labels: {}, value })) },
    one("nodejs_heap_size_used_bytes", "gauge", "Heap in use, in bytes.", heapUsed),
  ];
}

/** Only Linux tells. */
function openFiles(): number[] {
  try {
    return [readdirSync("/proc/self/fd").length];
  } catch {
    return [];
  }
}
