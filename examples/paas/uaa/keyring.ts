import { createPrivateKey, createPublicKey, generateKeyPair, type KeyObject } from "node:crypto";
import { promisify } from "node:util";
import { calculateJwkThumbprint, exportJWK, type JWK } from "jose";
import { sql } from "kysely";
import { transaction } from "../database.ts";
import { systemClock, type Clock } from "./ports.ts";
import type { KeyRow, UaaDatabase } from "./schema.ts";

export interface SigningKey {
  kid: string;
  algorithm: string;
  privateKey: KeyObject;
}

/** An entry of `/token_keys`: a JWK, and the PEM text that older readers want. */
export type PublishedKey = JWK & { kid: string; alg: string; use: "sig"; value: string };

/** The keys that sign tokens. They live in the database, so tokens outlive a restart and every UAA process signs alike. */
export interface Keyring {
  /** The key that signs now. */
  active(): Promise<SigningKey>;
  /** The public half of a key that is published, or was not retired long ago. */
  find(kid: string): Promise<KeyObject | undefined>;
  /** All that validators should know: old, active and coming. */
  published(): Promise<PublishedKey[]>;
  /**
   * Adds a key that is published at once, signs after `leadMs` (the longest that validators keep what they fetched;
   * default 900 000 ms), and lets the present one go when the longest token signed by it has ended.
   */
  rotate(options?: { leadMs?: number; longestTokenMs?: number }): Promise<string>;
}

/** How long rows are believed: another process may have rotated. */
const refreshEveryMs = 30_000;
/** Any number that no other user of the same database is likely to take. */
const keyLock = 7_236_641_119;

const generate = promisify(generateKeyPair);

export function createKeyring(db: UaaDatabase, { clock = systemClock }: { clock?: Clock } = {}): Keyring {
  let loaded: { atMs: number; keys: Promise<LoadedKey[]> } | undefined;

  async function load(): Promise<LoadedKey[]> {
    const now = clock.now();
    const rows = await db.selectFrom("uaa_keys").selectAll().orderBy("active_from").execute();
    const usable = rows.filter(({ retired_at }) => retired_at === null || retired_at > now);
    if (usable.length > 0) return Promise.all(usable.map(open));
    // Made here and never shipped. Generating takes a moment, so it happens before the lock is taken.
    const fresh = await make(now, now);
    await transaction(db, async (trx) => {
      await sql`select pg_advisory_xact_lock(${keyLock})`.execute(trx);
      const others = await trx.selectFrom("uaa_keys").select("kid").where((eb) => eb.or([eb("retired_at", "is", null), eb("retired_at", ">", now)])).execute();
      if (others.length === 0) await trx.insertInto("uaa_keys").values(fresh).execute();
    });
    return load();
  }

  function keys(): Promise<LoadedKey[]> {
    const now = clock.now();
    if (!loaded || now - loaded.atMs > refreshEveryMs) {
      const entry = { atMs: now, keys: load() };
      // What was known goes on when the database is away for a moment.
      const before = loaded?.keys;
      if (before) entry.keys = entry.keys.catch(() => before);
      else entry.keys.catch(() => (loaded = undefined));
      loaded = entry;
    }
    return loaded.keys;
  }

  return {
    async active() {
      const now = clock.now();
      const all = await keys();
      const key = all.findLast(({ row }) => row.active_from <= now) ?? all[0];
      if (!key) throw new Error("no signing key");
      return { kid: key.row.kid, algorithm: key.row.algorithm, privateKey: key.privateKey };
    },
    find: async (kid) => (await keys()).find(({ row }) => row.kid === kid)?.publicKey,
    async published() {
      const now = clock.now();
      return (await keys()).filter(({ row }) => row.retired_at === null || row.retired_at > now).map(({ entry }) => entry);
    },
    async rotate({ leadMs = 900_000, longestTokenMs = 43_200_000 } = {}) {
      const now = clock.now();
      const fresh = await make(now, now + leadMs);
      await db.updateTable("uaa_keys").set({ retired_at: now + leadMs + longestTokenMs }).where("retired_at", "is", null).execute();
      await db.insertInto("uaa_keys").values(fresh).execute();
      loaded = undefined;
      return fresh.kid;
    },
  };
}

interface LoadedKey {
  row: KeyRow;
  privateKey: KeyObject;
  publicKey: KeyObject;
  entry: PublishedKey;
}

async function make(createdAt: number, activeFrom: number): Promise<KeyRow> {
  const { publicKey, privateKey } = await generate("rsa", { modulusLength: 2048 });
  return {
    kid: (await calculateJwkThumbprint(await exportJWK(publicKey))).slice(0, 16),
    algorithm: "RS256",
    private_key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    public_key: publicKey.export({ type: "spki", format: "pem" }).toString(),
    created_at: createdAt,
    active_from: activeFrom,
    retired_at: null,
  };
}

async function open(row: KeyRow): Promise<LoadedKey> {
  const publicKey = createPublicKey(row.public_key);
  const jwk = await exportJWK(publicKey);
  return {
    row,
    publicKey,
    privateKey: createPrivateKey(row.private_key),
    entry: { ...jwk, kid: row.kid, alg: row.algorithm, use: "sig", value: row.public_key.trim() },
  };
}
