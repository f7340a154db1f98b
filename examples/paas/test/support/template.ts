import { createHash, randomUUID } from "node:crypto";
import { mkdtemp, rename, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sql } from "kysely";
import { controllerMigrations } from "../../controller/data/migrations.ts";
import type { ControllerTables } from "../../controller/data/schema.ts";
import { buildTemplate, openDatabase, type Database } from "../../database.ts";

/** A template of the controller's database, made once per version of the migrations and user, and kept in the system's temporary folder. */
export async function testTemplate(): Promise<string> {
  const hash = createHash("sha256").update(JSON.stringify(controllerMigrations)).digest("hex").slice(0, 16);
  const folder = join(tmpdir(), `opencf-test-template-${process.getuid?.() ?? 0}-${hash}`);
  if (await exists(folder)) return folder;
  const draft = await mkdtemp(`${folder}-`);
  await buildTemplate(draft, { controller: controllerMigrations });
  await rename(draft, folder).catch(() => rm(draft, { recursive: true, force: true })); // another test file was faster
  return folder;
}

const exists = (path: string): Promise<boolean> => stat(path).then(() => true, () => false);

export interface TestDatabase extends AsyncDisposable {
  readonly db: Database<ControllerTables>;
  readonly kind: "embedded" | "server";
}

/** A fresh database: embedded, or on the server that OPENCF_TEST_POSTGRES_URL names. */
export async function testDatabase(): Promise<TestDatabase> {
  const server = process.env["OPENCF_TEST_POSTGRES_URL"];
  if (server !== undefined) {
    const name = `test_${randomUUID().replaceAll("-", "")}`;
    const admin = await openDatabase<object>({ url: server });
    await sql`CREATE DATABASE ${sql.id(name)}`.execute(admin);
    const url = new URL(server);
    url.pathname = `/${name}`;
    const db = await openDatabase<ControllerTables>({ url: url.href });
    return {
      db, kind: "server",
      async [Symbol.asyncDispose]() {
        await db.destroy();
        await sql`DROP DATABASE ${sql.id(name)} WITH (FORCE)`.execute(admin);
        await admin.destroy();
      },
    };
  }
  const dataDir = await mkdtemp(join(tmpdir(), "opencf-test-db-"));
  const db = await openDatabase<ControllerTables>({ dataDir, template: await testTemplate() });
  return {
    db, kind: "embedded",
    async [Symbol.asyncDispose]() {
      await db.destroy();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
