/**
 * Where a message's routes stand, by its fingerprint: one entry for each route, in plain memory, for a million and more of them. Grows in two hundred and fifty-six small steps instead of one that everybody waits for.
 * Nothing is taken out: a lot is dropped as a whole.
 */
export class Lot {
  readonly #shards = Array.from({ length: 256 }, () => new Shard(4));
  size = 0;
  /** Of the message that was found last: how many routes it has. */
  routes = 0;

  /** Gives the place, or -1. `high` is never 0. */
  get(low: number, high: number): number {
    const { entries, mask } = this.#shards[low >>> 24] as Shard;
    for (let at = low & mask; ; at = (at + 1) & mask) {
      const held = entries[at * 4 + 1];
      if (held === high && entries[at * 4] === low) {
        this.routes = entries[at * 4 + 3] as number;
        return entries[at * 4 + 2] as number;
      }
      if (held === 0) return -1;
    }
  }

  /** Puts or replaces. */
  set(low: number, high: number, { place, routes }: { place: number; routes: number }): void {
    let shard = this.#shards[low >>> 24] as Shard;
    if ((shard.size + 1) * 5 > (shard.mask + 1) * 3) this.#shards[low >>> 24] = shard = shard.doubled();
    if (shard.put(low, high, { place, routes })) this.size += 1;
  }
}

/** Open addressing with linear probing: low half, high half (0: nothing here), place, routes. At most three fifths are used, so that a search always ends at a gap. */
class Shard {
  readonly mask: number;
  readonly entries: Int32Array;
  size = 0;

  constructor(capacity: number) {
    this.mask = capacity - 1;
    this.entries = new Int32Array(capacity * 4);
  }

  /** True when it was not there before. */
  put(low: number, high: number, { place, routes }: { place: number; routes: number }): boolean {
    const { entries, mask } = this;
    let at = low & mask;
    while (entries[at * 4 + 1] !== 0 && !(entries[at * 4] === low && entries[at * 4 + 1] === high)) at = (at + 1) & mask;
    const added = entries[at * 4 + 1] === 0;
    if (added) this.size += 1;
    entries[at * 4] = low;
    entries[at * 4 + 1] = high;
    entries[at * 4 + 2] = place;
    entries[at * 4 + 3] = routes;
    return added;
  }

  doubled(): Shard {
    const next = new Shard((this.mask + 1) * 2);
    const { entries } = this;
    for (let at = 0; at < entries.length; at += 4) {
      const high = entries[at + 1] as number;
      if (high !== 0) next.put(entries[at] as number, high, { place: entries[at + 2] as number, routes: entries[at + 3] as number });
    }
    return next;
  }
}
