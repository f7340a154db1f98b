import { publicKeyAlgorithms, type PublicKeyAlgorithm } from "./algorithms.ts";
import { aborted } from "./cancel.ts";
import { checkClaims } from "./claims.ts";
import { UaaError, type UaaErrorCode } from "./errors.ts";
import { createKeyCache, fixedKeys, type KeyCache, type KeyCacheOptions, type KeyStats } from "./keys.ts";
import { baseOfIssuer, checkUrl, discover } from "./locate.ts";
import { globalFetch, silentLogger, systemClock, type Clock, type Fetch, type Logger } from "./ports.ts";
import { principalOf, type Principal } from "./principal.ts";
import { createResultCache } from "./result-cache.ts";
import { demandScopes, type ScopeDemand } from "./scope.ts";
import { checkSignature } from "./signature.ts";
import { decodeUnverified } from "./token.ts";

export interface ValidatorOptions extends KeyCacheOptions {
  /** Accepted `iss`, compared exactly; UAA's is `<its address>/oauth/token`. Default: what discovery at `url` says. */
  issuer?: string | readonly string[];
  /** Names of this resource server; one of them must be in `aud`. Required. */
  audience: string | readonly string[];
  /** Address of the UAA, for discovery. Default: the (first) issuer without `/oauth/token`. */
  url?: string;
  /** Address of the key document. Default: `jwks_uri` of discovery. */
  keysUrl?: string;
  /** Public keys as JWKs (or UAA entries with a PEM `value`); then nothing is fetched. Needs `issuer`. */
  keys?: readonly object[];
  /** Shared secrets for HS256/384/512, several during a change. Whoever has one can make tokens. Default: none accepted. */
  secrets?: readonly string[];
  /** Accepted algorithms for public keys. Default: RS, PS, ES 256/384/512, EdDSA. */
  algorithms?: readonly PublicKeyAlgorithm[];
  /** Expected identity zone (`zid`). Default: any zone of the issuer. */
  zone?: string;
  /** How far clocks may differ. Default 5 s, at most 60 s. */
  clockToleranceSeconds?: number;
  /** Good results kept in memory. Default 10 000; 0 = none. */
  cacheMaxEntries?: number;
  /** How long a good result is kept, never beyond `exp`. Default 60 000 ms, which is also the most. */
  cacheTtlMs?: number;
  fetch?: Fetch;
  clock?: Clock;
  log?: Logger;
}

export interface ValidateOptions extends ScopeDemand {
  signal?: AbortSignal;
}

export interface ValidatorStats extends KeyStats {
  accepted: number;
  cacheHits: number;
  refused: Partial<Record<UaaErrorCode, number>>;
}

export interface Validator {
  /**
   * Checks an access token (without the word "Bearer") and tells who it speaks for.
   * Throws {@link UaaError}: one of the refusal codes, or `keys_unavailable`, or `aborted`.
   */
  validate(token: string | null | undefined, options?: ValidateOptions): Promise<Principal>;
  /** Fetches issuer and keys now, so that the first caller does not wait. Throws `keys_unavailable`, `aborted`. */
  load(options?: { signal?: AbortSignal }): Promise<void>;
  /** Counters since the start. */
  stats(): ValidatorStats;
}

/**
 * A validator for the access tokens of one issuer. Nothing is fetched before the first token (or `load`).
 * Throws `invalid_options`.
 */
