import { DeaError } from "../errors.ts";
import { type Candidate, hashOf } from "./candidate.ts";
import type { Group, Groups } from "./group.ts";
import { runtimeAnswers } from "./runtime.ts";
import type { PlacementRequest, RuntimeWish } from "./shapes.ts";

/** A request with nothing left open. */
export interface Wanted {
  readonly app: string;
  readonly pool: string | undefined;
  readonly stack: string | undefined;
  readonly runtimes: readonly RuntimeWish[];
  readonly requires: readonly string[];
  readonly memoryBytes: number;
  readonly diskBytes: number;
  readonly zonesFirst: boolean;
}

/** @throws DeaError DEA_INVALID_SPEC where a size cannot be meant */
export function wantedOf({ app, pool, stack, runtimes = [], requires = [], memoryBytes, diskBytes = 0, spreadFirst = "zone" }: PlacementRequest): Wanted {
  for (const [field, value] of [["memoryBytes", memoryBytes], ["diskBytes", diskBytes]] as const)
    if (!Number.isFinite(value) || value < 0) throw new DeaError("DEA_INVALID_SPEC", `${field} is ${value}: give a number of bytes`);
  return { app, pool, stack, runtimes, requires, memoryBytes, diskBytes, zonesFirst: spreadFirst === "zone" };
}

/**
 * The best of the hosts of one pool, each with its `count` and that of its zone filled in. Of those that fit: the zone with the
 * fewest instances of the app, then the host with the fewest, then the one of which the largest part stays free (of memory or
 * disk, whichever is scarcer there), then by a hash of the names. The order of groups and hosts plays no part.
 */
export function choose({ groups, zones }: Groups, wanted: Wanted, leftOut: ReadonlySet<string> | undefined): Candidate | undefined {
  const suiting = [...groups.values()].filter((group) => suits(group, wanted));
  const search: Search = { wanted, leftOut: leftOut?.size ? leftOut : undefined, salt: hashOf(wanted.app), unknownSize: once(() => largest(groups.values())) };
  if (!wanted.zonesFirst) return bestOf(suiting, search);
  // The fairest zones with a host that fits; the others need not be looked at.
  const levels = [...new Set([...zones.values()].map(({ count }) => count))].sort((a, b) => a - b);
  for (const level of levels) {
    const best = bestOf(suiting.filter(({ zone }) => zone.count === level), search);
    if (best) return best;
  }
  return undefined;
}

/** Whether the hosts of a group have the stack and the runtimes, and enforce what is required. */
export const suits = (group: Group, { stack, runtimes, requires }: Wanted): boolean =>
  hasStack(group.stacks, stack) && hasRuntimes(group, runtimes) && requires.every((limit) => group.enforces.has(limit));
export const hasRuntimes = ({ runtimes }: Group, wishes: readonly RuntimeWish[]): boolean => wishes.every((wish) => runtimes.some((offer) => runtimeAnswers(offer, wish)));
export const hasStack = (stacks: ReadonlySet<string>, stack: string | undefined): boolean => stack === undefined || stacks.has(stack);

interface Search {
  readonly wanted: Wanted;
  readonly leftOut: ReadonlySet<string> | undefined;
  readonly salt: number;
  /** Stands in for the size of hosts that do not tell theirs. */
  readonly unknownSize: () => number;
}

function bestOf(groups: readonly Group[], { wanted, leftOut, salt, unknownSize }: Search): Candidate | undefined {
  const { memoryBytes, diskBytes } = wanted;
  let best: Candidate | undefined;
  let bestZone = 0;
  let bestLevel = 0;
  for (const { zone: { count: inZone }, candidates } of groups) {
    for (const each of candidates) {
      if (each.freeMemory < memoryBytes || each.freeDisk < diskBytes || each.freeInstances < 1) continue;
      // Within one fairness of zones the host decides; where hosts come first, the zone is the second question.
      const spread = best === undefined ? -1 : each.count - best.count || inZone - bestZone;
      if (spread > 0 || leftOut?.has(each.id)) continue;
      const level = levelAfter(each, wanted, each.memorySize || unknownSize());
      if (best !== undefined && spread === 0 && (level < bestLevel || (level === bestLevel && !comesFirst(each, best, salt)))) continue;
      best = each;
      bestZone = inZone;
      bestLevel = level;
    }
  }
  return best;
}

/** The largest that is known: among hosts that all keep their size to themselves the one with most free memory is then the emptiest. */
function largest(groups: Iterable<Group>): number {
  let most = 1;
  for (const { candidates } of groups) for (const { memorySize, freeMemory } of candidates) most = Math.max(most, memorySize, freeMemory);
  return most;
}

function once(make: () => number): () => number {
  let made: number | undefined;
  return () => (made ??= make());
}

/** Which part of the host stays free once the instance is there. */
function levelAfter({ diskSize, freeMemory, freeDisk }: Candidate, { memoryBytes, diskBytes }: Wanted, memorySize: number): number {
  const memory = (freeMemory - memoryBytes) / memorySize;
  if (diskSize === 0) return memory;
  const disk = (freeDisk - diskBytes) / diskSize;
  return disk < memory ? disk : memory;
}

function comesFirst(one: Candidate, other: Candidate, salt: number): boolean {
  const [a, b] = [mix(one.hash ^ salt), mix(other.hash ^ salt)];
  return a < b || (a === b && one.id < other.id);
}

/** Last step of MurmurHash3: every bit of the input moves every bit of the output. */
function mix(value: number): number {
  let hash = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
