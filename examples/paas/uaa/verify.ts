import { errors, jwtVerify } from "jose";
import { revocationSignature, tokenIssuer, type AccessClaims } from "./claims.ts";
import type { Client, Clients } from "./clients.ts";
import { invalidToken } from "./errors.ts";
import type { Keyring } from "./keyring.ts";
import { systemClock, type Clock } from "./ports.ts";
import type { UserRow } from "./schema.ts";
import { permits } from "./scopes.ts";
import type { Tokens } from "./tokens.ts";
import type { Users } from "./users.ts";

/** An access token that is good at this moment, and whose it is. */
export interface Verified {
  claims: AccessClaims;
  client: Client;
  user: UserRow | undefined;
}

/** Checks an access token as its issuer can: signature, revocation, the salts, and that nothing it grants was taken away since. */
export type Verify = (token: string) => Promise<Verified>;

export function createVerify(options: { keyring: Keyring; tokens: Tokens; clients: Clients; users: Users; issuer: string; clock?: Clock }): Verify {
  const { keyring, tokens, clients, users, issuer, clock = systemClock } = options;

  async function read(token: string): Promise<AccessClaims> {
    try {
      const { payload } = await jwtVerify(
        token,
        async ({ kid }) => {
          const key = kid === undefined ? undefined : await keyring.find(kid);
          if (!key) throw invalidToken("The token was signed with an unknown key");
          return key;
        },
        { algorithms: ["RS256"], issuer: tokenIssuer(issuer), requiredClaims: ["exp", "jti", "cid", "scope"], currentDate: new Date(clock.now()) },
      );
      return payload as unknown as AccessClaims;
    } catch (error) {
      if (error instanceof errors.JWTExpired) throw invalidToken("Access token expired");
      if (error instanceof errors.JOSEError) throw invalidToken("Invalid access token");
      throw error;
    }
  }

  return async (token) => {
    const claims = await read(token);
    if (claims.jti.endsWith("-r") || !Array.isArray(claims.scope)) throw invalidToken("Invalid access token");
    if (!(await tokens.isStored(claims.jti))) throw invalidToken("The token expired, was revoked, or the token ID is incorrect.");
    const client = await clients.get(claims.cid);
    const user = claims.user_id === undefined ? undefined : await users.get(claims.user_id);
    if (!client || claims.client_id !== client.id) throw invalidToken("The client of this token is gone");
    if (claims.user_id !== undefined && !user?.active) throw invalidToken("The user of this token is gone");
    if (claims.rev_sig !== revocationSignature(client, user)) throw invalidToken("revocable signature mismatch");
    const held = user ? await users.scopes(user.id) : client.authorities;
    const allowed = user ? client.scope : client.authorities;
    if (!claims.scope.every((scope) => held.includes(scope) && allowed.some((pattern) => permits(pattern, scope))))
      throw invalidToken("The token holds scopes that were taken away");
    return { claims, client, user };
  };
}

export const hasScope = ({ claims }: Verified, ...any: readonly string[]): boolean => claims.scope.some((scope) => any.includes(scope) || scope === "uaa.admin");
