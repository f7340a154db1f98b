import { type Capabilities, enforcing, type LimitName } from "../container/capabilities.ts";
import type { LinuxHost } from "./probe.ts";

const always: readonly LimitName[] = ["memory", "cpuWeight", "cpuCap", "pids", "disk", "inodes", "fileDescriptors", "egress", "syscalls"];

/** What the `linux` backend keeps on a machine that was looked at. */
export function linuxCapabilities({ swap, bandwidth, disk }: LinuxHost): Capabilities {
  return {
    memory: "kernel", disk: "kernel", cpu: "kernel", filesystem: true, network: true, processes: true, user: true,
    enforces: enforcing([...always, ...(swap ? ["swap" as const] : []), ...(bandwidth ? ["bandwidth" as const] : [])]),
    warnings: [
      ...(swap ? [] : ["The kernel does not count swap: an app may use swap beyond its memory."]),
      ...(bandwidth ? [] : ["tc is missing: bandwidth is not limited."]),
      ...(disk === "tmpfs" ? ["Disks are kept in memory: what apps write is the host's memory."] : []),
    ],
  };
}
