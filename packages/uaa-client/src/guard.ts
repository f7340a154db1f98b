import { UaaError } from "./errors.ts";
import type { Principal } from "./principal.ts";
import type { ScopeDemand } from "./scope.ts";
import type { Validator } from "./validator.ts";

export interface GuardOptions extends ScopeDemand {
  /** The `realm` of the challenge. Default `UAA/oauth`. */
  realm?: string;
}

/** What a refused caller is told. */
export interface Refusal {
  status: 401 | 403 | 503;
  headers: Record<string, string>;
  body: { error: string; error_description: string; code: string };
}

/**
 * The token of an `Authorization: Bearer` header (RFC 6750, 2.1), `undefined` when there is none or the scheme is
 * another, which means: an anonymous caller. Throws `malformed` for a Bearer header without a proper token.
 */
export function bearerToken(authorization: string | null | undefined): string | undefined {
  if (authorization === undefined || authorization === null || !/^bearer(?: |$)/i.test(authorization)) return undefined;
  const token = /^bearer +([A-Za-z0-9\-._~+/]+=*) *$/i.exec(authorization)?.[1];
  if (token === undefined) throw new UaaError("malformed", "the Authorization header holds no single bearer token");
  return token;
}

/**
 * The HTTP answer to a failed check: 403 for lacking scope, 503 when the issuer is the one that failed, 401 for the rest
 * (RFC 6750, 3). Errors that say nothing about the token are thrown on.
 */
export function refusalFor(error: unknown, { realm = "UAA/oauth" }: { realm?: string } = {}): Refusal {
  if (!(error instanceof UaaError) || error.code === "aborted" || error.code === "invalid_options") throw error;
  const { code, message, scopes } = error;
  const answer = (status: Refusal["status"], word: string, headers: Record<string, string>): Refusal => ({
    status,
    headers: { "content-type": "application/json", "cache-control": "no-store", ...headers },
    body: { error: word, error_description: message, code },
  });
  const challenge = (...params: (readonly [string, string])[]): { "www-authenticate": string } => ({
    "www-authenticate": "Bearer " + [["realm", realm] as const, ...params].map(([name, value]) => `${name}="${quotable(value)}"`).join(", "),
  });
  if (code === "keys_unavailable" || code === "uaa_unavailable" || code === "bad_response")
    return answer(503, "temporarily_unavailable", { "retry-after": "5", ...challenge() });
  if (code === "insufficient_scope")
    return answer(403, code, challenge(["error", code], ["error_description", message], ["scope", scopes.join(" ")]));
  // Somebody who sent nothing is told where to begin, not that something is wrong (RFC 6750, 3.1).
  if (code === "missing") return answer(401, "unauthorized", challenge());
  return answer(401, "invalid_token", challenge(["error", "invalid_token"], ["error_description", message]));
}

/** Header values are ASCII without quotes: a name from the options must not end the parameter early. */
const quotable = (value: string): string => value.replace(/[^\x20-\x7e]|["\\]/g, "'");

/**
 * A guard for anything that takes a `Request`: the principal, or the `Response` to send instead (401, 403 or 503).
 * Rejects with `aborted` when the request's own signal fires.
 */
export function guard(validator: Validator, options: GuardOptions = {}): (request: Request) => Promise<Principal | Response> {
  return async (request) => {
    try {
      return await validator.validate(bearerToken(request.headers.get("authorization")), { ...options, signal: request.signal });
    } catch (error) {
      const { status, headers, body } = refusalFor(error, options);
      return Response.json(body, { status, headers });
    }
  };
}
