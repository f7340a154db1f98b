import type { Capabilities, LimitName } from "../container/capabilities.ts";
import type { ContainerSpec } from "../container/container.ts";
import { DeaError } from "../errors.ts";
import { invalid, positive } from "./invalid.ts";

/** Where and within which limits an instance runs, beside memory, disk and open files. Asked of a backend that does not keep one: DEA_UNSUPPORTED. */
export interface PlaceSpec {
  /** Name of the root file system it runs on, one of `backend.stacks`. Default: the backend's own. */
  stack?: string;
  /** Most cores at once, such as 0.5. Default: no cap, only its weight against others. Needs `enforces.cpuCap`. */
  cpuCores?: number;
  /** Bytes a second each way, and the burst (default: what passes in a tenth of a second, at least 16 KiB). Default: no limit. Needs `enforces.bandwidth`. */
  bandwidth?: { bytesPerSecond: number; burstBytes?: number };
  /** Processes and threads. Default 1 024 where the backend limits them. Needs `enforces.pids`. */
  maxProcesses?: number;
  /** Files and folders. Default 200 000 where the backend limits them. Needs `enforces.inodes`. */
  inodes?: number;
}

/** Fields of a {@link ContainerSpec} that come from a {@link PlaceSpec}. */
export type ContainerPlace = Pick<ContainerSpec, "stack" | "cpuCores" | "bandwidth" | "maxProcesses" | "inodes">;

const least = { cpuCores: 0.01, bytesPerSecond: 1_024, burstBytes: 16 * 1_024 } as const;

const count = (name: string, value: number): number => {
  if (!Number.isInteger(value)) throw invalid(`${name} must be a whole number, not ${value}`);
  return positive(name, value);
};

const bandwidthOf = ({ bytesPerSecond, burstBytes }: NonNullable<PlaceSpec["bandwidth"]>): NonNullable<ContainerSpec["bandwidth"]> => {
  if (positive("bandwidth.bytesPerSecond", bytesPerSecond) < least.bytesPerSecond) throw invalid(`bandwidth.bytesPerSecond must be ${least.bytesPerSecond} or above, not ${bytesPerSecond}`);
  return { bytesPerSecond, burstBytes: Math.max(least.burstBytes, burstBytes === undefined ? bytesPerSecond / 10 : positive("bandwidth.burstBytes", burstBytes)) };
};

/** What was asked for, and nothing that was not. Throws DEA_INVALID_SPEC. */
export function placeOf({ stack, cpuCores, bandwidth, maxProcesses, inodes }: PlaceSpec): ContainerPlace {
  if (cpuCores !== undefined && positive("cpuCores", cpuCores) < least.cpuCores) throw invalid(`cpuCores must be ${least.cpuCores} or above, not ${cpuCores}`);
  return {
    ...(stack === undefined ? {} : { stack }),
    ...(cpuCores === undefined ? {} : { cpuCores }),
    ...(bandwidth === undefined ? {} : { bandwidth: bandwidthOf(bandwidth) }),
    ...(maxProcesses === undefined ? {} : { maxProcesses: count("maxProcesses", maxProcesses) }),
    ...(inodes === undefined ? {} : { inodes: count("inodes", inodes) }),
  };
}

const needs: readonly (readonly [keyof ContainerPlace, LimitName])[] = [
  ["cpuCores", "cpuCap"], ["bandwidth", "bandwidth"], ["maxProcesses", "pids"], ["inodes", "inodes"],
];

/** Throws DEA_UNSUPPORTED for what this backend does not keep, or a stack it does not have. */
export function checkPlace(place: ContainerPlace, { name, capabilities, stacks = [] }: { name: string; capabilities: Capabilities; stacks?: readonly string[] }): void {
  for (const [field, limit] of needs) {
    if (place[field] !== undefined && !capabilities.enforces[limit]) throw new DeaError("DEA_UNSUPPORTED", `the ${name} backend cannot keep ${field}`);
  }
  if (place.stack !== undefined && !stacks.includes(place.stack)) {
    throw new DeaError("DEA_UNSUPPORTED", `the ${name} backend has no stack ${JSON.stringify(place.stack)}; it has: ${stacks.join(", ") || "none"}`);
  }
}
