import { waitFor } from "./cancel.ts";
import { UaaError } from "./errors.ts";
import type { TokenSet } from "./grants.ts";
import { silentLogger, systemClock, type Clock, type Logger } from "./ports.ts";

export interface TokenSourceOptions {
  /** Gets new tokens, e.g. `({ signal }) => grants.clientCredentials({ signal })`. */
  get(options: { signal: AbortSignal }): Promise<TokenSet>;
  /** Renews with a refresh token, where there is one; when it is refused, `get` is asked. Default: always `get`. */
  refresh?(refreshToken: string, options: { signal: AbortSignal }): Promise<TokenSet>;
  /** A token this near to its end is renewed. Default 60 000 ms, or a fifth of the lifetime if that is shorter. */
  refreshAheadMs?: number;
  /** Longest wait between attempts after failures; begins at 1 000 ms and doubles. Default 30 000 ms. */
  maxBackoffMs?: number;
  clock?: Clock;
  log?: Logger;
}

export interface TokenSource extends Disposable {
  /**
   * A token that is good now. Renews it in the background while the old one still serves; waits only when there is none.
   * Throws what `get` threw, or `aborted`.
   */
  token(options?: { signal?: AbortSignal }): Promise<string>;
  /** Call it when a server refused this token: the next `token()` gets another. Other tokens are left alone. */
  invalidate(token: string): void;
}

/** Keeps one token fresh for many callers: one request at a time, back-off after failures, no timer. */
export function createTokenSource(options: TokenSourceOptions): TokenSource {
  const { get, refresh, refreshAheadMs = 60_000, maxBackoffMs = 30_000, clock = systemClock, log = silentLogger } = options;
  const life = new AbortController();
  let tokens: TokenSet | undefined;
  let renewAt = 0;
  let running: Promise<TokenSet> | undefined;
  let failures = 0;
  let failedAt = -Infinity;
  let lastFailure: unknown;

  function renew(): Promise<TokenSet> {
    running ??= ask().finally(() => { running = undefined; });
    return running;
  }

  async function ask(): Promise<TokenSet> {
    try {
      const fresh = await askOnce();
      // UAA answers a refresh without rotation with the same value, other issuers leave it out.
      tokens = fresh.refreshToken === undefined && tokens?.refreshToken !== undefined ? { ...fresh, refreshToken: tokens.refreshToken } : fresh;
      const lifeMs = fresh.expiresAt.getTime() - clock.now();
      renewAt = clock.now() + Math.max(lifeMs - refreshAheadMs, lifeMs * 0.8);
      failures = 0;
      return tokens;
    } catch (cause) {
      failures += 1;
      failedAt = clock.now();
      lastFailure = cause;
      log.warn("uaa.token.failed", { failures, code: cause instanceof UaaError ? cause.code : undefined });
      throw cause;
    }
  }

  async function askOnce(): Promise<TokenSet> {
    const { signal } = life;
    const old = tokens?.refreshToken;
    if (refresh === undefined || old === undefined) return get({ signal });
    try {
      return await refresh(old, { signal });
    } catch (error) {
      if (!(error instanceof UaaError) || error.code !== "grant_refused") throw error;
      tokens = undefined;
      return get({ signal });
    }
  }

  const waiting = (): boolean => failures > 0 && clock.now() >= failedAt && clock.now() < failedAt + Math.min(maxBackoffMs, 1_000 * 2 ** (failures - 1));

  return {
    async token({ signal } = {}) {
      if (life.signal.aborted) throw new UaaError("aborted", "the token source is closed");
      if (tokens !== undefined && clock.now() < tokens.expiresAt.getTime()) {
        const { accessToken } = tokens;
        if (clock.now() >= renewAt && !waiting()) renew().catch(() => {});   // told to the log already
        return accessToken;
      }
      if (running === undefined && waiting()) throw lastFailure;
      return (await waitFor(renew(), signal)).accessToken;
    },
    invalidate(token) {
      if (tokens?.accessToken === token) tokens = { ...tokens, expiresAt: new Date(0) };
    },
    [Symbol.dispose]: () => life.abort(),
  };
}