export function createValidator(options: ValidatorOptions): Validator {
  const {
    audience, zone, clockToleranceSeconds = 5, cacheMaxEntries = 10_000, cacheTtlMs = 60_000,
    algorithms = publicKeyAlgorithms, clock = systemClock, log = silentLogger,
  } = options;
  const audiences = nonEmptyList(audience, "audience");
  if (!(clockToleranceSeconds >= 0 && clockToleranceSeconds <= 60))
    throw new UaaError("invalid_options", "clockToleranceSeconds must lie between 0 and 60");
  const secrets = (options.secrets ?? []).map(secretBytes);
  const { keys, issuers } = keySource(options, secrets.length > 0, log, clock);
  const results = createResultCache(cacheMaxEntries, Math.min(cacheTtlMs, 60_000));
  const refused: Partial<Record<UaaErrorCode, number>> = {};
  let accepted = 0;
  let cacheHits = 0;

  async function principalFor(token: string, signal: AbortSignal | undefined): Promise<Principal> {
    const cached = results.get(token, clock.now());
    if (cached !== undefined) {
      cacheHits += 1;
      return cached;
    }
    const { header, claims } = decodeUnverified(token);
    await checkSignature(token, header, { keys, algorithms, secrets }, signal);
    const rules = { issuers: await issuers(signal), audiences, zone, clockToleranceSeconds };
    const principal = principalOf(checkClaims(header, claims, rules, clock.now() / 1000));
    results.set(token, principal, clock.now());
    return principal;
  }

  return {
    async validate(token, { signal, scopes, anyScope } = {}) {
      try {
        if (signal?.aborted) throw aborted(signal);
        if (token === undefined || token === null || token === "") throw new UaaError("missing", "there is no token");
        const principal = await principalFor(token, signal);
        demandScopes(principal.scopes, { ...(scopes && { scopes }), ...(anyScope && { anyScope }) });
        accepted += 1;
        return principal;
      } catch (error) {
        if (error instanceof UaaError) refused[error.code] = (refused[error.code] ?? 0) + 1;
        throw error;
      }
    },
    async load({ signal } = {}) {
      await keys?.load(signal);
      await issuers(signal);
    },
    stats: () => ({ accepted, cacheHits, refused: { ...refused }, ...(keys?.stats() ?? { keyFetches: 0, keyFetchFailures: 0, staleServed: 0, fetchesSpared: 0 }) }),
  };
}

interface Trust {
  keys: KeyCache | undefined;
  issuers(signal?: AbortSignal): Promise<readonly string[]>;
}

/** Where keys come from and which issuers are believed, by the options that were given. */
function keySource(options: ValidatorOptions, hasSecrets: boolean, log: Logger, clock: Clock): Trust {
  const { issuer, url, keysUrl, keys: given, fetch = globalFetch } = options;
  const fixedIssuers = issuer === undefined ? undefined : nonEmptyList(issuer, "issuer");
  const known = async (): Promise<readonly string[]> => fixedIssuers ?? [];
  if (given !== undefined || (hasSecrets && url === undefined && keysUrl === undefined)) {
    if (fixedIssuers === undefined) throw new UaaError("invalid_options", "issuer is required when keys or secrets are given");
    return { keys: given && fixedKeys({ keys: given }, log), issuers: known };
  }
  const base = url ?? (fixedIssuers?.[0] === undefined ? undefined : baseOfIssuer(fixedIssuers[0]));
  if (keysUrl !== undefined) checkUrl(keysUrl, "keysUrl");
  if (fixedIssuers === undefined && url === undefined) throw new UaaError("invalid_options", "issuer or url is required");
  if (base !== undefined && (keysUrl === undefined || fixedIssuers === undefined)) checkUrl(base, url === undefined ? "issuer" : "url");

  let issuerSeen = fixedIssuers;
  let keysAt = keysUrl;
  const locate = async (): Promise<string> => {
    if (keysAt !== undefined && issuerSeen !== undefined) return keysAt;
    const call = { fetch, timeoutMs: options.keysTimeoutMs ?? 5_000, maxBytes: 65_536 };
    // The issuer is learnt once: a UAA that later claims to be another one is not followed.
    const found = await discover(base as string, issuerSeen ?? [], call);
    issuerSeen ??= [found.issuer];
    keysAt = keysUrl ?? found.keysUrl;
    return keysAt;
  };
  const forget = (): void => { keysAt = keysUrl; };
  const keys = createKeyCache({ locate, forget, fetch, clock, log }, options);
  return {
    keys,
    async issuers(signal) {
      if (issuerSeen === undefined) await keys.load(signal);
      return issuerSeen ?? [];
    },
  };
}

function nonEmptyList(value: string | readonly string[] | undefined, name: string): readonly string[] {
  const list = typeof value === "string" ? [value] : [...(value ?? [])];
  if (list.length === 0 || list.some((one) => typeof one !== "string" || one === "")) throw new UaaError("invalid_options", `${name} is required`);
  return list;
}

/** RFC 7518, 3.2: a secret must not be shorter than the hash; shorter ones can be guessed off line. */
function secretBytes(secret: string): Uint8Array {
  const bytes = new TextEncoder().encode(secret);
  if (bytes.byteLength < 32) throw new UaaError("invalid_options", "a shared secret must have at least 32 bytes");
  return bytes;
}
