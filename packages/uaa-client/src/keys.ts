import type { PublicKeyAlgorithm } from "./algorithms.ts";
import { waitFor } from "./cancel.ts";
import { UaaError } from "./errors.ts";
import { callJson } from "./http.ts";
import { readKeySet, type KeySet, type VerifyKey } from "./key-set.ts";
import type { Clock, Fetch, Logger } from "./ports.ts";

export interface KeyCacheOptions {
  /** Age at which the keys are fetched again behind the callers' backs. Default 300 000 ms. */
  keysRefreshAfterMs?: number;
  /**
   * Age up to which old keys still serve while the issuer does not answer. Default 43 200 000 ms (12 h):
   * UAA's default token lifetime, after which no token signed before the outage is left.
   */
  keysMaxStaleMs?: number;
  /** Shortest time between two fetches caused by tokens that name an unknown key. Default 10 000 ms. */
  keysCooldownMs?: number;
  /** How long a key name that was not found causes no other fetch. Default 60 000 ms. */
  unknownKeyTtlMs?: number;
  /** Longest wait after a failed fetch; the first wait is 1 000 ms and doubles. Default 30 000 ms. */
  keysMaxBackoffMs?: number;
  /** Limit of one key or discovery request. Default 5 000 ms. */
  keysTimeoutMs?: number;
}

export interface KeyStats {
  keyFetches: number;
  keyFetchFailures: number;
  /** Look-ups answered with keys older than the refresh age. */
  staleServed: number;
  /** Look-ups of unknown keys that were not allowed to cause a fetch. */
  fetchesSpared: number;
}

export interface KeyCache {
  /**
   * Keys that may have signed a token with this `kid` and `alg`; may be empty when the key is of another type.
   * Throws `unknown_key`, `keys_unavailable`, `aborted`.
   */
  find(kid: string | undefined, alg: PublicKeyAlgorithm, signal?: AbortSignal): Promise<readonly VerifyKey[]>;
  /** Loads the keys now unless they are there. Throws `keys_unavailable`, `aborted`. */
  load(signal?: AbortSignal): Promise<void>;
  stats(): KeyStats;
}

export interface KeySource {
  /** The address of the key document, asked before each fetch. */
  locate(): Promise<string>;
  /** Called after a failed fetch: the address may have changed. */
  forget(): void;
  fetch: Fetch;
  clock: Clock;
  log: Logger;
}

const maxUnknownKids = 1_000;
const maxKeyDocumentBytes = 262_144;

/**
 * The signing keys of one issuer, fetched when first needed and kept so that no caller can turn them into load:
 *
 * - one fetch at a time, whoever asks;
 * - aging keys are renewed in the background, nobody waits;
 * - after a failure no fetch before the back-off is over, old keys serve until `keysMaxStaleMs`;
 * - a token naming an unknown key causes a fetch at most once per cooldown, the same name once per `unknownKeyTtlMs`;
 * - a bad signature never causes a fetch and never drops a key.
 */
