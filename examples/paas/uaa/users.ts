import { randomUUID } from "node:crypto";
import { sql } from "kysely";
import { transaction, uniqueViolation } from "../database.ts";
import { newSalt } from "./clients.ts";
import { UaaServerError } from "./errors.ts";
import { systemClock, type Clock } from "./ports.ts";
import type { UaaDatabase, UaaTransaction, UserRow } from "./schema.ts";
import { defaultGroups } from "./scopes.ts";
import { unique } from "./words.ts";

/** What a user is made of, as the API may set it. */
export interface UserDraft {
  userName: string;
  origin: string;
  externalId: string | undefined;
  givenName: string | undefined;
  familyName: string | undefined;
  emails: readonly { value: string; primary: boolean; type?: string | undefined }[];
  phoneNumbers: readonly { value: string; type?: string | undefined }[];
  active: boolean;
  verified: boolean;
}

export interface GroupOfUser {
  id: string;
  displayName: string;
  type: "DIRECT" | "INDIRECT";
}

export interface Users {
  get(id: string): Promise<UserRow | undefined>;
  findByName(userName: string, origin: string): Promise<UserRow | undefined>;
  /** @throws UaaServerError scim_resource_already_exists, with `user_id` of the one that has the name */
  create(draft: UserDraft, passwordHash: string | null, seedHash?: string): Promise<UserRow>;
  /**
   * @param version the version that the caller saw, or undefined for whatever is there
   * @throws UaaServerError scim_resource_conflict, scim_resource_already_exists
   */
  update(id: string, draft: UserDraft, version: number | undefined): Promise<UserRow | undefined>;
  /** A new password ends all tokens of the user. */
  setPassword(id: string, passwordHash: string, seedHash?: string): Promise<boolean>;
  /** The same password, hashed at today's cost: tokens go on. */
  rehash(id: string, passwordHash: string): Promise<void>;
  requirePasswordChange(id: string): Promise<boolean>;
  delete(id: string): Promise<boolean>;
  loggedOn(id: string): Promise<void>;
  /** All tokens of the user end. */
  resalt(id: string): Promise<boolean>;
  /** Groups that the user was put into, and the groups that contain these. */
  memberships(ids: readonly string[], within?: UaaTransaction): Promise<Map<string, GroupOfUser[]>>;
  /** Names of all groups of the user, the default ones included: what its tokens may hold. */
  scopes(id: string, within?: UaaTransaction): Promise<string[]>;
}

