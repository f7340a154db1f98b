import type { Body } from "@opencf/bus";
import type { instanceMetrics } from "@opencf/bus/messages";
import type { Instance } from "../instance/instance.ts";

type Sample = Body<typeof instanceMetrics>["samples"][number];

/** The newest sample of an instance, under the name its lines have; undefined before the first. */
export function metricsOf({ spec, metrics }: Instance): Sample | undefined {
  const sample = metrics().at(-1);
  if (!sample) return undefined;
  const { at, cpu, cpuNs, memoryBytes, memoryQuotaBytes, diskBytes, diskQuotaBytes, ageMs, network } = sample;
  return {
    source_id: spec.logSource.sourceId,
    instance_id: String(spec.index),
    timestamp: String(BigInt(Math.round(at)) * 1_000_000n),
    tags: { process_type: spec.processType, ...spec.logSource.tags },
    cpu,
    cpu_ns: cpuNs,
    memory: memoryBytes,
    memory_quota: memoryQuotaBytes,
    disk: diskBytes,
    disk_quota: diskQuotaBytes,
    age_ms: ageMs,
    ...(network && { received_bytes: network.receivedBytes, sent_bytes: network.sentBytes }),
  };
}

/** What all that run use, in messages well below the bus's limit. */
export function metricsMessages(instances: readonly Instance[], perMessage = 500): Body<typeof instanceMetrics>[] {
  const samples = instances.filter(({ exit }) => exit === undefined).flatMap((instance) => metricsOf(instance) ?? []);
  return Array.from({ length: Math.ceil(samples.length / perMessage) }, (_, at) => ({ samples: samples.slice(at * perMessage, (at + 1) * perMessage) }));
}
