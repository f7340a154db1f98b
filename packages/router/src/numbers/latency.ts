/** The quantiles `/varz` shows, in percent. */
export const percents = [50, 75, 90, 95, 99] as const;
export type Latency = Readonly<Record<`${(typeof percents)[number]}`, number>>;

/** Some of the last durations, seconds, the shortest first; they stand for `count` of them. */
export interface Samples { readonly count: number; readonly values: readonly number[] }

/** Quantiles of several samples as if they were one: each value weighs what it stands for. Zeros where there are none. */
export function quantilesOf(parts: readonly Samples[]): Latency {
  const all = parts.flatMap(({ count, values }) => values.map((value) => ({ value, weight: count / values.length }))).sort((one, other) => one.value - other.value);
  const total = all.reduce((sum, { weight }) => sum + weight, 0);
  const found: number[] = [];
  let seen = 0;
  for (const { value, weight } of all) {
    seen += weight;
    // Sums of fractions end a hair below what they should be.
    while (found.length < percents.length && seen >= total * (percents[found.length] as number) / 100 - 1e-6) found.push(value);
  }
  return Object.fromEntries(percents.map((percent, at) => [percent, found[at] ?? 0])) as Latency;
}

/** The last so many durations, of which quantiles can be taken; older ones are forgotten. */
export class Latest {
  readonly #samples: Float32Array;
  #count = 0;

  constructor(size: number) {
    this.#samples = new Float32Array(size);
  }

  add(seconds: number): void {
    this.#samples[this.#count++ % this.#samples.length] = seconds;
  }

  /** At most so many of them, evenly chosen, to the microsecond. */
  samples(most: number): Samples {
    const sorted = this.#samples.slice(0, Math.min(this.#count, this.#samples.length)).sort();
    const kept = Math.min(most, sorted.length);
    return { count: sorted.length, values: Array.from({ length: kept }, (_, at) => Math.round((sorted[Math.floor((at + 0.5) * sorted.length / kept)] as number) * 1e6) / 1e6) };
  }

  /** Seconds by percentage; zeros before the first. */
  read(): Latency {
    const sorted = this.#samples.slice(0, Math.min(this.#count, this.#samples.length)).sort();
    const at = (percent: number): number => sorted[Math.max(0, Math.ceil(sorted.length * percent / 100) - 1)] ?? 0;
    return { 50: at(50), 75: at(75), 90: at(90), 95: at(95), 99: at(99) };
  }
}
