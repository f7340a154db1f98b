import type { Usage } from "../container/container.ts";
import type { LogCounts } from "./log-buffer.ts";

/** One look at what an instance uses. Totals grow for as long as an executor looks after it. */
export interface InstanceSample {
  /** Wall time in milliseconds. */
  at: number;
  /** Time since its first instruction, in milliseconds. */
  ageMs: number;
  /** CPU time so far, in nanoseconds of one core. */
  cpuNs: number;
  /** Cores in use since the sample before: 1 is one core busy all the time. 0 in the first sample. */
  cpu: number;
  /** The kernel's working set where it counts one (`memory: "kernel"`): what is in use without cached files that nobody has touched lately. Else the resident size. */
  memoryBytes: number;
  memoryQuotaBytes: number;
  diskBytes: number;
  diskQuotaBytes: number;
  processes: number;
  /** As the container counts them; only where it has a network of its own. */
  network?: NonNullable<Usage["network"]>;
  log: LogCounts;
}

export interface MetricsOptions {
  signal?: AbortSignal;
}

export interface Metrics {
  /** When the next sample is due. */
  due(elapsedMs: number): boolean;
  add(usage: Usage, about: Pick<InstanceSample, "at" | "ageMs" | "memoryQuotaBytes" | "diskQuotaBytes" | "log">, elapsedMs: number): void;
  kept(): readonly InstanceSample[];
  follow(options?: MetricsOptions): AsyncGenerator<InstanceSample, void, undefined>;
  /** No more samples will come: whoever follows has had the last one. */
  close(): void;
}

/** Ten minutes at the default interval. */
const maxKept = 120;

/** Keeps the last samples of one instance, at most one each `intervalMs`. Who follows too slowly misses the oldest. */
export function createMetrics(intervalMs: number): Metrics {
  let kept: InstanceSample[] = [];
  let lastAt: number | undefined;
  let closed = false;
  let wake: (() => void)[] = [];
  let count = 0;

  const wakeAll = (): void => {
    const waiting = wake;
    wake = [];
    for (const each of waiting) each();
  };

  return {
    // A look that comes a little early is the one that was meant.
    due: (elapsedMs) => lastAt === undefined || elapsedMs - lastAt >= intervalMs * 0.9,
    add(usage, about, elapsedMs) {
      const before = kept.at(-1);
      const cpuNs = Math.round(usage.cpuMs * 1e6);
      const spanMs = lastAt === undefined ? 0 : elapsedMs - lastAt;
      const { memoryBytes, diskBytes, processes, network } = usage;
      const cpu = before && spanMs > 0 ? Math.max(0, (cpuNs - before.cpuNs) / (spanMs * 1e6)) : 0;
      lastAt = elapsedMs;
      kept = [...kept.slice(-(maxKept - 1)), { ...about, cpuNs, cpu, memoryBytes, diskBytes, processes, ...(network ? { network } : {}) }];
      count += 1;
      wakeAll();
    },
    kept: () => kept,
    async *follow({ signal } = {}) {
      let seen = 0;
      const stop = (): void => wakeAll();
      signal?.addEventListener("abort", stop);
      try {
        while (!signal?.aborted) {
          const fresh = kept.slice(-Math.min(kept.length, count - seen) || kept.length);
          if (count > seen) {
            seen = count;
            for (const sample of fresh) {
              if (signal?.aborted) return;
              yield sample;
            }
            continue;
          }
          if (closed) return;
          await new Promise<void>((resolve) => wake.push(resolve));
        }
      } finally {
        signal?.removeEventListener("abort", stop);
      }
    },
    close() {
      closed = true;
      wakeAll();
    },
  };
}
