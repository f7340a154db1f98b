import type { RuntimeWish } from "./shapes.ts";

/** A host that was asked and did not take the instance. */
export interface Attempt {
  readonly host: string;
  readonly reason: string;
}

interface Common {
  /** One sentence with the numbers, for people. */
  readonly text: string;
  /** Hosts in the snapshot. */
  readonly hosts: number;
  /** Hosts that met every condition before the one that failed: pool, stack, runtimes, memory, disk, in this order. */
  readonly considered: number;
}

/** Why no host was found. The code is of the first condition that no host met; the numbers belong to it. */
export type PlacementRefusal = Common & (
  | { readonly code: "no-hosts" }
  | { readonly code: "no-pool"; readonly pool: string | undefined }
  | { readonly code: "no-stack"; readonly stack: string }
  | { readonly code: "no-runtime"; readonly runtimes: readonly RuntimeWish[] }
  | { readonly code: "no-memory" | "no-disk"; readonly askedBytes: number; readonly mostBytes: number }
  /** Hosts with room, all of them at their limit of instances. */
  | { readonly code: "no-instances" }
  /** Only hosts fit that the caller has left out. */
  | { readonly code: "left-out" }
  /** Every host that was asked refused. */
  | { readonly code: "refused"; readonly tried: readonly Attempt[] }
  /** More promises are open than the placer keeps. */
  | { readonly code: "too-many-open"; readonly open: number }
);

export type RefusalCode = PlacementRefusal["code"];

/** How far the hosts came: each number counts those that met this condition and all before it. */
export interface Funnel {
  hosts: number;
  pool: number;
  stack: number;
  runtime: number;
  memory: number;
  disk: number;
  instances: number;
  mostMemory: number;
  mostDisk: number;
}

export const emptyFunnel = (hosts: number, pool: number): Funnel =>
  ({ hosts, pool, stack: 0, runtime: 0, memory: 0, disk: 0, instances: 0, mostMemory: -Infinity, mostDisk: -Infinity });

interface Asked {
  readonly pool: string | undefined;
  readonly stack: string | undefined;
  readonly runtimes: readonly RuntimeWish[];
  readonly memoryBytes: number;
  readonly diskBytes: number;
}

const mb = (bytes: number): string => `${Math.floor(bytes / 1024 ** 2)} MB`;
const hostsOf = (count: number): string => (count === 1 ? "1 host" : `${count} hosts`);
const named = ({ name, version }: RuntimeWish): string => (version === undefined ? name : `${name} ${version}`);

const lack = (what: string, considered: number, askedBytes: number, mostBytes: number) =>
  ({ text: `${what}: ${mb(askedBytes)} asked, at most ${mb(Math.max(0, mostBytes))} free on one of ${hostsOf(considered)}`, considered, askedBytes, mostBytes });

/** The first condition that nobody met, in words and numbers. */
export function refusalOf(funnel: Funnel, { pool, stack, runtimes, memoryBytes, diskBytes }: Asked): PlacementRefusal {
  const { hosts } = funnel;
  if (hosts === 0) return { code: "no-hosts", text: "no host has announced itself", hosts, considered: 0 };
  if (funnel.pool === 0)
    return { code: "no-pool", text: `${pool === undefined ? "every host belongs to an isolation segment" : `no host belongs to the isolation segment ${pool}`} (of ${hostsOf(hosts)})`, hosts, considered: hosts, pool };
  if (funnel.stack === 0 && stack !== undefined)
    return { code: "no-stack", text: `no host has the stack ${stack} (of ${hostsOf(funnel.pool)})`, hosts, considered: funnel.pool, stack };
  if (funnel.runtime === 0)
    return { code: "no-runtime", text: `no host has ${runtimes.map(named).join(" and ")} (of ${hostsOf(funnel.stack)})`, hosts, considered: funnel.stack, runtimes };
  if (funnel.memory === 0) return { code: "no-memory", ...lack("memory", funnel.runtime, memoryBytes, funnel.mostMemory), hosts };
  if (funnel.disk === 0) return { code: "no-disk", ...lack("disk", funnel.memory, diskBytes, funnel.mostDisk), hosts };
  if (funnel.instances === 0)
    return { code: "no-instances", text: `each of ${hostsOf(funnel.disk)} with room is at its limit of instances`, hosts, considered: funnel.disk };
  return { code: "left-out", text: `only hosts that were left out have room (${funnel.instances})`, hosts, considered: funnel.instances };
}

export const refusedByAll = (hosts: number, tried: readonly Attempt[]): PlacementRefusal =>
  ({ code: "refused", text: `every host that was asked refused: ${tried.map(({ host, reason }) => `${host}: ${reason}`).join("; ")}`, hosts, considered: tried.length, tried });

export const tooManyOpen = (hosts: number, open: number): PlacementRefusal =>
  ({ code: "too-many-open", text: `${open} promises wait to be confirmed: try again when some have been`, hosts, considered: 0, open });
