import type { Clock } from "../ports.ts";

/** What became of a message that was seen before. */
export interface Seen {
  /** The answer that was given, to be given again. */
  answer: Uint8Array | string | undefined;
  /** Those who asked again before there was an answer. */
  waiting: string[];
}

export interface OnceOptions {
  /** Ids remembered. Default 10 000. */
  remember?: number;
  /** How long. Default 600 000 ms. */
  forMs?: number;
}

export interface Once {
  /** @returns what is known of the id, or undefined when it is new; then it is known from now on */
  see(id: string): Seen | undefined;
  of(id: string): Seen | undefined;
}

/** Remembers ids, so that a command that arrives twice is carried out once and answered twice. */
export function createOnce(clock: Clock, { remember = 10_000, forMs = 600_000 }: OnceOptions = {}): Once {
  const known = new Map<string, Seen & { readonly untilMs: number }>();
  return {
    see(id) {
      const nowMs = clock.now();
      for (const [oldest, { untilMs }] of known) {
        if (untilMs > nowMs && known.size < remember) break;
        known.delete(oldest);
      }
      const seen = known.get(id);
      if (seen) return seen;
      known.set(id, { untilMs: nowMs + forMs, answer: undefined, waiting: [] });
      return undefined;
    },
    of: (id) => known.get(id),
  };
}
