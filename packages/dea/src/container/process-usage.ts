import { type DiskUsage, diskUsage } from "./disk-usage.ts";
import { type ProcessEntry, readProportionalBytes } from "./process-table.ts";

export interface ProcessMeter {
  memory(entries: readonly ProcessEntry[]): number;
  /** Milliseconds of one core, of the living and of the dead that were seen. */
  cpu(entries: readonly ProcessEntry[]): number;
  disk(): Promise<DiskUsage>;
}

/** Measures a family of processes and its folder. */
export function createProcessMeter(homeDir: string, memoryBytes: number): ProcessMeter {
  let cpuOfTheDeadMs = 0;
  const cpuSeen = new Map<string, number>();
  let disk: DiskUsage | undefined;
  let diskUntil = 0;
  return {
    memory(entries) {
      const resident = entries.reduce((sum, entry) => sum + entry.residentBytes, 0);
      // Resident sizes count shared pages once per process. The exact count costs more, so only a family near its limit pays.
      if (entries.length < 2 || resident < memoryBytes * 0.8) return resident;
      return entries.reduce((sum, entry) => sum + (readProportionalBytes(entry.pid) ?? entry.residentBytes), 0);
    },
    cpu(entries) {
      const living = new Map(entries.map((entry) => [`${entry.pid}/${entry.startTicks}`, entry.cpuMs]));
      for (const [key, ms] of cpuSeen) {
        if (living.has(key)) continue;
        cpuOfTheDeadMs += ms;
        cpuSeen.delete(key);
      }
      let total = cpuOfTheDeadMs;
      for (const [key, ms] of living) {
        cpuSeen.set(key, ms);
        total += ms;
      }
      return total;
    },
    /** Walking a large folder is work: the longer it takes, the more rarely it is done. */
    async disk() {
      if (disk && performance.now() < diskUntil) return disk;
      const startedAt = performance.now();
      disk = await diskUsage(homeDir);
      const now = performance.now();
      diskUntil = now + Math.max(1_000, (now - startedAt) * 20);
      return disk;
    },
  };
}
