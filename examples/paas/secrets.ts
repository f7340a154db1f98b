import { randomBytes } from "node:crypto";
import type { Kysely } from "kysely";
import { migrate, type Migration } from "./database.ts";

/** What the parts that share a database know of each other, made once and kept there. */
export interface Secrets {
  /** Signs links to blobs. */
  readonly blobs: string;
  /** Secret of the UAA client that the controller uses. */
  readonly controllerClient: string;
}

interface Tables {
  platform_secrets: { name: string; value: string };
}

export const secretMigrations: readonly Migration[] = [
  { version: 1, name: "secrets", sql: "create table platform_secrets (name text primary key, value text not null)" },
];

/** Reads the secrets, and makes those that are missing; two processes that come first at once agree on one. */
export async function openSecrets(db: Kysely<object>): Promise<Secrets> {
  await migrate(db, "platform", secretMigrations);
  const own = db as unknown as Kysely<Tables>;
  const names = ["blobs", "controller_client"];
  await own.insertInto("platform_secrets")
    .values(names.map((name) => ({ name, value: randomBytes(32).toString("base64url") })))
    .onConflict((conflict) => conflict.column("name").doNothing())
    .execute();
  const rows = await own.selectFrom("platform_secrets").selectAll().where("name", "in", names).execute();
  const value = (name: string): string => rows.find((row) => row.name === name)?.value ?? "";
  return { blobs: value("blobs"), controllerClient: value("controller_client") };
}
