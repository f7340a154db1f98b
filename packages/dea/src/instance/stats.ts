import type { Usage } from "../container/container.ts";

export interface InstanceStats {
  uptimeMs: number;
  memoryBytes: number;
  memoryQuotaBytes: number;
  diskBytes: number;
  diskQuotaBytes: number;
  /** False when the disk count stopped at its bound. */
  diskComplete: boolean;
  /** Cores in use: 1 is one core busy all the time. 0 until two samples exist. */
  cpu: number;
  processes: number;
  fileDescriptorQuota: number;
  /** While it waits to be started, 1 is the next; all that it uses is 0 then. */
  queuePosition: number | undefined;
}

type Quotas = { memoryBytes: number; diskBytes: number; fileDescriptors: number };

/** Numbers of an instance; without a use it has not begun to use anything. */
export const statsOf = (spec: Quotas, usage: Usage | undefined, more: Pick<InstanceStats, "uptimeMs" | "cpu" | "queuePosition">): InstanceStats => ({
  ...more,
  memoryBytes: usage?.memoryBytes ?? 0,
  memoryQuotaBytes: spec.memoryBytes,
  diskBytes: usage?.diskBytes ?? 0,
  diskQuotaBytes: spec.diskBytes,
  diskComplete: usage?.diskComplete ?? true,
  processes: usage?.processes ?? 0,
  fileDescriptorQuota: spec.fileDescriptors,
});

export interface CpuMeter {
  /** Takes a sample and answers the load since the one before. */
  sample(usage: Usage, nowMs: number): number;
}

/** Load from growing totals: compares with a sample at least half a second old, so that two quick looks do not divide by nothing. */
export function createCpuMeter(): CpuMeter {
  let older: { cpuMs: number; at: number } | undefined;
  let newer: { cpuMs: number; at: number } | undefined;
  return {
    sample({ cpuMs }, at) {
      if (!newer || at - newer.at >= 500) {
        older = newer;
        newer = { cpuMs, at };
      }
      return older && at > older.at ? Math.max(0, (cpuMs - older.cpuMs) / (at - older.at)) : 0;
    },
  };
}
