/** The quantiles `/varz` shows, in percent. */
export const percents = [50, 75, 90, 95, 99] as const;
export type Latency = Readonly<Record<`${(typeof percents)[number]}`, number>>;

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

  /** Seconds by percentage; zeros before the first. */
  read(): Latency {
    const sorted = this.#samples.slice(0, Math.min(this.#count, this.#samples.length)).sort();
    const at = (percent: number): number => sorted[Math.max(0, Math.ceil(sorted.length * percent / 100) - 1)] ?? 0;
    return { 50: at(50), 75: at(75), 90: at(90), 95: at(95), 99: at(99) };
  }
}
