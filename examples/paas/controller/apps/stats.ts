import type { ProcessRow } from "./app-parts.ts";
import { isServing, type ActualInstance, type InstanceStats } from "../runtime/runtime.ts";

const mebibyte = 1024 ** 2;
const whole = (value: number | undefined): number => Math.max(0, Math.round(value ?? 0));

/**
 * The `/stats` of a process: one entry per instance it should have, by index. Of several instances with one index (while
 * they are replaced) the newest version counts. What the executor does not tell stays out of `usage`; whole numbers
 * everywhere, since clients read unsigned integers.
 */
export function presentStats(process: ProcessRow, found: readonly InstanceStats[], { started, now }: { started: boolean; now: number }): object[] {
  return indexes(process).map((index) => {
    const instance = pick(process, found, index, started);
    if (!instance || instance.state === "DOWN")
      return { type: process.type, index, state: "DOWN", routable: null, uptime: 0, isolation_segment: null, details: instance?.details ?? null };
    const { usage, host, port } = instance;
    return {
      type: process.type,
      index,
      instance_guid: instance.instanceGuid,
      state: instance.state,
      routable: instance.state === "RUNNING" || instance.state === "STARTING" ? isServing(instance) : null,
      host: host ?? "",
      instance_internal_ip: host ?? "",
      instance_ports: port === undefined ? [] : [{ external: port, internal: port, external_tls_proxy_port: null, internal_tls_proxy_port: null }],
      uptime: whole(Number.isFinite(instance.uptimeSeconds) ? instance.uptimeSeconds : now / 1000 - instance.sinceSeconds),
      mem_quota: whole(instance.memoryQuotaBytes ?? process.memory_in_mb * mebibyte),
      disk_quota: whole(instance.diskQuotaBytes ?? process.disk_in_mb * mebibyte),
      log_rate_limit: process.log_rate_limit_in_bytes_per_second,
      fds_quota: whole(instance.fdsQuota ?? 16_384),
      isolation_segment: instance.isolationSegment ?? null,
      details: instance.details ?? null,
      usage: usage
        ? { time: usage.time, cpu: usage.cpu, cpu_entitlement: usage.cpu, mem: whole(usage.mem), disk: whole(usage.disk), log_rate: whole(usage.logRate) }
        : {},
    };
  });
}

/** The short form: index, state and how long it has been so. A stopped app still shows one DOWN entry per instance. */
export function presentInstances(process: ProcessRow, found: readonly ActualInstance[], { started, now }: { started: boolean; now: number }): { index: number; state: string; since: number | null }[] {
  return indexes(process).map((index) => {
    const instance = pick(process, found, index, started);
    if (!instance || instance.state === "DOWN") return { index, state: "DOWN", since: null };
    return { index, state: instance.state, since: whole(now / 1000 - instance.sinceSeconds) };
  });
}

const indexes = (process: ProcessRow): number[] => Array.from({ length: process.instances }, (_, index) => index);

const rank: Readonly<Record<string, number>> = { RUNNING: 4, STARTING: 3, CRASHED: 2, STOPPING: 1, DOWN: 0 };

/**
 * The instance that stands for an index. While only an older version runs, the new one counts as STARTING: whoever waits
 * for a restart must not be told that it is over.
 */
function pick<T extends ActualInstance>(process: ProcessRow, found: readonly T[], index: number, started: boolean): T | undefined {
  if (!started) return undefined;
  const candidates = found.filter((instance) => instance.index === index);
  const current = candidates.filter(({ version }) => version === process.version);
  const best = (current.length > 0 ? current : candidates).reduce<T | undefined>((first, next) => (!first || (rank[next.state] ?? 0) > (rank[first.state] ?? 0) ? next : first), undefined);
  return best && current.length === 0 && best.state !== "DOWN" ? { ...best, state: "STARTING" } : best;
}
