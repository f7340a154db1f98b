/** Chance that can be repeated: the same seed, the same numbers (the generator known as mulberry32). */
export interface Chance {
  /** 0 to `below` - 1. */
  int(below: number): number;
  /** True once in `of` times. */
  once(of: number): boolean;
  pick<T>(list: readonly T[]): T;
}

export function chanceOf(seed: number): Chance {
  let state = seed >>> 0;
  const int = (below: number): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
  return { int, once: (of) => int(of) === 0, pick: (list) => list[int(list.length)] as never };
}
