import { DeaError } from "../errors.ts";
import { type Candidate, hashOf } from "./candidate.ts";
import type { Funnel } from "./refusal.ts";
import type { PlacementRequest, RuntimeOffer, RuntimeWish } from "./shapes.ts";

/** A request with nothing left open. */
export interface Wanted {
  readonly app: string;
  readonly pool: string | undefined;
  readonly stack: string | undefined;
  readonly runtimes: readonly RuntimeWish[];
  readonly memoryBytes: number;
  readonly diskBytes: number;
  readonly zonesFirst: boolean;
}

/** @throws DeaError DEA_INVALID_SPEC where a size cannot be meant */
export function wantedOf({ app, pool, stack, runtimes = [], memoryBytes, diskBytes = 0, spreadFirst = "zone" }: PlacementRequest): Wanted {
  for (const [field, value] of [["memoryBytes", memoryBytes], ["diskBytes", diskBytes]] as const)
    if (!Number.isFinite(value) || value < 0) throw new DeaError("DEA_INVALID_SPEC", `${field} is ${value}: give a number of bytes`);
  return { app, pool, stack, runtimes, memoryBytes, diskBytes, zonesFirst: spreadFirst === "zone" };
}

/**
 * The best of the candidates of one pool, each with its `count` and that of its zone filled in; how far the others came is
 * written to the funnel. Of those that fit: the zone with the fewest instances of the app, then the host with the fewest, then
 * the one of which the largest part stays free (of memory or disk, whichever is scarcer there), then by a hash of the names.
 * The order of the candidates plays no part.
 */
export function choose(candidates: readonly Candidate[], wanted: Wanted, leftOut: ReadonlySet<string> | undefined, funnel: Funnel): Candidate | undefined {
  const { stack, runtimes, memoryBytes, diskBytes, zonesFirst } = wanted;
  const salt = hashOf(wanted.app);
  const size = largest(candidates);
  let best: Candidate | undefined;
  let bestLevel = 0;
  for (const each of candidates) {
    if (stack !== undefined && !each.stacks.has(stack)) continue;
    funnel.stack++;
    if (runtimes.length > 0 && !offersAll(each.runtimes, runtimes)) continue;
    funnel.runtime++;
    if (each.freeMemory > funnel.mostMemory) funnel.mostMemory = each.freeMemory;
    if (each.freeMemory < memoryBytes) continue;
    funnel.memory++;
    if (each.freeDisk > funnel.mostDisk) funnel.mostDisk = each.freeDisk;
    if (each.freeDisk < diskBytes) continue;
    funnel.disk++;
    if (each.freeInstances < 1) continue;
    funnel.instances++;
    if (leftOut?.has(each.id)) continue;
    if (best === undefined) {
      best = each;
      bestLevel = levelAfter(each, wanted, size);
      continue;
    }
    const spread = zonesFirst ? each.zone.count - best.zone.count || each.count - best.count : each.count - best.count || each.zone.count - best.zone.count;
    if (spread > 0) continue;
    const level = levelAfter(each, wanted, size);
    if (spread < 0 || level > bestLevel || (level === bestLevel && comesFirst(each, best, salt))) {
      best = each;
      bestLevel = level;
    }
  }
  return best;
}

/** Stands in for the size of hosts that do not tell theirs: among such alone the one with most free memory is then the emptiest. */
function largest(candidates: readonly Candidate[]): number {
  let most = 1;
  for (const { memorySize, freeMemory } of candidates) {
    if (memorySize > most) most = memorySize;
    if (freeMemory > most) most = freeMemory;
  }
  return most;
}

/** Which part of the host stays free once the instance is there. */
function levelAfter({ memorySize, diskSize, freeMemory, freeDisk }: Candidate, { memoryBytes, diskBytes }: Wanted, size: number): number {
  const memory = (freeMemory - memoryBytes) / (memorySize || size);
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

const offersAll = (offers: readonly RuntimeOffer[], wishes: readonly RuntimeWish[]): boolean =>
  wishes.every((wish) => offers.some((offer) => answers(offer, wish)));

/** Whether a runtime that is there is the one that was asked for. */
export const answers = (offer: RuntimeOffer, { name, version }: RuntimeWish): boolean =>
  offer.name === name && (version === undefined || offer.version === version || (offer.version?.startsWith(`${version}.`) ?? false));
