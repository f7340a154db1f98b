import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { uniqueViolation } from "../database.ts";
import { UaaServerError } from "./errors.ts";
import type { Kdf } from "./kdf.ts";
import { systemClock, type Clock } from "./ports.ts";
import type { ClientRow, UaaDatabase } from "./schema.ts";
import { unique, words } from "./words.ts";

export interface Client {
  id: string;
  name: string;
  scope: readonly string[];
  authorities: readonly string[];
  grantTypes: readonly string[];
  redirectUris: readonly string[];
  /** `true`: users are never asked; or the scopes for which they are not. */
  autoapprove: true | readonly string[];
  accessValidityS: number | undefined;
  refreshValidityS: number | undefined;
  requiredUserGroups: readonly string[];
  allowPublic: boolean;
  tokenSalt: string;
  modifiedAt: number;
}

/** A client that the configuration brings along. Its secret stays in memory; the rest is written to the database at each start. */
export interface ClientSeed {
  id: string;
  /** Empty: anybody may say it is this client, as with the command line. */
  secret: string;
  name?: string;
  scope?: readonly string[];
  authorities?: readonly string[];
  grantTypes: readonly string[];
  redirectUris?: readonly string[];
  autoapprove?: true | readonly string[];
  accessValidityS?: number;
  refreshValidityS?: number;
}

export type ClientDraft = Omit<Client, "tokenSalt" | "modifiedAt">;

export interface Clients {
  /** Brings the seeds into the database. */
  sync(): Promise<void>;
  get(id: string): Promise<Client | undefined>;
  list(): Promise<Client[]>;
  /** The client if the secret is its, else undefined. */
  check(id: string, secret: string): Promise<Client | undefined>;
  /** Whether the configuration gave this client an empty secret. */
  isOpen(id: string): boolean;
  /** @throws UaaServerError when it exists */
  create(draft: ClientDraft, secret: string): Promise<Client>;
  update(draft: ClientDraft): Promise<Client | undefined>;
  /** With `add` the old secret goes on beside the new one; else all tokens of the client end. */
  setSecret(id: string, secret: string, options?: { add?: boolean }): Promise<boolean>;
  delete(id: string): Promise<boolean>;
  /** All tokens of the client end. */
  resalt(id: string): Promise<boolean>;
}

/** How long a row is believed; another process may have changed it. */
const cacheMs = 5_000;
const digest = (secret: string) => createHash("sha256").update(secret).digest();
export const newSalt = () => randomBytes(12).toString("base64url");

