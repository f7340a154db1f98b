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
}

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
