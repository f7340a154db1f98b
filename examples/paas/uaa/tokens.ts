import { createHash, randomBytes } from "node:crypto";
import { SignJWT } from "jose";
import { transaction } from "../database.ts";
import { accessClaims, type AccessClaims, type ClientMethod } from "./claims.ts";
import type { Client } from "./clients.ts";
import { invalidToken, UaaServerError } from "./errors.ts";
import type { Keyring, SigningKey } from "./keyring.ts";
import { silentLogger, systemClock, type Clock, type Logger } from "./ports.ts";
import type { FamilyRow, TokenRow, UaaDatabase, UaaTransaction, UserRow } from "./schema.ts";
import { grantedScopes } from "./scopes.ts";
import type { Users } from "./users.ts";
import { words } from "./words.ts";

export interface TokensOptions {
  db: UaaDatabase;
  keyring: Keyring;
  users: Users;
  issuer: string;
  /** How long a used refresh token may be used again: parallel runs of the command line share one. Default 30 000 ms. */
  refreshGraceMs?: number;
  clock?: Clock;
  logger?: Logger;
}

export interface IssueOptions {
  client: Client;
  user?: UserRow | undefined;
  scope: readonly string[];
  grantType: string;
  method: ClientMethod;
  /** When the user proved who it is, ms. Default: now. */
  authTimeMs?: number | undefined;
  withRefresh?: boolean;
  nonce?: string | undefined;
}

/** The body of an answer of the token endpoint. */
export interface TokenAnswer {
  access_token: string;
  token_type: "bearer";
  expires_in: number;
  scope: string;
  jti: string;
  refresh_token?: string;
}

export interface Tokens {
  issue(options: IssueOptions): Promise<TokenAnswer>;
  /**
   * Exchanges a refresh token for new tokens; each may be used once, and again within the grace.
   * Later use of a used one ends everything that came of that login.
   * @throws UaaServerError invalid_token, invalid_grant (of another client), invalid_scope
   */
  refresh(options: { client: Client; method: ClientMethod; value: string; scope?: readonly string[] | undefined }): Promise<TokenAnswer>;
  /** Finds a family by an access token's `jti` or by the value of a refresh token. */
  familyOf(idOrValue: string): Promise<FamilyRow | undefined>;
  revokeFamily(id: string): Promise<void>;
  /** Ends all logins of a user, of a client, or of the pair. */
  revokeAll(of: { userId?: string; clientId?: string }): Promise<void>;
  /** Whether an access token is still in the store. */
  isStored(jti: string): Promise<boolean>;
  /** Access tokens of a user or client that have not ended. */
  list(of: { userId?: string; clientId?: string }): Promise<{ jti: string; clientId: string; userId: string | null; issuedAt: number; expiresAt: number; scope: string }[]>;
  /** Removes what has expired. */
  prune(): Promise<void>;
}

const defaultAccessS = 43_200;
const defaultRefreshS = 2_592_000;
/** How long used refresh tokens are remembered, to notice when one comes again. */
const rememberUsedMs = 3 * 86_400_000;

const refreshId = (value: string): string => createHash("sha256").update(value).digest("hex");
const unusable = () => invalidToken("The token expired, was revoked, or the token ID is incorrect.");

