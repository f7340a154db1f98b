/** How often a moving average takes a step. */
const tickMs = 5_000;
const minutes = [1, 5, 15] as const;
const weights = minutes.map((count) => 1 - Math.exp(-tickMs / 60_000 / count));
/** After so many silent steps nothing is left of the past that anybody could read. */
const forgetTicks = 12 * 15 * 12;

/**
 * Events per second over the last 1, 5 and 15 minutes, as load averages have them: exponentially weighted, in steps of 5 s
 * (the rule of gorouter's meters, which count the same way). Costs an addition per event.
 */
export class Rates {
  #fresh = 0;
  #tickedMs: number;
  #begun = false;
  readonly #rates = [0, 0, 0];
  #last = 0;

  constructor(nowMs: number) {
    this.#tickedMs = nowMs;
  }

  mark(nowMs: number, events = 1): void {
    if (nowMs - this.#tickedMs >= tickMs) this.#tick(nowMs);
    this.#fresh += events;
  }

  /** Per second, over the last whole 5 s. */
  latest(nowMs: number): number {
    this.#tick(nowMs);
    return this.#last;
  }

  /** Per second, over 1, 5 and 15 minutes. Zeros during the first 5 s. */
  read(nowMs: number): [number, number, number] {
    this.#tick(nowMs);
    return [this.#rates[0] as number, this.#rates[1] as number, this.#rates[2] as number];
  }

  #tick(nowMs: number): void {
    const ticks = Math.floor((nowMs - this.#tickedMs) / tickMs);
    if (ticks <= 0) return;
    this.#tickedMs += ticks * tickMs;
    for (let step = 0; step < Math.min(ticks, forgetTicks); step += 1) {
      const now = this.#fresh / (tickMs / 1_000);
      this.#fresh = 0;
      for (let at = 0; at < 3; at += 1) {
        const held = this.#rates[at] as number;
        this.#rates[at] = this.#begun ? held + (weights[at] as number) * (now - held) : now;
      }
      this.#begun = true;
      this.#last = now;
    }
  }
}
