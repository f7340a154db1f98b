/** Upper bounds of the buckets, seconds: from what a cache takes to what nobody waits for. */
export const durationBounds: readonly number[] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];

/** What a histogram of durations has counted, as plain data; the bounds are `durationBounds`. */
export interface HistogramCounts { readonly counts: readonly number[]; readonly sum: number; readonly count: number }

/** Durations counted by size; a few hundred bytes, whatever is counted. */
export class Histogram {
  /** How many fell under each bound and above the one before; the last one is what is above all. */
  readonly counts: Float64Array;
  readonly bounds: readonly number[];
  sum = 0;
  count = 0;

  constructor(bounds: readonly number[] = durationBounds) {
    this.bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  /** `value` in the unit of the bounds. */
  add(value: number): void {
    const { bounds, counts } = this;
    // Most answers are quick: searching from below ends soon.
    let at = 0;
    while (at < bounds.length && value > (bounds[at] as number)) at += 1;
    counts[at] = (counts[at] as number) + 1;
    this.sum += value;
    this.count += 1;
  }

  read(): HistogramCounts {
    return { counts: [...this.counts], sum: this.sum, count: this.count };
  }

  /** Takes over what another one with the same bounds has counted. */
  merge(other: Pick<HistogramCounts, "sum" | "count"> & { readonly counts: ArrayLike<number> }): void {
    for (let at = 0; at < this.counts.length; at += 1) this.counts[at] = (this.counts[at] as number) + (other.counts[at] as number);
    this.sum += other.sum;
    this.count += other.count;
  }

  /** The value below which `percent` of all are, by straight line within its bucket; 0 when nothing was counted. */
  quantile(percent: number): number {
    if (this.count === 0) return 0;
    const wanted = this.count * percent / 100;
    let seen = 0;
    for (let at = 0; at < this.counts.length; at += 1) {
      const here = this.counts[at] as number;
      if (here > 0 && seen + here >= wanted) {
        const low = at === 0 ? 0 : this.bounds[at - 1] as number;
        const high = this.bounds[at] ?? low;
        return low + (high - low) * (wanted - seen) / here;
      }
      seen += here;
    }
    return this.bounds.at(-1) ?? 0;
  }
}
