import type { Bus } from "@opencf/bus";
import { deaAdvertise, deaLocate, deaShutdown } from "@opencf/bus/messages";
import { presenceTtlMs } from "./actual.ts";

export interface Candidate {
  readonly id: string;
  readonly stacks: readonly string[];
  readonly zone: string;
  readonly availableMemoryMb: number;
  /** Unknown counts as enough. */
  readonly availableDiskMb: number | undefined;
  readonly instancesOf: Readonly<Record<string, number>>;
}

export interface Wish {
  readonly droplet: string;
  readonly stack: string;
  readonly memoryMb: number;
  readonly diskMb: number;
}

export type Placement = { readonly ok: true; readonly id: string } | { readonly ok: false; readonly reason: string };

/**
 * Chooses an executor as the Cloud Controller did from 2013 on (`lib/cloud_controller/dea/pool.rb`): room and stack first,
 * then the zones and executors with the fewest instances of the app, then the upper half by free memory, then chance.
 */
export function choose(candidates: readonly Candidate[], wish: Wish, random: () => number = Math.random): Placement {
  if (candidates.length === 0) return { ok: false, reason: "insufficient resources: no executor has announced itself" };
  const stacked = candidates.filter(({ stacks }) => stacks.includes(wish.stack));
  if (stacked.length === 0) return { ok: false, reason: `insufficient resources: no executor has stack ${wish.stack}` };
  const roomy = stacked.filter(({ availableMemoryMb }) => availableMemoryMb >= wish.memoryMb);
  if (roomy.length === 0) return { ok: false, reason: "insufficient resources: memory" };
  const fitting = roomy.filter(({ availableDiskMb }) => availableDiskMb === undefined || availableDiskMb >= wish.diskMb);
  if (fitting.length === 0) return { ok: false, reason: "insufficient resources: disk" };

  const count = ({ instancesOf }: Candidate): number => instancesOf[wish.droplet] ?? 0;
  const perZone = new Map<string, number>();
  for (const each of candidates) perZone.set(each.zone, (perZone.get(each.zone) ?? 0) + count(each));
  const inZones = least(fitting, ({ zone }) => perZone.get(zone) ?? 0);
  const spread = least(inZones, count).sort((a, b) => b.availableMemoryMb - a.availableMemoryMb);
  const half = spread.slice(0, Math.ceil(spread.length / 2));
  return { ok: true, id: (half[Math.floor(random() * half.length)] as Candidate).id };
}

function least<T>(list: readonly T[], measure: (each: T) => number): T[] {
  const min = Math.min(...list.map(measure));
  return list.filter((each) => measure(each) === min);
}

/** The executors that have room, as they say themselves, less what was promised since they said it. */
export interface Pool extends Disposable {
  candidates(): Candidate[];
  /** Takes room from an executor until `release`, whatever it advertises meanwhile; the original forgot its promises at the next advertisement. */
  reserve(id: string, wish: Wish): { release(): void };
  remove(id: string): void;
}

export function createPool(bus: Bus, { now = Date.now }: { now?: () => number } = {}): Pool {
  const known = new Map<string, { candidate: Candidate; seenAtMs: number }>();
  const promises = new Map<string, Set<Wish>>();
  const subscriptions = [
    bus.subscribe(deaAdvertise, ({ body }) => void known.set(body.id, {
      seenAtMs: now(),
      candidate: {
        id: body.id, stacks: body.stacks, zone: body.placement_properties?.zone ?? "default",
        availableMemoryMb: body.available_memory, availableDiskMb: body.available_disk, instancesOf: body.app_id_to_count ?? {},
      },
    })),
    bus.subscribe(deaShutdown, ({ body }) => void known.delete(body.id)),
  ];
  bus.publish(deaLocate, {});
  return {
    candidates() {
      const list: Candidate[] = [];
      for (const [id, { candidate, seenAtMs }] of known) {
        if (now() - seenAtMs > presenceTtlMs) {
          known.delete(id);
          continue;
        }
        const promised = [...(promises.get(id) ?? [])];
        const instancesOf = { ...candidate.instancesOf };
        for (const { droplet } of promised) instancesOf[droplet] = (instancesOf[droplet] ?? 0) + 1;
        list.push({
          ...candidate,
          instancesOf,
          availableMemoryMb: candidate.availableMemoryMb - sum(promised, ({ memoryMb }) => memoryMb),
          availableDiskMb: candidate.availableDiskMb === undefined ? undefined : candidate.availableDiskMb - sum(promised, ({ diskMb }) => diskMb),
        });
      }
      return list;
    },
    reserve(id, wish) {
      const own = { ...wish };
      const set = promises.get(id) ?? new Set();
      promises.set(id, set.add(own));
      return { release: () => void set.delete(own) };
    },
    remove: (id) => void known.delete(id),
    [Symbol.dispose]() {
      for (const subscription of subscriptions) subscription[Symbol.dispose]();
    },
  };
}

const sum = <T>(list: readonly T[], measure: (each: T) => number): number => list.reduce((total, each) => total + measure(each), 0);