export function createUsers(db: UaaDatabase, { clock = systemClock }: { clock?: Clock } = {}): Users {
  const findByName: Users["findByName"] = (userName, origin) =>
    db.selectFrom("uaa_users").selectAll().where("user_name_key", "=", nameKey(userName)).where("origin", "=", origin).executeTakeFirst();

  async function taken(error: unknown, draft: UserDraft): Promise<never> {
    if (uniqueViolation(error) === undefined) throw error;
    const other = await findByName(draft.userName, draft.origin);
    throw new UaaServerError("scim_resource_already_exists", `Username already in use: ${draft.userName}`, {
      extra: { origin: draft.origin, ...(other && { user_id: other.id }) }, cause: error,
    });
  }

  const change = async (id: string, values: Partial<UserRow>): Promise<boolean> =>
    (await db.updateTable("uaa_users").set(values).where("id", "=", id).executeTakeFirst()).numUpdatedRows > 0n;

  const memberships: Users["memberships"] = async (ids, within) => {
    const found = new Map<string, GroupOfUser[]>(ids.map((id) => [id, []]));
    if (ids.length === 0) return found;
    const { rows } = await sql<{ user_id: string; id: string; display_name: string; depth: number }>`
      with recursive inside (user_id, group_id, depth) as (
        select member_id, group_id, 0 from uaa_memberships where member_type = 'USER' and member_id in (${sql.join([...ids])})
        union
        select inside.user_id, m.group_id, inside.depth + 1 from inside
          join uaa_memberships m on m.member_type = 'GROUP' and m.member_id = inside.group_id where inside.depth < 10)
      select inside.user_id, g.id, g.display_name, min(inside.depth) as depth
        from inside join uaa_groups g on g.id = inside.group_id group by inside.user_id, g.id, g.display_name order by g.display_name`.execute(within ?? db);
    for (const { user_id, id, display_name, depth } of rows)
      found.get(user_id)?.push({ id, displayName: display_name, type: depth === 0 ? "DIRECT" : "INDIRECT" });
    return found;
  };

  return {
    findByName,
    memberships,
    get: (id) => db.selectFrom("uaa_users").selectAll().where("id", "=", id).executeTakeFirst(),
    async create(draft, passwordHash, seedHash) {
      const now = clock.now();
      const row: UserRow = {
        ...columns(draft), id: randomUUID(), password_hash: passwordHash, seed_hash: seedHash ?? null, password_changed_at: now,
        password_change_required: false, token_salt: newSalt(), version: 0, created_at: now, modified_at: now, last_logon_at: null, previous_logon_at: null,
      };
      await db.insertInto("uaa_users").values(row).execute().catch((error: unknown) => taken(error, draft));
      return row;
    },
    async update(id, draft, version) {
      const before = await db.selectFrom("uaa_users").selectAll().where("id", "=", id).executeTakeFirst();
      if (!before) return undefined;
      const values = columns(draft);
      // Who it is stands in the tokens: another name or address makes them wrong.
      const renamed = values.user_name !== before.user_name || values.email !== before.email || values.origin !== before.origin;
      try {
        const after = await db.updateTable("uaa_users")
          .set({ ...values, version: before.version + 1, modified_at: clock.now(), ...((renamed || !values.active) && { token_salt: newSalt() }) })
          .where("id", "=", id).where("version", "=", version ?? before.version).returningAll().executeTakeFirst();
        if (!after) throw new UaaServerError("scim_resource_conflict", "Attempt to update a resource that has changed");
        return after;
      } catch (error) {
        return taken(error, draft);
      }
    },
    setPassword: (id, password_hash, seed_hash) =>
      transaction(db, async (trx) => {
        const { numUpdatedRows } = await trx.updateTable("uaa_users").set({
          password_hash, password_changed_at: clock.now(), password_change_required: false, token_salt: newSalt(), ...(seed_hash !== undefined && { seed_hash }),
        }).where("id", "=", id).executeTakeFirst();
        await trx.deleteFrom("uaa_families").where("user_id", "=", id).execute();
        return numUpdatedRows > 0n;
      }),
    async rehash(id, password_hash) {
      await change(id, { password_hash });
    },
    requirePasswordChange: (id) => change(id, { password_change_required: true }),
    delete: (id) =>
      transaction(db, async (trx) => {
        await trx.deleteFrom("uaa_memberships").where("member_id", "=", id).execute();
        return (await trx.deleteFrom("uaa_users").where("id", "=", id).executeTakeFirst()).numDeletedRows > 0n;
      }),
    async loggedOn(id) {
      await sql`update uaa_users set previous_logon_at = last_logon_at, last_logon_at = ${clock.now()} where id = ${id}`.execute(db);
    },
    resalt: (id) => change(id, { token_salt: newSalt() }),
    async scopes(id, within) {
      const groups = (await memberships([id], within)).get(id) ?? [];
      return unique([...defaultGroups, ...groups.map(({ displayName }) => displayName)]);
    },
  };
}

export const nameKey = (userName: string): string => userName.normalize("NFC").toLowerCase();

function columns(draft: UserDraft) {
  const primary = draft.emails.find((email) => email.primary) ?? draft.emails[0];
  return {
    user_name: draft.userName, user_name_key: nameKey(draft.userName), origin: draft.origin, external_id: draft.externalId ?? null,
    given_name: draft.givenName ?? null, family_name: draft.familyName ?? null, email: primary?.value ?? draft.userName,
    emails_json: JSON.stringify(draft.emails), phone_numbers_json: JSON.stringify(draft.phoneNumbers), active: draft.active, verified: draft.verified,
  };
}
