/** A droplet in the cache that nobody is using. */
export interface CachedDroplet {
  name: string;
  bytes: number;
  /** When an instance was last started from it, in milliseconds. */
  usedAt: number;
}

export interface EvictionRules {
  /** Space the cache may take. */
  cacheBytes: number;
  /** Time after its last use at which a droplet leaves. */
  unusedMs: number;
}

export type EvictionReason = "unused" | "space" | "pressure";

/** Under pressure too, what was used a moment ago stays: it is likely to be used again. */
const restMs = 60_000;

const oldestFirst = (cached: readonly CachedDroplet[]): CachedDroplet[] => [...cached].sort((a, b) => a.usedAt - b.usedAt || a.name.localeCompare(b.name));

/** Which droplets leave, the least recently used first: those nobody used for long, and what exceeds the space. */
export function evictions(cached: readonly CachedDroplet[], { cacheBytes, unusedMs }: EvictionRules, nowMs: number): { name: string; why: EvictionReason }[] {
  const leaving: { name: string; why: EvictionReason }[] = [];
  let total = cached.reduce((sum, { bytes }) => sum + bytes, 0);
  for (const { name, bytes, usedAt } of oldestFirst(cached)) {
    const why = nowMs - usedAt > unusedMs ? "unused" : total > cacheBytes ? "space" : undefined;
    if (!why) break;
    leaving.push({ name, why });
    total -= bytes;
  }
  return leaving;
}

/** Which droplets leave while the disk is too full, in this order, until it is not. */
export const underPressure = (cached: readonly CachedDroplet[], nowMs: number): CachedDroplet[] => oldestFirst(cached).filter(({ usedAt }) => nowMs - usedAt > restMs);
