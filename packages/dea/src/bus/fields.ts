import type { Body, Reply } from "@opencf/bus";
import type { deaAdvertise, deaFindDroplet, deaHeartbeat, deaStatus, deaStop, dropletExited, routerRegister } from "@opencf/bus/messages";
import type { Dea } from "../dea.ts";
import { kindOf, reasonText } from "../instance/exit.ts";
import type { Instance } from "../instance/instance.ts";
import type { Address } from "../instance/probe.ts";
import { MiB } from "../instance/spec.ts";
import { facts } from "../instance/state.ts";
import type { InstanceStats } from "../instance/stats.ts";

/** Who speaks: the same in all messages. */
export interface Identity {
  id: string;
  host: string;
  zone: string;
  stacks: readonly string[];
  isolationSegment?: string;
  runtimes?: readonly HostRuntime[];
  /** Where commands are taken over HTTPS. */
  url?: string;
  /** Limits that hold here. */
  enforces: readonly string[];
}

/** A runtime that stands on the host for apps to share. */
export interface HostRuntime {
  name: string;
  version?: string;
  /** How the executor knows of it, for people. */
  found?: string;
}

export const version = "0.1.0";

/** Present, non-empty parts of a filter are ANDed. States compare without case. */
export function matchesFilter(filter: Body<typeof deaStop>, instance: Instance): boolean {
  const { spec } = instance;
  if (String(filter.droplet) !== spec.processGuid) return false;
  if (filter.version !== undefined && filter.version !== spec.version) return false;
  if (filter.instances?.length && !filter.instances.includes(instance.id)) return false;
  if (filter.indices?.length && !filter.indices.includes(spec.index)) return false;
  return !filter.states?.length || filter.states.some((state) => state.toUpperCase() === instance.state);
}

/** Where it answers; nothing while it waits to be started on a host that is being emptied. */
const addressOf = (instance: Instance): Partial<Address> => (instance.stateTimes.STARTING === undefined && instance.state === "EVACUATING" ? {} : instance.address);

/** Said only of those with a readiness check: of the others the state says it. */
const routability = ({ spec, routable, state }: Instance): { routable?: boolean } => (spec.readinessCheck.type !== "process" && facts[state].routed ? { routable } : {});

export function heartbeat({ id }: Identity, instances: readonly Instance[]): Body<typeof deaHeartbeat> {
  return {
    dea: id,
    droplets: instances
      .filter((instance) => facts[instance.state].inHeartbeat)
      .map((instance) => ({
        droplet: instance.spec.processGuid,
        version: instance.spec.version,
        instance: instance.id,
        index: instance.spec.index,
        state: instance.state,
        state_timestamp: instance.stateSince / 1000,
        ...(instance.spec.partition === undefined ? {} : { cc_partition: instance.spec.partition }),
        ...(facts[instance.state].routed ? addressOf(instance) : {}),
        ...routability(instance),
        ...(instance.exit ? { details: instance.exit.description } : {}),
      })),
  };
}

/** Instances per app, for spreading. */
export function countByApp(instances: readonly Instance[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { spec, state } of instances) if (!facts[state].final) counts[spec.processGuid] = (counts[spec.processGuid] ?? 0) + 1;
  return counts;
}

const wholeMb = (bytes: number): number => Math.floor(bytes / MiB);

/** `counted` are the newest start commands whose instances are in these numbers. */
export function advertisement({ id, zone, stacks, isolationSegment, runtimes = [], enforces, url }: Identity, dea: Dea, counted: string[]): Body<typeof deaAdvertise> {
  const { memory, disk, instances } = dea.capacity();
  const full = instances.present >= instances.limit || dea.shortOf.size > 0;
  return {
    id,
    stacks: [...stacks],
    available_memory: full ? 0 : wholeMb(memory.freeBytes),
    available_disk: full ? 0 : wholeMb(disk.freeBytes),
    total_memory: wholeMb(memory.totalBytes),
    total_disk: wholeMb(disk.totalBytes),
    available_instances: Math.max(0, instances.limit - instances.present),
    app_id_to_count: countByApp(dea.instances()),
    placement_properties: { zone, ...(isolationSegment !== undefined && { isolation_segment: isolationSegment }) },
    counted_commands: counted,
    enforces: [...enforces],
    ...(url !== undefined && { url }),
    ...(runtimes.length > 0 && { runtimes: [...new Set(runtimes.map(({ name }) => name))], runtime_details: runtimes.map((each) => ({ ...each })) }),
  };
}

export function status({ id, host }: Identity, dea: Dea, usedBytes: number): Reply<typeof deaStatus> {
  const { memory } = dea.capacity();
  return {
    id,
    ip: host,
    version,
    max_memory: wholeMb(memory.totalBytes),
    reserved_memory: wholeMb(memory.reservedBytes),
    used_memory: Math.round((usedBytes / MiB) * 100) / 100,
    num_clients: null,
  };
}

export function registration({ id, zone, isolationSegment }: Identity, instance: Instance): Body<typeof routerRegister> {
  const { spec, privateId, address } = instance;
  return {
    host: address.host,
    port: address.port,
    uris: [...spec.uris],
    app: spec.appId,
    dea: id,
    tags: { component: "dea", instance_id: String(spec.index), process_type: spec.processType, ...spec.routeTags },
    private_instance_id: privateId,
    private_instance_index: String(spec.index),
    availability_zone: zone,
    ...(isolationSegment !== undefined && { isolation_segment: isolationSegment }),
  };
}

export function exited({ id }: Identity, instance: Instance, leaving: boolean): Body<typeof dropletExited> {
  const { spec, exit } = instance;
  const stopped = exit?.reason === "stopped";
  return {
    droplet: spec.processGuid,
    version: spec.version,
    instance: instance.id,
    index: spec.index,
    reason: !stopped ? "CRASHED" : leaving ? "DEA_SHUTDOWN" : "STOPPED",
    ...(spec.partition === undefined ? {} : { cc_partition: spec.partition }),
    exit_status: exit?.status ?? -1,
    exit_description: exit ? (stopped ? exit.description : `${exit.description} (${reasonText(exit.reason)})`) : "cannot be determined",
    ...(stopped ? {} : { crash_timestamp: Math.floor((exit?.at ?? instance.stateSince) / 1000) }),
    dea: id,
    ...(exit ? { exit_reason: exit.reason, exit_kind: kindOf(exit.reason) } : {}),
    log_tail: [...(exit?.logTail ?? [])],
  };
}

export function found({ id }: Identity, instance: Instance, stats: InstanceStats | undefined, nowMs: number): Reply<typeof deaFindDroplet> {
  const { spec } = instance;
  return {
    dea: id,
    droplet: spec.processGuid,
    version: spec.version,
    instance: instance.id,
    index: spec.index,
    state: instance.state,
    state_timestamp: instance.stateSince / 1000,
    ...(instance.queuePosition === undefined ? {} : { queue_position: instance.queuePosition }),
    ...routability(instance),
    ...(stats && {
      stats: {
        name: spec.name,
        uris: [...spec.uris],
        ...instance.address,
        uptime: Math.floor(stats.uptimeMs / 1000),
        mem_quota: stats.memoryQuotaBytes,
        disk_quota: stats.diskQuotaBytes,
        fds_quota: stats.fileDescriptorQuota,
        usage: { time: new Date(nowMs).toISOString(), cpu: stats.cpu, mem: stats.memoryBytes, disk: stats.diskBytes },
      },
    }),
  };
}
