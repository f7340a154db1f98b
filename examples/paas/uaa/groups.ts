import { randomUUID } from "node:crypto";
import { sql } from "kysely";
import { transaction, uniqueViolation } from "../database.ts";
import { UaaServerError } from "./errors.ts";
import { systemClock, type Clock } from "./ports.ts";
import type { GroupRow, MembershipRow, UaaDatabase } from "./schema.ts";
import { defaultGroups } from "./scopes.ts";

export interface Member {
  value: string;
  type: "USER" | "GROUP";
  origin: string;
}

export interface Groups {
  get(id: string): Promise<GroupRow | undefined>;
  findByName(displayName: string): Promise<GroupRow | undefined>;
  /** @throws UaaServerError scim_resource_already_exists */
  create(displayName: string, description: string): Promise<GroupRow>;
  delete(id: string): Promise<boolean>;
  members(id: string): Promise<Member[]>;
  /** Whether it was not in it before. */
  add(groupId: string, member: Member): Promise<boolean>;
  remove(groupId: string, memberId: string): Promise<boolean>;
  /** Replaces all members. */
  setMembers(groupId: string, members: readonly Member[]): Promise<void>;
  /** Makes groups that are missing, and puts a user into them. */
  ensure(displayNames: readonly string[], userId?: string): Promise<void>;
}

export function createGroups(db: UaaDatabase, { clock = systemClock }: { clock?: Clock } = {}): Groups {
  const row = (displayName: string, description: string): GroupRow => {
    const now = clock.now();
    return { id: randomUUID(), display_name: displayName, description, version: 0, created_at: now, modified_at: now };
  };
  const membership = (group_id: string, { value, type, origin }: Member): MembershipRow => ({ group_id, member_id: value, member_type: type, origin });

  return {
    get: (id) => db.selectFrom("uaa_groups").selectAll().where("id", "=", id).executeTakeFirst(),
    findByName: (displayName) =>
      db.selectFrom("uaa_groups").selectAll().where(sql`lower(display_name)`, "=", displayName.toLowerCase()).executeTakeFirst(),
    async create(displayName, description) {
      const values = row(displayName, description);
      try {
        await db.insertInto("uaa_groups").values(values).execute();
      } catch (error) {
        if (uniqueViolation(error) === undefined) throw error;
        throw new UaaServerError("scim_resource_already_exists", `A group with displayName: ${displayName} already exists.`, { cause: error });
      }
      return values;
    },
    async delete(id) {
      return transaction(db, async (trx) => {
        await trx.deleteFrom("uaa_memberships").where("member_id", "=", id).execute();
        return (await trx.deleteFrom("uaa_groups").where("id", "=", id).executeTakeFirst()).numDeletedRows > 0n;
      });
    },
    async members(id) {
      const rows = await db.selectFrom("uaa_memberships").selectAll().where("group_id", "=", id).orderBy("member_id").limit(10_000).execute();
      return rows.map(({ member_id, member_type, origin }) => ({ value: member_id, type: member_type, origin }));
    },
    async add(groupId, member) {
      const added = await db.insertInto("uaa_memberships").values(membership(groupId, member)).onConflict((conflict) => conflict.doNothing()).executeTakeFirst();
      return (added.numInsertedOrUpdatedRows ?? 0n) > 0n;
    },
    remove: async (groupId, memberId) =>
      (await db.deleteFrom("uaa_memberships").where("group_id", "=", groupId).where("member_id", "=", memberId).executeTakeFirst()).numDeletedRows > 0n,
    async setMembers(groupId, members) {
      await transaction(db, async (trx) => {
        await trx.deleteFrom("uaa_memberships").where("group_id", "=", groupId).execute();
        if (members.length > 0) await trx.insertInto("uaa_memberships").values(members.map((member) => membership(groupId, member))).onConflict((conflict) => conflict.doNothing()).execute();
        await trx.updateTable("uaa_groups").set((eb) => ({ version: eb("version", "+", 1), modified_at: clock.now() })).where("id", "=", groupId).execute();
      });
    },
    async ensure(displayNames, userId) {
      await db.insertInto("uaa_groups").values(displayNames.map((name) => row(name, ""))).onConflict((conflict) => conflict.doNothing()).execute();
      if (userId === undefined) return;
      const keys = displayNames.map((name) => name.toLowerCase());
      const found = await db.selectFrom("uaa_groups").select("id").where(sql<string>`lower(display_name)`, "in", keys).execute();
      const rows = found.map(({ id }) => membership(id, { value: userId, type: "USER", origin: "uaa" }));
      await db.insertInto("uaa_memberships").values(rows).onConflict((conflict) => conflict.doNothing()).execute();
    },
  };
}

/** Every user is in these without a row. */
export const isDefaultGroup = (displayName: string): boolean => defaultGroups.includes(displayName.toLowerCase());
