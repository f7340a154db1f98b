import { createHash } from "node:crypto";
import type { Principal } from "./principal.ts";

/**
 * Remembers good results so that a busy caller's token is not verified a thousand times a second.
 * Keyed by the token's SHA-256, so that a heap dump holds no tokens; bounded, the longest unused goes first.
 */
export interface ResultCache {
  get(token: string, nowMs: number): Principal | undefined;
  set(token: string, principal: Principal, nowMs: number): void;
}

export function createResultCache(maxEntries: number, ttlMs: number): ResultCache {
  const entries = new Map<string, { principal: Principal; until: number; since: number }>();
  const keyOf = (token: string): string => createHash("sha256").update(token).digest("base64");
  return {
    get(token, nowMs) {
      const key = keyOf(token);
      const entry = entries.get(key);
      if (entry === undefined) return undefined;
      entries.delete(key);
      // A clock set back ends the entry too: its age is no longer known.
      if (nowMs >= entry.until || nowMs < entry.since) return undefined;
      entries.set(key, entry);
      return entry.principal;
    },
    set(token, principal, nowMs) {
      const until = Math.min(principal.expiresAt.getTime(), nowMs + ttlMs);
      if (until <= nowMs || maxEntries < 1) return;
      entries.set(keyOf(token), { principal, until, since: nowMs });
      const oldest = entries.keys().next();
      if (entries.size > maxEntries && !oldest.done) entries.delete(oldest.value);
    },
  };
}