export function createKeyCache(source: KeySource, options: KeyCacheOptions = {}): KeyCache {
  const {
    keysRefreshAfterMs = 300_000, keysMaxStaleMs = 43_200_000, keysCooldownMs = 10_000,
    unknownKeyTtlMs = 60_000, keysMaxBackoffMs = 30_000, keysTimeoutMs = 5_000,
  } = options;
  const { locate, forget, fetch, clock, log } = source;
  const stats: KeyStats = { keyFetches: 0, keyFetchFailures: 0, staleServed: 0, fetchesSpared: 0 };
  const unknownKids = new Map<string, number>();
  let keys: KeySet | undefined;
  let etag: string | undefined;
  let loadedAt = -Infinity;
  let triedAt = -Infinity;
  let failures = 0;
  let lastFailure: unknown;
  let running: Promise<KeySet> | undefined;

  // A clock set back must not keep old keys fresh for ever: an age below zero counts as too old to be fresh.
  const age = (): number => (clock.now() < loadedAt ? keysRefreshAfterMs : clock.now() - loadedAt);
  const backoffMs = (): number => (failures === 0 ? 0 : Math.min(keysMaxBackoffMs, 1_000 * 2 ** (failures - 1)));
  const waits = (ms: number): boolean => clock.now() >= triedAt && clock.now() < triedAt + ms;
  const unavailable = (): UaaError =>
    new UaaError("keys_unavailable", "the issuer's signing keys cannot be fetched", { cause: lastFailure, retryable: true });

  function refresh(): Promise<KeySet> {
    running ??= fetchKeys().finally(() => { running = undefined; });
    return running;
  }

  async function fetchKeys(): Promise<KeySet> {
    triedAt = clock.now();
    stats.keyFetches += 1;
    try {
      keys = await request();
      loadedAt = clock.now();
      failures = 0;
      return keys;
    } catch (cause) {
      stats.keyFetchFailures += 1;
      failures += 1;
      lastFailure = cause;
      triedAt = clock.now();
      forget();
      log.warn("uaa.keys.failed", { failures, retryInMs: backoffMs(), reason: cause instanceof Error ? cause.message : String(cause) });
      throw unavailable();
    }
  }

  async function request(): Promise<KeySet> {
    const url = await locate();
    const headers: Record<string, string> = { accept: "application/json" };
    if (etag !== undefined && keys !== undefined) headers["if-none-match"] = etag;
    const answer = await callJson(url, { headers }, { fetch, timeoutMs: keysTimeoutMs, maxBytes: maxKeyDocumentBytes });
    if (answer.status === 304 && keys !== undefined) return keys;
    if (answer.status !== 200)
      throw new UaaError("bad_response", `the key document was answered with ${answer.status}`, { status: answer.status });
    const fresh = await readKeySet(answer.body, log);
    if (fresh === undefined) throw new UaaError("bad_response", "the key document holds no usable key");
    etag = answer.headers.get("etag") ?? undefined;
    log.info("uaa.keys.loaded", { keys: fresh.size });
    return fresh;
  }

  async function current(signal?: AbortSignal): Promise<KeySet> {
    if (keys !== undefined && age() < keysRefreshAfterMs) return keys;
    const mayTry = running !== undefined || !waits(backoffMs());
    if (keys !== undefined && age() < keysMaxStaleMs) {
      stats.staleServed += 1;
      if (mayTry) refresh().catch(() => {});   // told to the log already
      return keys;
    }
    if (!mayTry) throw unavailable();
    return waitFor(refresh(), signal);
  }

  async function find(kid: string | undefined, alg: PublicKeyAlgorithm, signal?: AbortSignal): Promise<readonly VerifyKey[]> {
    let set = await current(signal);
    const known = (): boolean => (kid === undefined ? set.candidates(kid, alg).length > 0 : set.has(kid));
    if (!known()) {
      await askAgain(kid ?? "", signal);
      set = await current(signal);
    }
    if (!known()) {
      remember(kid ?? "");
      throw new UaaError("unknown_key", kid === undefined ? "no published key fits a token without a key id" : "the token names a key that is not published");
    }
    return set.candidates(kid, alg);
  }

  /** Fetches once more for a key that may be new, if that is allowed now. */
  async function askAgain(kid: string, signal?: AbortSignal): Promise<void> {
    if (running !== undefined) return void (await waitFor(running, signal));
    const knownUnknown = (unknownKids.get(kid) ?? -Infinity) > clock.now();
    if (!knownUnknown && !waits(Math.max(keysCooldownMs, backoffMs()))) return void (await waitFor(refresh(), signal));
    stats.fetchesSpared += 1;
    // The last fetch failed, so nobody can say that the key is wrong.
    if (failures > 0) throw unavailable();
  }

  function remember(kid: string): void {
    if ((unknownKids.get(kid) ?? -Infinity) > clock.now()) return;
    unknownKids.delete(kid);
    unknownKids.set(kid, clock.now() + unknownKeyTtlMs);
    const oldest = unknownKids.keys().next();
    if (unknownKids.size > maxUnknownKids && !oldest.done) unknownKids.delete(oldest.value);
  }

  return { find, load: async (signal) => void (await current(signal)), stats: () => ({ ...stats }) };
}

/** Keys that were handed in: nothing is fetched. */
export function fixedKeys(document: { keys: readonly object[] }, log: Logger): KeyCache {
  const set = readKeySet(document, log);
  return {
    async find(kid, alg) {
      const keys = await set;
      const candidates = keys?.candidates(kid, alg) ?? [];
      if (kid === undefined ? candidates.length === 0 : !keys?.has(kid)) throw new UaaError("unknown_key", "the token names none of the given keys");
      return candidates;
    },
    async load() {
      if ((await set) === undefined) throw new UaaError("invalid_options", "none of the given keys can verify a signature");
    },
    stats: () => ({ keyFetches: 0, keyFetchFailures: 0, staleServed: 0, fetchesSpared: 0 }),
  };
}
