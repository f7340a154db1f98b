import type { StatusOptions } from "../status/options.ts";
import { parsePorts } from "../tcp/ports.ts";

/** Wide enough for whatever a status port has beside it, and easy to tell by heart. */
const steps = [1, 10, 100, 1_000] as const;

/**
 * The status ports of one worker of several (from 1 on). Each has its own, since its numbers are its own: they count up from the first
 * one's, by the smallest of these steps with which none meets another, or a port for traffic.
 */
export function statusOfWorker(status: StatusOptions | undefined, worker: number, { workers, traffic, tcpPorts }: { workers: number; traffic: readonly number[]; tcpPorts?: string | undefined }): StatusOptions | undefined {
  if (status === undefined || worker <= 1) return status;
  const { port, tls, insidePort, metrics } = status;
  const first = [port, tls?.port, insidePort, metrics?.port].filter((one): one is number => one !== undefined && one !== 0);
  const tcp = tcpPorts === undefined ? undefined : parsePorts(tcpPorts);
  const meets = (step: number): boolean => {
    const all = first.flatMap((one) => Array.from({ length: workers }, (_, at) => one + at * step));
    return new Set([...all, ...traffic]).size < all.length + new Set(traffic).size || all.some((one) => one > 65_535 || tcp?.has(one) === true);
  };
  const step = steps.find((one) => !meets(one)) ?? 1;
  const apart = (one: number): number => (one === 0 ? 0 : one + (worker - 1) * step);
  return {
    ...status, ...(port === undefined ? {} : { port: apart(port) }), ...(tls === undefined ? {} : { tls: { ...tls, port: apart(tls.port) } }),
    ...(insidePort === undefined ? {} : { insidePort: apart(insidePort) }), ...(metrics === undefined ? {} : { metrics: { ...metrics, port: apart(metrics.port) } }),
  };
}
