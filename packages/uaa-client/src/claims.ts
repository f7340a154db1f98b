import { UaaError } from "./errors.ts";
import { readScopes } from "./scope.ts";

export interface ClaimRules {
  /** Accepted `iss` values, compared exactly. */
  issuers: readonly string[];
  /** Accepted `aud` entries; one match is enough, compared exactly. */
  audiences: readonly string[];
  /** Expected `zid`. Absent = any zone of this issuer. */
  zone: string | undefined;
  clockToleranceSeconds: number;
}

/** The claims of an access token, checked and in one shape whoever wrote it. */
export interface AccessClaims {
  readonly raw: Readonly<Record<string, unknown>>;
  readonly jti: string;
  readonly expSeconds: number;
  readonly scopes: ReadonlySet<string>;
  readonly clientId: string;
  readonly subject: string | undefined;
}

/** Token types (`typ`, RFC 9068 and RFC 8725 section 3.11) an access token may carry. */
const accessTypes = ["jwt", "at+jwt", "application/at+jwt"];

/**
 * Is this an access token at all? UAA signs refresh and ID tokens with the same keys and the same `iss`:
 * refresh tokens have a `jti` ending in `-r` and `granted_scopes`, ID tokens have no `scope`.
 * Throws `wrong_kind`.
 */
function demandAccessToken(header: Readonly<Record<string, unknown>>, claims: Readonly<Record<string, unknown>>): { jti: string; scopes: ReadonlySet<string>; clientId: string } {
  const refuse = (why: string): never => { throw new UaaError("wrong_kind", `not an access token: ${why}`); };
  const { typ } = header;
  if (typ !== undefined && (typeof typ !== "string" || !accessTypes.includes(typ.toLowerCase()))) refuse("its type is another");
  const { jti, granted_scopes: granted } = claims;
  if (typeof jti !== "string" || jti === "") return refuse("it has no jti");
  if (jti.endsWith("-r") || granted !== undefined) refuse("it is a refresh token");
  const scopes = readScopes(claims["scope"]);
  if (scopes === undefined) return refuse("it has no scope");
  const clientId = [claims["client_id"], claims["cid"], claims["azp"]].find((id) => typeof id === "string" && id !== "");
  if (typeof clientId !== "string") return refuse("it names no client");
  return { jti, scopes, clientId };
}

/** Checks time, issuer, audience, zone and kind, in that order. Throws the refusal codes of `errors.ts`. */
export function checkClaims(header: Readonly<Record<string, unknown>>, claims: Readonly<Record<string, unknown>>, rules: ClaimRules, nowSeconds: number): AccessClaims {
  const { exp, nbf, iss, aud, zid, sub } = claims;
  const { clockToleranceSeconds: tolerance } = rules;
  if (!Number.isSafeInteger(exp)) throw new UaaError("malformed", "the token has no integer exp");
  if (nbf !== undefined && (typeof nbf !== "number" || !Number.isFinite(nbf))) throw new UaaError("malformed", "the token's nbf is not a number");
  const expSeconds = exp as number;
  if (nowSeconds >= expSeconds + tolerance) throw new UaaError("expired", `the token expired ${Math.floor(nowSeconds - expSeconds)} s ago`);
  if (nbf !== undefined && nbf > nowSeconds + tolerance) throw new UaaError("not_yet_valid", `the token is valid in ${Math.ceil(nbf - nowSeconds)} s`);
  if (typeof iss !== "string" || !rules.issuers.includes(iss)) throw new UaaError("wrong_issuer", "the token was issued by somebody else");
  const audiences: readonly unknown[] = Array.isArray(aud) ? aud : [aud];
  if (!rules.audiences.some((one) => audiences.includes(one))) throw new UaaError("wrong_audience", `the token is not meant for ${rules.audiences.join(" or ")}`);
  if (rules.zone !== undefined && zid !== rules.zone) throw new UaaError("wrong_zone", "the token belongs to another identity zone");
  const { jti, scopes, clientId } = demandAccessToken(header, claims);
  return { raw: claims, jti, expSeconds, scopes, clientId, subject: typeof sub === "string" && sub !== "" ? sub : undefined };
}
