import type { AccessClaims } from "./claims.ts";
import { UaaError } from "./errors.ts";

interface PrincipalBase {
  readonly clientId: string;
  readonly scopes: ReadonlySet<string>;
  /** Exact match: `hasScope("a.b")` is false for `a.b_c` and for `A.b`. */
  hasScope(scope: string): boolean;
  readonly expiresAt: Date;
  readonly jti: string;
  /** Identity zone, where the token names one. UAA's default zone is `uaa`. */
  readonly zone: string | undefined;
  /** Everything the token says; frozen. */
  readonly claims: Readonly<Record<string, unknown>>;
}

/** Somebody logged in; the client acts for them. */
export interface UserPrincipal extends PrincipalBase {
  readonly kind: "user";
  readonly userId: string;
  readonly userName: string | undefined;
  readonly email: string | undefined;
  /** Identity provider, `uaa` for the internal one. */
  readonly origin: string | undefined;
}

/** A client acting for itself (client credentials). It has no user id, even if its own id looks like one. */
export interface ClientPrincipal extends PrincipalBase {
  readonly kind: "client";
  readonly userId: undefined;
  readonly userName: undefined;
  readonly email: undefined;
  readonly origin: undefined;
}

/** Who a valid access token speaks for. */
export type Principal = UserPrincipal | ClientPrincipal;

/**
 * A user when the token has a `user_id`, or a subject other than the client; else a client.
 * A `client_credentials` token is always a client's. Throws `malformed` when neither can be named.
 */
export function principalOf(checked: AccessClaims): Principal {
  const { raw, jti, expSeconds, scopes, clientId, subject } = checked;
  const text = (name: string): string | undefined => {
    const value = raw[name];
    return typeof value === "string" && value !== "" ? value : undefined;
  };
  const base: PrincipalBase = {
    clientId,
    scopes,
    hasScope: (scope) => scopes.has(scope),
    // Made anew each time: a Date can be changed by whoever gets it, and results are shared.
    get expiresAt() { return new Date(expSeconds * 1000); },
    jti,
    zone: text("zid"),
    claims: deepFreeze(raw),
  };
  const isClient = raw["grant_type"] === "client_credentials";
  const userId = isClient ? undefined : (text("user_id") ?? (subject === clientId ? undefined : subject));
  if (userId === undefined && subject === undefined && !isClient)
    throw new UaaError("malformed", "the token names neither a user nor a subject");
  const who = userId === undefined
    ? { kind: "client" as const, userId, userName: undefined, email: undefined, origin: undefined }
    : { kind: "user" as const, userId, userName: text("user_name"), email: text("email"), origin: text("origin") };
  return Object.freeze(Object.assign(base, who));
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== "object" || value === null) return value;
  for (const part of Object.values(value)) deepFreeze(part);
  return Object.freeze(value);
}
