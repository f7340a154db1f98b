import type { Candidate } from "./candidate.ts";
import { hasRuntimes, hasStack, suits, type Wanted } from "./choose.ts";
import type { Groups } from "./group.ts";
import type { PlacementRefusal } from "./refusal.ts";
import type { RuntimeWish } from "./shapes.ts";

const mb = (bytes: number): string => `${Math.floor(bytes / 1024 ** 2)} MB`;
const hostsOf = (count: number): string => (count === 1 ? "1 host" : `${count} hosts`);
const named = ({ name, version }: RuntimeWish): string => (version === undefined ? name : `${name} ${version}`);

const count = (groups: readonly { candidates: readonly Candidate[] }[]): number => groups.reduce((sum, { candidates }) => sum + candidates.length, 0);

function lack(what: string, candidates: readonly Candidate[], askedBytes: number, free: (each: Candidate) => number) {
  const mostBytes = candidates.reduce((most, each) => Math.max(most, free(each)), -Infinity);
  const considered = candidates.length;
  return { text: `${what}: ${mb(askedBytes)} asked, at most ${mb(Math.max(0, mostBytes))} free on one of ${hostsOf(considered)}`, considered, askedBytes, mostBytes };
}

/** Why nothing was chosen: the first condition that no host of the pool met, with its numbers. `hosts` counts those of all pools. */
export function diagnose(pool: Groups | undefined, wanted: Wanted, hosts: number): PlacementRefusal {
  const { stack, runtimes, requires, memoryBytes, diskBytes } = wanted;
  const all = [...(pool?.groups.values() ?? [])];
  if (hosts === 0) return { code: "no-hosts", text: "no host has announced itself", hosts, considered: 0 };
  if (all.length === 0)
    return { code: "no-pool", text: `${wanted.pool === undefined ? "every host belongs to an isolation segment" : `no host belongs to the isolation segment ${wanted.pool}`} (of ${hostsOf(hosts)})`, hosts, considered: hosts, pool: wanted.pool };
  const stacked = all.filter((group) => hasStack(group.stacks, stack));
  if (stacked.length === 0 && stack !== undefined) {
    const considered = count(all);
    return { code: "no-stack", text: `no host has the stack ${stack} (of ${hostsOf(considered)})`, hosts, considered, stack };
  }
  const running = stacked.filter((group) => hasRuntimes(group, runtimes));
  if (running.length === 0) {
    const considered = count(stacked);
    return { code: "no-runtime", text: `no host has ${runtimes.map(named).join(" and ")} (of ${hostsOf(considered)})`, hosts, considered, runtimes };
  }
  const suiting = running.filter((group) => suits(group, wanted));
  if (suiting.length === 0) {
    const considered = count(running);
    return { code: "no-limits", text: `no host enforces ${requires.join(" and ")} (of ${hostsOf(considered)})`, hosts, considered, requires };
  }
  const candidates = suiting.flatMap((group) => group.candidates);
  const roomy = candidates.filter(({ freeMemory }) => freeMemory >= memoryBytes);
  if (roomy.length === 0) return { code: "no-memory", ...lack("memory", candidates, memoryBytes, ({ freeMemory }) => freeMemory), hosts };
  const fitting = roomy.filter(({ freeDisk }) => freeDisk >= diskBytes);
  if (fitting.length === 0) return { code: "no-disk", ...lack("disk", roomy, diskBytes, ({ freeDisk }) => freeDisk), hosts };
  const left = fitting.filter(({ freeInstances }) => freeInstances >= 1);
  if (left.length === 0) return { code: "no-instances", text: `each of ${hostsOf(fitting.length)} with room is at its limit of instances`, hosts, considered: fitting.length };
  return { code: "left-out", text: `only hosts that were left out have room (${left.length})`, hosts, considered: left.length };
}
