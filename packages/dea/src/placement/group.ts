import type { Candidate } from "./candidate.ts";
import { defaultZone, type PlacementHost, type RuntimeOffer } from "./shapes.ts";

/** A zone of one pool. */
export interface Zone {
  readonly name: string;
  /** How many groups it has. */
  groups: number;
  /** Scratch: instances here of the app whose host is being chosen. */
  count: number;
}

/** Hosts of a pool that are alike but for their room: what they all have is looked up once. */
export interface Group {
  readonly key: string;
  readonly zone: Zone;
  readonly stacks: ReadonlySet<string>;
  readonly runtimes: readonly RuntimeOffer[];
  readonly enforces: ReadonlySet<string>;
  readonly candidates: Candidate[];
}

/** The groups of one pool. */
export interface Groups {
  readonly groups: Map<string, Group>;
  readonly zones: Map<string, Zone>;
}

export const noGroups = (): Groups => ({ groups: new Map(), zones: new Map() });

/** The group where a host belongs, made where it is missing. */
export function groupFor({ groups, zones }: Groups, { zone: name = defaultZone, stacks = [], runtimes = [], enforces = [] }: PlacementHost): Group {
  const key = JSON.stringify([name, stacks, runtimes, enforces]);
  const known = groups.get(key);
  if (known) return known;
  let zone = zones.get(name);
  if (!zone) zones.set(name, (zone = { name, groups: 0, count: 0 }));
  zone.groups += 1;
  const group: Group = { key, zone, stacks: new Set(stacks), runtimes, enforces: new Set(enforces), candidates: [] };
  groups.set(key, group);
  return group;
}

/** Puts an empty group away, and its zone with the last. */
export function dropGroup({ groups, zones }: Groups, { key, zone }: Group): void {
  groups.delete(key);
  zone.groups -= 1;
  if (zone.groups === 0) zones.delete(zone.name);
}
