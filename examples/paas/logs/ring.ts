import type { Stored } from "./envelope.ts";

export interface Selection {
  start: bigint;
  end: bigint;
  limit: number;
  descending: boolean;
  want: (item: Stored) => boolean;
}

/** The envelopes of one source, oldest first, with strictly rising timestamps. */
export class Ring {
  #items: (Stored | undefined)[] = [];
  #head = 0;
  bytes = 0;
  /** How many left to make room. */
  expired = 0;

  get count(): number {
    return this.#items.length - this.#head;
  }
  get oldest(): Stored | undefined {
    return this.#items[this.#head];
  }
  get newest(): Stored | undefined {
    return this.count > 0 ? this.#items[this.#items.length - 1] : undefined;
  }

  push(item: Stored): void {
    this.#items.push(item);
    this.bytes += item.bytes;
  }

  /** Removes the oldest and gives back its size. */
  shift(): number {
    const item = this.#items[this.#head];
    if (!item) return 0;
    this.#items[this.#head] = undefined;
    this.#head += 1;
    this.bytes -= item.bytes;
    this.expired += 1;
    // Moving the rest is paid for by the removals since the last time.
    if (this.#head >= 512 && this.#head * 2 >= this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item.bytes;
  }

  /** Envelopes with `start <= timestamp < end` that `want` takes, from the named end, at most `limit`. */
  select({ start, end, limit, descending, want }: Selection): Stored[] {
    const from = this.#indexOf(start);
    const to = this.#indexOf(end);
    const found: Stored[] = [];
    for (let step = 0; step < to - from && found.length < limit; step += 1) {
      const item = this.#items[descending ? to - 1 - step : from + step];
      if (item && want(item)) found.push(item);
    }
    return found;
  }

  all(): Stored[] {
    return this.#items.slice(this.#head) as Stored[];
  }

  /** Index of the first envelope that is not older than `timestamp`. */
  #indexOf(timestamp: bigint): number {
    let low = this.#head;
    let high = this.#items.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#items[middle] as Stored).timestamp < timestamp) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
