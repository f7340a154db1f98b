import { globalFetch, systemClock, type Clock, type Fetch } from "./ports.ts";

/** A user as other parts know it. */
export interface Identity {
  id: string;
  username: string;
  origin: string;
}

export interface IdentitiesOptions {
  /** Where the UAA is at the moment; asked at each call. */
  baseUrl: string | (() => Promise<string>);
  clientId: string;
  clientSecret: string;
  fetch?: Fetch;
  clock?: Clock;
  /** How long an answer is believed. Default 5 000 ms. */
  cacheMs?: number;
  /** One request. Default 5 000 ms. */
  timeoutMs?: number;
}

/** Names for ids and ids for names, asked of the UAA in batches. Throws when the UAA cannot be asked; unknown ones are left out. */
export interface Identities {
  /** Names are compared without case. One name may be several people: one per origin. */
  findByNames(usernames: readonly string[], origins?: readonly string[]): Promise<Identity[]>;
  findByIds(ids: readonly string[]): Promise<Identity[]>;
}

/** The UAA could not be asked, or refused the question. */
export class IdentitiesError extends Error {
  override readonly name = "IdentitiesError";
  readonly code = "IDENTITIES_UNAVAILABLE";
  readonly retryable = true;
}

const batchSize = 100;
const maxCached = 5_000;
const quote = (text: string) => JSON.stringify(text);

export function createIdentities(options: IdentitiesOptions): Identities {
  const { baseUrl, clientId, clientSecret, fetch = globalFetch, clock = systemClock, cacheMs = 5_000, timeoutMs = 5_000 } = options;
  const base = async () => (typeof baseUrl === "string" ? baseUrl : await baseUrl()).replace(/\/$/, "");
  const cache = new Map<string, { untilMs: number; found: Identity[] }>();
  let token: { untilMs: number; value: Promise<string> } | undefined;

  async function fetchToken(): Promise<string> {
    const authorization = `Basic ${Buffer.from(`${encodeURIComponent(clientId)}:${encodeURIComponent(clientSecret)}`).toString("base64")}`;
    const response = await fetch(`${await base()}/oauth/token`, {
      method: "POST",
      headers: { authorization, accept: "application/json", "content-type": "application/x-www-form-urlencoded", "x-cf-encoded-credentials": "true" },
      body: "grant_type=client_credentials",
      signal: AbortSignal.timeout(timeoutMs),
      redirect: "error",
    });
    const body = (await response.json()) as { access_token?: string; expires_in?: number };
    if (!response.ok || !body.access_token) throw new IdentitiesError(`The UAA refused the client ${clientId}: ${response.status}`);
    if (token) token.untilMs = clock.now() + Math.max(0, (body.expires_in ?? 0) - 60) * 1000;
    return body.access_token;
  }

  function bearer(): Promise<string> {
    if (token && token.untilMs > clock.now()) return token.value;
    const fresh = { untilMs: clock.now() + timeoutMs * 2, value: fetchToken() };
    fresh.value.catch(() => token === fresh && (token = undefined));
    token = fresh;
    return fresh.value;
  }

  async function ask(filter: string): Promise<Identity[]> {
    const found: Identity[] = [];
    for (let startIndex = 1; ; ) {
      const query = new URLSearchParams({ filter, includeInactive: "true", startIndex: String(startIndex), count: "500" });
      const send = async () => fetch(`${await base()}/ids/Users?${query}`, {
        headers: { authorization: `bearer ${await bearer()}`, accept: "application/json" }, signal: AbortSignal.timeout(timeoutMs), redirect: "error",
      });
      let response = await send();
      if (response.status === 401) {
        // The UAA may have forgotten the token, for instance because it started anew.
        token = undefined;
        response = await send();
      }
      if (!response.ok) throw new IdentitiesError(`The UAA answered ${response.status} to a look-up of users`);
      const page = (await response.json()) as { resources: { id: string; userName: string; origin: string }[]; totalResults: number };
      found.push(...page.resources.map(({ id, userName, origin }) => ({ id, username: userName, origin })));
      startIndex += page.resources.length;
      if (page.resources.length === 0 || startIndex > page.totalResults) return found;
    }
  }

  /** Asks for what is not known, and remembers the answers: also that there is nobody. */
  async function find(keys: readonly string[], kind: string, filterOf: (batch: string[]) => string, keyOf: (one: Identity) => string): Promise<Identity[]> {
    const now = clock.now();
    const wanted = [...new Set(keys)].filter((key) => key !== "" && key.length <= 255);
    const missing = wanted.filter((key) => !((cache.get(`${kind} ${key}`)?.untilMs ?? 0) > now));
    const fresh = new Map<string, Identity[]>(missing.map((key) => [key, []]));
    try {
      for (let start = 0; start < missing.length; start += batchSize)
        for (const one of await ask(filterOf(missing.slice(start, start + batchSize)))) fresh.get(keyOf(one))?.push(one);
    } catch (error) {
      if (error instanceof IdentitiesError) throw error;
      throw new IdentitiesError("The UAA cannot be reached", { cause: error });
    }
    const answer = wanted.flatMap((key) => fresh.get(key) ?? cache.get(`${kind} ${key}`)?.found ?? []);
    for (const [key, found] of fresh) cache.set(`${kind} ${key}`, { untilMs: now + cacheMs, found });
    for (const oldest of cache.keys()) {
      if (cache.size <= maxCached) break;
      cache.delete(oldest);
    }
    return answer;
  }

  const anyOf = (attribute: string, values: readonly string[]) => values.map((value) => `${attribute} eq ${quote(value)}`).join(" or ");

  return {
    findByIds: (ids) => find(ids, "id", (batch) => anyOf("id", batch), ({ id }) => id),
    findByNames(usernames, origins) {
      const only = origins && origins.length > 0 ? ` and (${anyOf("origin", origins)})` : "";
      return find(usernames.map((name) => name.toLowerCase()), `name${only}`, (batch) => `(${anyOf("userName", batch)})${only}`, ({ username }) => username.toLowerCase());
    },
  };
}
