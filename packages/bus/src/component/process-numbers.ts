import { availableParallelism } from "node:os";
import type { Clock } from "../ports.ts";

/** What `/varz` says of the process. */
export interface ProcessNumbers {
  readonly num_cores: number;
  /** Resident memory in KB. */
  readonly mem: number;
  /** Percent of one core, over the time since the last reading; at first over the life of the process, as `ps` has it. */
  readonly cpu: number;
}

/** Reads the process at most once a second, however often it is asked. */
export function createProcessNumbers(clock: Clock): () => ProcessNumbers {
  const num_cores = availableParallelism();
  let read: { atMs: number; usedUs: number; numbers: ProcessNumbers } | undefined;
  return () => {
    const atMs = clock.now();
    if (read && atMs - read.atMs < 1_000 && atMs >= read.atMs) return read.numbers;
    const { user, system } = process.cpuUsage();
    const usedUs = user + system;
    const percent = read && atMs > read.atMs ? (usedUs - read.usedUs) / (atMs - read.atMs) / 10 : usedUs / process.uptime() / 10_000;
    read = { atMs, usedUs, numbers: { num_cores, mem: Math.round(process.memoryUsage.rss() / 1_024), cpu: Number(percent.toFixed(1)) } };
    return read.numbers;
  };
}