export function createClients(options: { db: UaaDatabase; kdf: Kdf; seeds: readonly ClientSeed[]; clock?: Clock }): Clients {
  const { db, kdf, seeds, clock = systemClock } = options;
  const seeded = new Map(seeds.map(({ id, secret }) => [id, { digest: digest(secret), open: secret === "" }]));
  const cache = new Map<string, { untilMs: number; row: Promise<ClientRow | undefined> }>();
  // A secret that was found right once need not be derived again at each call; kept is its digest, under a key of this process.
  const proven = new Map<string, string>();
  const pepper = randomBytes(32);
  const mark = (secret: string, hash: string) => createHash("sha256").update(pepper).update(hash).update("\0").update(secret).digest("base64");

  function row(id: string): Promise<ClientRow | undefined> {
    const known = cache.get(id);
    if (known && known.untilMs > clock.now()) return known.row;
    const entry = { untilMs: clock.now() + cacheMs, row: db.selectFrom("uaa_clients").selectAll().where("client_id", "=", id).executeTakeFirst() };
    entry.row.catch(() => cache.delete(id));
    if (cache.size > 1_000) cache.clear();
    cache.set(id, entry);
    return entry.row;
  }

  async function checkHashes(id: string, secret: string, hashes: readonly string[]): Promise<boolean> {
    const before = proven.get(id);
    for (const hash of hashes) if (before !== undefined && before === mark(secret, hash)) return true;
    for (const hash of hashes) {
      if (!(await kdf.verify(secret, hash, `client ${id}`))) continue;
      if (proven.size > 1_000) proven.clear();
      proven.set(id, mark(secret, hash));
      return true;
    }
    return false;
  }

  const forget = (id: string) => {
    cache.delete(id);
    proven.delete(id);
  };

  return {
    async sync() {
      for (const seed of seeds) {
        const values = toRow({
          id: seed.id, name: seed.name ?? seed.id, scope: seed.scope ?? ["uaa.none"], authorities: seed.authorities ?? ["uaa.none"],
          grantTypes: seed.grantTypes, redirectUris: seed.redirectUris ?? [], autoapprove: seed.autoapprove ?? [],
          accessValidityS: seed.accessValidityS, refreshValidityS: seed.refreshValidityS, requiredUserGroups: [], allowPublic: false,
        }, clock.now());
        await db.insertInto("uaa_clients")
          .values({ ...values, secrets_json: "[]", token_salt: newSalt() })
          .onConflict((conflict) => conflict.column("client_id").doUpdateSet({ ...values, secrets_json: "[]" }))
          .execute();
        forget(seed.id);
      }
    },
    get: async (id) => fromRow(await row(id)),
    list: async () => (await db.selectFrom("uaa_clients").selectAll().orderBy("client_id").limit(500).execute()).flatMap((one) => fromRow(one) ?? []),
    isOpen: (id) => seeded.get(id)?.open ?? false,
    async check(id, secret) {
      const found = await row(id);
      if (!found) return undefined;
      const seed = seeded.get(id);
      const right = seed ? timingSafeEqual(seed.digest, digest(secret)) : await checkHashes(id, secret, JSON.parse(found.secrets_json) as string[]);
      return right ? fromRow(found) : undefined;
    },
    async create(draft, secret) {
      const values = { ...toRow(draft, clock.now()), secrets_json: JSON.stringify([await kdf.hash(secret)]), token_salt: newSalt() };
      try {
        await db.insertInto("uaa_clients").values(values).execute();
      } catch (error) {
        if (uniqueViolation(error) === undefined) throw error;
        throw new UaaServerError("invalid_client", `Client already exists: ${draft.id}`, { status: 409, cause: error });
      }
      forget(draft.id);
      return fromRow(values) as Client;
    },
    async update(draft) {
      if (seeded.has(draft.id)) throw new UaaServerError("invalid_client", "This client belongs to the configuration", { status: 400 });
      const { client_id, ...values } = toRow(draft, clock.now());
      const changed = await db.updateTable("uaa_clients").set(values).where("client_id", "=", client_id).returningAll().executeTakeFirst();
      forget(draft.id);
      return fromRow(changed);
    },
    async setSecret(id, secret, { add = false } = {}) {
      if (seeded.has(id)) throw new UaaServerError("invalid_client", "This client belongs to the configuration", { status: 400 });
      const found = await db.selectFrom("uaa_clients").select("secrets_json").where("client_id", "=", id).executeTakeFirst();
      if (!found) return false;
      const before = JSON.parse(found.secrets_json) as string[];
      if (add && before.length >= 2) throw new UaaServerError("invalid_client", "The client has two secrets already", { status: 400 });
      const secrets_json = JSON.stringify([...(add ? before : []), await kdf.hash(secret)]);
      await db.updateTable("uaa_clients").set({ secrets_json, ...(!add && { token_salt: newSalt() }) }).where("client_id", "=", id).execute();
      forget(id);
      return true;
    },
    async delete(id) {
      if (seeded.has(id)) throw new UaaServerError("invalid_client", "This client belongs to the configuration", { status: 400 });
      const { numDeletedRows } = await db.deleteFrom("uaa_clients").where("client_id", "=", id).executeTakeFirst();
      forget(id);
      return numDeletedRows > 0n;
    },
    async resalt(id) {
      const { numUpdatedRows } = await db.updateTable("uaa_clients").set({ token_salt: newSalt() }).where("client_id", "=", id).executeTakeFirst();
      forget(id);
      return numUpdatedRows > 0n;
    },
  };
}

function toRow(draft: ClientDraft, modifiedAt: number): Omit<ClientRow, "secrets_json" | "token_salt"> {
  return {
    client_id: draft.id,
    scope: unique(draft.scope).join(" "),
    authorities: unique(draft.authorities).join(" "),
    grant_types: unique(draft.grantTypes).join(" "),
    redirect_uris: draft.redirectUris.join(" "),
    autoapprove: draft.autoapprove === true ? "true" : draft.autoapprove.join(" "),
    name: draft.name,
    access_validity_s: draft.accessValidityS ?? null,
    refresh_validity_s: draft.refreshValidityS ?? null,
    required_user_groups: draft.requiredUserGroups.join(" "),
    allow_public: draft.allowPublic,
    modified_at: modifiedAt,
  };
}

function fromRow(row: ClientRow | undefined): Client | undefined {
  return row && {
    id: row.client_id,
    name: row.name,
    scope: words(row.scope),
    authorities: words(row.authorities),
    grantTypes: words(row.grant_types),
    redirectUris: words(row.redirect_uris),
    autoapprove: row.autoapprove === "true" ? true : words(row.autoapprove),
    accessValidityS: row.access_validity_s ?? undefined,
    refreshValidityS: row.refresh_validity_s ?? undefined,
    requiredUserGroups: words(row.required_user_groups),
    allowPublic: row.allow_public,
    tokenSalt: row.token_salt,
    modifiedAt: row.modified_at,
  };
}
