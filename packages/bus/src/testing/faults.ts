import { hash01 } from "./random.ts";

/** How bad a link is. */
export interface Faults {
  /** Probability, 0 to 1, that a packet is lost. Default 0. */
  drop: number;
  /** Probability that a packet comes twice. Default 0. */
  duplicate: number;
  /** Probability that a packet is held back so that later ones overtake it. Default 0. */
  reorder: number;
  /** Shortest and longest time from sender to receiver, in ms. Default [0, 2]. */
  delayMs: readonly [number, number];
}

/** A fault that took effect. `id` stands for the same fault in every run with the same seed. */
export interface Fault {
  readonly id: string;
  readonly atMs: number;
  readonly subject?: string;
}

type Chance = "drop" | "duplicate" | "reorder";

/** Whether and how packets are harmed. Decisions hang on seed, link and number of the packet, so that they stay when other things change. */
export interface FaultPlan {
  readonly faults: Faults;
  link(from: string, to: string): Partial<Faults>;
  readonly acted: readonly Fault[];
  /** The number of the next packet on a link. */
  nextOn(from: string, to: string): number;
  strikes(kind: Chance, where: { from: string; to: string; n: number; subject?: string }): boolean;
  /** One of the faults that the scenario itself asks for. */
  asked(kind: "partition" | "disconnect" | "pause", what: string): boolean;
  /** Microseconds that one of the two hops of a packet takes. */
  hopUs(from: string, to: string, key: string): number;
  /** Microseconds that a packet is held back. */
  heldUs(from: string, to: string, n: number): number;
}

/** Pseudo fault that stands for all delays beyond the shortest. */
export const delays = "delay";

/** @param only faults that may act; undefined: all */
export function createFaultPlan(seed: number, given: Partial<Faults>, only: ReadonlySet<string> | undefined, nowMs: () => number): FaultPlan {
  const faults: Faults = { drop: 0, duplicate: 0, reorder: 0, delayMs: [0, 2], ...given };
  const links = new Map<string, Partial<Faults>>();
  const counts = new Map<string, number>();
  const acted: Fault[] = [];
  const count = (key: string): number => {
    const n = (counts.get(key) ?? 0) + 1;
    counts.set(key, n);
    return n;
  };
  const act = (id: string, subject?: string): boolean => {
    if (only && !only.has(id)) return false;
    acted.push({ id, atMs: nowMs(), ...(subject === undefined ? {} : { subject }) });
    return true;
  };
  const range = (from: string, to: string): readonly [number, number] => links.get(`${from}>${to}`)?.delayMs ?? faults.delayMs;
  return {
    faults,
    acted,
    link(from, to) {
      const key = `${from}>${to}`;
      const own = links.get(key) ?? {};
      links.set(key, own);
      return own;
    },
    nextOn: (from, to) => count(`${from}>${to}`),
    strikes(kind, { from, to, n, subject }) {
      const chance = links.get(`${from}>${to}`)?.[kind] ?? faults[kind];
      if (chance <= 0) return false;
      const id = `${kind} ${from}>${to} ${n}`;
      return hash01(`${seed}/${id}`) < chance && act(id, subject);
    },
    asked: (kind, what) => act(`${kind} ${count(kind)}`, what),
    hopUs(from, to, key) {
      const [min, max] = range(from, to);
      const most = only && !only.has(delays) ? min : Math.max(min, max);
      return Math.round((min + (most - min) * hash01(`${seed}/delay/${from}>${to}/${key}`)) * 500);
    },
    heldUs(from, to, n) {
      const [, max] = range(from, to);
      return Math.round(hash01(`${seed}/held/${from}>${to}/${n}`) * Math.max(10, 2 * max) * 1_000) + 1_000;
    },
  };
}
