import { createHash } from "node:crypto";
import type { Client } from "./clients.ts";
import type { UserRow } from "./schema.ts";
import { audienceOf } from "./scopes.ts";

/** How a client said who it is. */
export type ClientMethod = "none" | "secret";

/** What stands in an access token. */
export interface AccessClaims {
  jti: string;
  sub: string;
  user_id?: string;
  user_name?: string;
  email?: string;
  origin?: string;
  client_id: string;
  cid: string;
  azp: string;
  scope: string[];
  authorities?: string[];
  aud: string[];
  iss: string;
  zid: string;
  iat: number;
  exp: number;
  auth_time?: number;
  grant_type: string;
  rev_sig: string;
  revocable: true;
  client_auth_method?: "none";
  nonce?: string;
}

export interface ClaimsInput {
  jti: string;
  client: Client;
  user: UserRow | undefined;
  scope: readonly string[];
  issuer: string;
  nowS: number;
  validityS: number;
  authTimeS: number;
  grantType: string;
  method: ClientMethod;
  nonce?: string | undefined;
}

/** The claims of UAA's access tokens; user tokens name the user four times, since every reader looks elsewhere. */
export function accessClaims({ jti, client, user, scope, issuer, nowS, validityS, authTimeS, grantType, method, nonce }: ClaimsInput): AccessClaims {
  return {
    jti,
    sub: user?.id ?? client.id,
    ...(user ? { user_id: user.id, user_name: user.user_name, email: user.email, origin: user.origin, auth_time: authTimeS } : { authorities: [...scope] }),
    client_id: client.id,
    cid: client.id,
    azp: client.id,
    scope: [...scope],
    aud: audienceOf(client.id, scope),
    iss: tokenIssuer(issuer),
    zid: "uaa",
    iat: nowS,
    exp: nowS + validityS,
    grant_type: grantType,
    rev_sig: revocationSignature(client, user),
    revocable: true,
    ...(method === "none" && { client_auth_method: method }),
    ...(nonce !== undefined && { nonce }),
  };
}

/** Tokens name the token endpoint, not the server, as their issuer. */
export const tokenIssuer = (issuer: string): string => `${issuer.replace(/\/$/, "")}/oauth/token`;

/**
 * Eight digits that change when the client's or the user's salt does: a password change, another name, a new secret
 * in place of the old. A second secret beside the first changes nothing.
 */
export const revocationSignature = (client: Pick<Client, "id" | "tokenSalt">, user: Pick<UserRow, "id" | "token_salt"> | undefined): string =>
  createHash("sha256").update(JSON.stringify([client.id, client.tokenSalt, user?.id ?? null, user?.token_salt ?? null])).digest("hex").slice(0, 8);
