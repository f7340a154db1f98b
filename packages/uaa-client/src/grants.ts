import { UaaError } from "./errors.ts";
import { callJson, isRecord, type HttpAnswer } from "./http.ts";
import { checkUrl } from "./locate.ts";
import { globalFetch, systemClock, type Clock, type Fetch } from "./ports.ts";
import { readScopes } from "./scope.ts";

export interface GrantClientOptions {
  /** Address of the UAA; tokens come from `<url>/oauth/token`. */
  url: string;
  /** Address of the token endpoint, where it is another. Default `<url>/oauth/token`. */
  tokenUrl?: string;
  clientId: string;
  /** Default: the empty secret, which is what the public client `cf` has. */
  clientSecret?: string;
  /** How the client shows who it is: `basic` (RFC 6749, 2.3.1) or in the `body`. Default `basic`. */
  clientAuth?: "basic" | "body";
  /** Limit of one token request. Default 10 000 ms. */
  timeoutMs?: number;
  fetch?: Fetch;
  clock?: Clock;
}

export interface GrantOptions {
  /** Scopes to ask for. Default: all the UAA would give. */
  scopes?: readonly string[];
  signal?: AbortSignal;
}

export interface PasswordGrant extends GrantOptions {
  username: string;
  password: string;
  /** Identity provider to ask, as `login_hint` `{"origin": …}`. Default: the UAA decides. */
  origin?: string;
}

/** What a token endpoint gave. Holds secrets: do not log it. */
export interface TokenSet {
  readonly accessToken: string;
  /** When the access token ends, by this machine's clock at the time of the answer. */
  readonly expiresAt: Date;
  readonly refreshToken: string | undefined;
  readonly idToken: string | undefined;
  readonly scopes: ReadonlySet<string>;
  readonly jti: string | undefined;
}

/**
 * Asks for tokens. Every method throws {@link UaaError}: `grant_refused` (with `oauthError`, e.g. `invalid_grant`),
 * `uaa_unavailable` (network, time, 5xx, 429; retryable), `bad_response`, `aborted`.
 */
export interface GrantClient {
  password(grant: PasswordGrant): Promise<TokenSet>;
  /** A one-time code from the login page's `/passcode`. */
  passcode(passcode: string, options?: GrantOptions): Promise<TokenSet>;
  clientCredentials(options?: GrantOptions): Promise<TokenSet>;
  refresh(refreshToken: string, options?: GrantOptions): Promise<TokenSet>;
}

const maxTokenAnswerBytes = 262_144;

/** Throws `invalid_options`. */
export function createGrantClient(options: GrantClientOptions): GrantClient {
  const { url, clientId, clientSecret = "", clientAuth = "basic", timeoutMs = 10_000, fetch = globalFetch, clock = systemClock } = options;
  const tokenUrl = checkUrl(options.tokenUrl ?? `${url.replace(/\/+$/, "")}/oauth/token`, options.tokenUrl === undefined ? "url" : "tokenUrl");
  if (clientId === "") throw new UaaError("invalid_options", "clientId is required");

  async function ask(params: Record<string, string>, { scopes, signal }: GrantOptions): Promise<TokenSet> {
    const form = new URLSearchParams(params);
    if (scopes !== undefined && scopes.length > 0) form.set("scope", scopes.join(" "));
    const headers: Record<string, string> = { accept: "application/json", "content-type": "application/x-www-form-urlencoded" };
    if (clientAuth === "basic") {
      headers["authorization"] = `Basic ${Buffer.from(`${formEncode(clientId)}:${formEncode(clientSecret)}`).toString("base64")}`;
      // Tells a UAA in compatibility mode that both were encoded, as the RFC wants.
      headers["x-cf-encoded-credentials"] = "true";
    } else {
      form.set("client_id", clientId);
      form.set("client_secret", clientSecret);
    }
    const answer = await callJson(tokenUrl, { method: "POST", headers, body: form.toString() }, { fetch, timeoutMs, maxBytes: maxTokenAnswerBytes, signal });
    return readTokens(answer, clock.now());
  }

  return {
    password: ({ username, password, origin, ...rest }) =>
      ask({ grant_type: "password", username, password, ...(origin !== undefined && { login_hint: JSON.stringify({ origin }) }) }, rest),
    passcode: (passcode, rest = {}) => ask({ grant_type: "password", passcode }, rest),
    clientCredentials: (rest = {}) => ask({ grant_type: "client_credentials" }, rest),
    refresh: (refreshToken, rest = {}) => ask({ grant_type: "refresh_token", refresh_token: refreshToken }, rest),
  };
}

function readTokens({ status, body }: HttpAnswer, nowMs: number): TokenSet {
  if (status !== 200) throw refused(status, body);
  const given: Record<string, unknown> = isRecord(body) ? body : {};
  const { access_token: accessToken, expires_in: expiresIn, refresh_token: refreshToken, id_token: idToken, jti } = given;
  if (typeof accessToken !== "string" || accessToken === "" || typeof expiresIn !== "number" || !(expiresIn >= 0))
    throw new UaaError("bad_response", "the token endpoint answered without access_token or expires_in", { status });
  const text = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined);
  return {
    accessToken, expiresAt: new Date(nowMs + expiresIn * 1000), refreshToken: text(refreshToken), idToken: text(idToken),
    scopes: readScopes(given["scope"]) ?? new Set(), jti: text(jti),
  };
}

function refused(status: number, body: unknown): UaaError {
  const said: Record<string, unknown> = isRecord(body) ? body : {};
  const oauthError = typeof said["error"] === "string" ? said["error"].slice(0, 100) : undefined;
  const description = typeof said["error_description"] === "string" ? said["error_description"].slice(0, 500) : `status ${status}`;
  if (status >= 500 || status === 429)
    return new UaaError("uaa_unavailable", `the token endpoint failed: ${description}`, { status, retryable: true, ...(oauthError !== undefined && { oauthError }) });
  if (oauthError === undefined) return new UaaError("bad_response", `the token endpoint answered ${status} without an OAuth error`, { status });
  return new UaaError("grant_refused", `${oauthError}: ${description}`, { status, oauthError });
}

const formEncode = (text: string): string => new URLSearchParams([["", text]]).toString().slice(1);
