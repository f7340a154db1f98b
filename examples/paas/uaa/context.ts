import type { FastifyRequest } from "fastify";
import type { Clients } from "./clients.ts";
import { insufficientScope, UaaServerError } from "./errors.ts";
import type { Groups } from "./groups.ts";
import type { Kdf } from "./kdf.ts";
import type { Keyring } from "./keyring.ts";
import type { Lockout } from "./lockout.ts";
import type { Clock, Logger } from "./ports.ts";
import type { UaaDatabase } from "./schema.ts";
import type { Tokens } from "./tokens.ts";
import type { Users } from "./users.ts";
import { hasScope, type Verified, type Verify } from "./verify.ts";

export type HeaderBag = Readonly<Record<string, string | readonly string[] | undefined>>;

/** What the routes work with. */
export interface UaaContext {
  db: UaaDatabase;
  users: Users;
  groups: Groups;
  clients: Clients;
  tokens: Tokens;
  keyring: Keyring;
  verify: Verify;
  lockout: Lockout;
  kdf: Kdf;
  issuer: string;
  /** The public addresses in the form in which a request came. */
  publicUrls: (headers: HeaderBag) => { uaa: string; login: string };
  /** The administrator exists from then on. */
  ready: Promise<void>;
  logger: Logger;
  clock: Clock;
}

/**
 * Whose request this is, by its bearer token.
 * @throws UaaServerError unauthorized without one, invalid_token for one that is not good
 */
export async function bearerOf(context: UaaContext, request: FastifyRequest): Promise<Verified> {
  const token = /^bearer +(\S+)$/i.exec(request.headers.authorization ?? "")?.[1];
  if (token === undefined) throw new UaaServerError("unauthorized", "Full authentication is required to access this resource");
  return context.verify(token);
}

/** The same, with at least one of the scopes (`uaa.admin` stands for all). @throws UaaServerError insufficient_scope */
export async function requireScope(context: UaaContext, request: FastifyRequest, ...any: readonly string[]): Promise<Verified> {
  const who = await bearerOf(context, request);
  if (!hasScope(who, ...any)) throw insufficientScope(any);
  return who;
}
