import { UaaError } from "./errors.ts";
import { callJson, isRecord, type HttpCall } from "./http.ts";

/** What the discovery document of an issuer says about it. */
export interface Discovery {
  readonly issuer: string;
  readonly keysUrl: string;
}

const tokenPath = /\/oauth\/token$/;

/** Where an issuer's discovery document lies: UAA's issuer ends in `/oauth/token`, its documents stand beside that. */
export function baseOfIssuer(issuer: string): string {
  return issuer.replace(tokenPath, "").replace(/\/+$/, "");
}

/** Accepts http and https addresses without user info. Throws `invalid_options`. */
export function checkUrl(url: string, name: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : null;
  if (parsed === null || !/^https?:$/.test(parsed.protocol)) throw new UaaError("invalid_options", `${name} is not an http(s) URL`);
  if (parsed.username !== "" || parsed.password !== "") throw new UaaError("invalid_options", `${name} must not hold credentials`);
  return url;
}


/**
 * Reads `/.well-known/openid-configuration` below `url`. The issuer must be one of `expected`, when there are any;
 * the keys must not be fetched over plain http when the document itself came over https.
 * Throws `uaa_unavailable`, `bad_response`, `aborted`.
 */
export async function discover(url: string, expected: readonly string[], call: HttpCall): Promise<Discovery> {
  const address = `${url.replace(/\/+$/, "")}/.well-known/openid-configuration`;
  const { status, body } = await callJson(address, { headers: { accept: "application/json" } }, call);
  if (status !== 200 || !isRecord(body))
    throw new UaaError("bad_response", `discovery at ${address} answered ${status}`, { status, retryable: status >= 500 });
  const { issuer, jwks_uri: keysUrl } = body;
  if (typeof issuer !== "string" || typeof keysUrl !== "string" || !URL.canParse(keysUrl))
    throw new UaaError("bad_response", `discovery at ${address} names no issuer or no jwks_uri`);
  if (expected.length > 0 && !expected.includes(issuer))
    throw new UaaError("bad_response", `discovery at ${address} speaks for another issuer: ${issuer}`);
  if (new URL(address).protocol === "https:" && new URL(keysUrl).protocol !== "https:")
    throw new UaaError("bad_response", `discovery at ${address} names keys without TLS`);
  return { issuer, keysUrl };
}