export function createTokens(options: TokensOptions): Tokens {
  const { db, keyring, users, issuer, refreshGraceMs = 30_000, clock = systemClock, logger = silentLogger } = options;

  function sign(claims: AccessClaims, { kid, algorithm, privateKey }: SigningKey): Promise<string> {
    return new SignJWT({ ...claims })
      .setProtectedHeader({ alg: algorithm, jku: `${issuer.replace(/\/$/, "")}/token_keys`, kid, typ: "JWT" })
      .sign(privateKey);
  }

  /**
   * Makes the tokens of one answer; `store` puts their rows where they belong. The key comes from outside: fetching it
   * may ask the database, and inside a transaction that would wait for the transaction itself.
   */
  async function make(what: IssueOptions & { key: SigningKey; refreshUntilMs: number | undefined }, store: (rows: Omit<TokenRow, "family_id">[]) => Promise<void>): Promise<TokenAnswer> {
    const { client, user, scope, grantType, method, authTimeMs, refreshUntilMs, nonce, key } = what;
    const now = clock.now();
    const nowS = Math.floor(now / 1000);
    const claims = accessClaims({
      jti: randomBytes(16).toString("hex"), client, user, scope, issuer, nowS, validityS: client.accessValidityS ?? defaultAccessS,
      authTimeS: Math.floor((authTimeMs ?? now) / 1000), grantType, method, nonce,
    });
    const scopeText = scope.join(" ");
    const rows: Omit<TokenRow, "family_id">[] = [{ id: claims.jti, kind: "access", scope: scopeText, issued_at: now, expires_at: claims.exp * 1000, used_at: null }];
    const refreshToken = refreshUntilMs === undefined ? undefined : `${randomBytes(16).toString("hex")}-r`;
    if (refreshToken !== undefined && refreshUntilMs !== undefined)
      rows.push({ id: refreshId(refreshToken), kind: "refresh", scope: scopeText, issued_at: now, expires_at: refreshUntilMs, used_at: null });
    const signed = sign(claims, key);
    // Never unhandled if storing fails first.
    signed.catch(() => {});
    await store(rows);
    return {
      access_token: await signed,
      token_type: "bearer",
      expires_in: Math.max(0, Math.floor(claims.exp - clock.now() / 1000)),
      scope: scopeText,
      jti: claims.jti,
      ...(refreshToken !== undefined && { refresh_token: refreshToken }),
    };
  }

  const insert = (trx: UaaTransaction, familyId: string, rows: Omit<TokenRow, "family_id">[]) =>
    trx.insertInto("uaa_tokens").values(rows.map((row) => ({ ...row, family_id: familyId }))).execute();

  async function exchange(trx: UaaTransaction, key: SigningKey, { client, method, value, scope }: Parameters<Tokens["refresh"]>[0]): Promise<TokenAnswer | UaaServerError> {
    const now = clock.now();
    const id = refreshId(value);
    const at = await trx.selectFrom("uaa_tokens").select("family_id").where("id", "=", id).where("kind", "=", "refresh").executeTakeFirst();
    // The family is locked first, here and in every revocation, so that nothing is added to one that goes.
    const family = at && (await trx.selectFrom("uaa_families").selectAll().where("id", "=", at.family_id).forUpdate().executeTakeFirst());
    const token = family && (await trx.selectFrom("uaa_tokens").selectAll().where("id", "=", id).executeTakeFirst());
    if (!family || !token || token.expires_at <= now || family.user_id === null) return unusable();
    if (family.client_id !== client.id) return new UaaServerError("invalid_grant", "Wrong client for this refresh token");
    const endFamily = () => trx.deleteFrom("uaa_families").where("id", "=", family.id).execute();
    if (token.used_at !== null && now - token.used_at > refreshGraceMs) {
      logger.warn("uaa.refresh-token-reused", { userId: family.user_id, clientId: client.id });
      await endFamily();
      return unusable();
    }
    const user = await trx.selectFrom("uaa_users").selectAll().where("id", "=", family.user_id).executeTakeFirst();
    if (!user?.active || user.password_change_required) {
      await endFamily();
      return unusable();
    }
    const held = await users.scopes(user.id, trx);
    if (client.requiredUserGroups.some((group) => !held.includes(group))) return unusable();
    const original = words(family.scope);
    if (scope?.some((one) => !original.includes(one))) return new UaaServerError("invalid_scope", "Unable to narrow the scope of the user authentication: more was asked than was granted");
    const granted = grantedScopes(held, client.scope, scope ?? original);
    if (granted.length === 0) return new UaaServerError("invalid_scope", "None of the scopes is granted any more");
    if (token.used_at === null) await trx.updateTable("uaa_tokens").set({ used_at: now }).where("id", "=", id).execute();
    return make(
      { client, user, scope: granted, grantType: family.grant_type, method, authTimeMs: family.auth_time, refreshUntilMs: token.expires_at, key },
      async (rows) => void (await insert(trx, family.id, rows)),
    );
  }

  return {
    async issue({ withRefresh = false, ...what }) {
      const key = await keyring.active();
      const { client, user, scope, grantType, authTimeMs } = what;
      const now = clock.now();
      const family: FamilyRow = {
        id: randomBytes(16).toString("hex"), client_id: client.id, user_id: user?.id ?? null, grant_type: grantType,
        scope: scope.join(" "), auth_time: authTimeMs ?? now, created_at: now,
      };
      const refreshUntilMs = withRefresh ? now + (client.refreshValidityS ?? defaultRefreshS) * 1000 : undefined;
      return make({ ...what, refreshUntilMs, key }, (rows) =>
        transaction(db, async (trx) => {
          await trx.insertInto("uaa_families").values(family).execute();
          await insert(trx, family.id, rows);
        }),
      );
    },
    async refresh(what) {
      const key = await keyring.active();
      const result = await transaction(db, (trx) => exchange(trx, key, what));
      if (result instanceof UaaServerError) throw result;
      return result;
    },
    familyOf: (idOrValue) =>
      db.selectFrom("uaa_families").selectAll("uaa_families").innerJoin("uaa_tokens", "uaa_tokens.family_id", "uaa_families.id")
        .where("uaa_tokens.id", "in", [idOrValue, refreshId(idOrValue)]).executeTakeFirst(),
    async revokeFamily(id) {
      await db.deleteFrom("uaa_families").where("id", "=", id).execute();
    },
    async revokeAll({ userId, clientId }) {
      if (userId === undefined && clientId === undefined) return;
      let query = db.deleteFrom("uaa_families");
      if (userId !== undefined) query = query.where("user_id", "=", userId);
      if (clientId !== undefined) query = query.where("client_id", "=", clientId);
      await query.execute();
    },
    isStored: async (jti) =>
      (await db.selectFrom("uaa_tokens").select("id").where("id", "=", jti).where("kind", "=", "access").executeTakeFirst()) !== undefined,
    async list({ userId, clientId }) {
      let query = db.selectFrom("uaa_tokens").innerJoin("uaa_families", "uaa_families.id", "uaa_tokens.family_id")
        .select(["uaa_tokens.id", "uaa_families.client_id", "uaa_families.user_id", "uaa_tokens.issued_at", "uaa_tokens.expires_at", "uaa_tokens.scope"])
        .where("kind", "=", "access").where("expires_at", ">", clock.now());
      if (userId !== undefined) query = query.where("user_id", "=", userId);
      if (clientId !== undefined) query = query.where("client_id", "=", clientId);
      const rows = await query.orderBy("issued_at", "desc").limit(500).execute();
      return rows.map((row) => ({ jti: row.id, clientId: row.client_id, userId: row.user_id, issuedAt: row.issued_at, expiresAt: row.expires_at, scope: row.scope }));
    },
    async prune() {
      const now = clock.now();
      await db.deleteFrom("uaa_tokens").where((eb) => eb.or([eb("expires_at", "<", now), eb("used_at", "<", now - rememberUsedMs)])).execute();
      await db.deleteFrom("uaa_families").where("created_at", "<", now - 60_000)
        .where((eb) => eb.not(eb.exists(eb.selectFrom("uaa_tokens").select("uaa_tokens.id").whereRef("uaa_tokens.family_id", "=", "uaa_families.id")))).execute();
      await db.deleteFrom("uaa_codes").where("expires_at", "<", now).execute();
    },
  };
}
