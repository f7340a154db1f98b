import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { sql, type Generated } from "kysely";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { buildTemplate, detached, foreignKeyViolation, migrate, openDatabase, transaction, uniqueViolation, type Database } from "../../database.ts";
import { lockFolder } from "../../folder-lock.ts";
import { testDatabase, testTemplate } from "../support/template.ts";

interface Tables {
  things: { id: Generated<number>; name: string; big: number | null; tags: string[] | null; owner: number | null };
}
const migrations = [
  { version: 1, name: "things", sql: "CREATE TABLE things (id serial PRIMARY KEY, name text UNIQUE, big bigint, tags text[], owner integer REFERENCES things (id)); CREATE INDEX things_big ON things (big)" },
];

let scratch: string;
let template: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "opencf-database-test-"));
  template = await testTemplate();
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

describe("one face over both", () => {
  let db: Database<Tables>;
  let end: () => PromiseLike<void>;
  beforeAll(async () => {
    const database = await testDatabase();
    db = database.db as unknown as Database<Tables>;
    end = () => database[Symbol.asyncDispose]();
  });
  beforeEach(async () => {
    await sql`DROP TABLE IF EXISTS things, schema_migrations`.execute(db);
    await migrate(db as never, "test", migrations);
  });
  afterAll(() => end());

  test("numbers, lists and times come back as themselves", async () => {
    const row = await db.insertInto("things").values({ name: "a", big: 9_007_199_254_740_991, tags: ["x", "y \"z\""] }).returningAll().executeTakeFirstOrThrow();
    expect(row).toMatchObject({ big: 9_007_199_254_740_991, tags: ["x", "y \"z\""] });
    expect(await db.selectFrom("things").select(({ fn }) => fn.countAll().as("n")).execute()).toEqual([{ n: 1 }]);
    const { rows } = await sql<{ at: Date; j: unknown }>`SELECT now() AS at, '{"a": [1]}'::jsonb AS j`.execute(db);
    expect(rows[0]).toMatchObject({ at: expect.any(Date), j: { a: [1] } });
  });

  test("a transaction happens as a whole or not at all, and others wait for it", async () => {
    await expect(transaction(db, async (trx) => {
      await trx.insertInto("things").values({ name: "gone" }).execute();
      throw new Error("no");
    })).rejects.toThrow("no");
    expect(await db.selectFrom("things").selectAll().execute()).toEqual([]);
    await Promise.all(Array.from({ length: 10 }, (_, index) => transaction(db, async (trx) => {
      await sql`SELECT pg_advisory_xact_lock(1)`.execute(trx);
      const { n } = await trx.selectFrom("things").select(({ fn }) => fn.countAll<number>().as("n")).executeTakeFirstOrThrow();
      await trx.insertInto("things").values({ name: `t${index}`, big: n }).execute();
    })));
    expect((await db.selectFrom("things").select("big").orderBy("big").execute()).map(({ big }) => big)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  test("a failed statement does not poison what comes after", async () => {
    await expect(sql`SELECT nonsense`.execute(db)).rejects.toThrow();
    await expect(transaction(db, async (trx) => {
      await expect(sql`SELECT nonsense`.execute(trx)).rejects.toThrow();
      await sql`SELECT 1`.execute(trx);
    })).rejects.toThrow(/aborted/);
    expect((await sql`SELECT 1 AS one`.execute(db)).rows).toEqual([{ one: 1 }]);
  });

  test("violations are told by the name of what refused", async () => {
    await db.insertInto("things").values({ name: "a" }).execute();
    const error = (work: Promise<unknown>): Promise<unknown> => work.then(() => undefined, (reason: unknown) => reason);
    expect(uniqueViolation(await error(db.insertInto("things").values({ name: "a" }).execute()))).toBe("things_name_key");
    expect(foreignKeyViolation(await error(db.insertInto("things").values({ name: "b", owner: 99 }).execute()))).toBe("things_owner_fkey");
    expect(uniqueViolation(new Error("x"))).toBeUndefined();
  });

  test("migrations run once, in order, all or none, and a newer database is refused", async () => {
    const two = [...migrations, { version: 2, name: "column", sql: "ALTER TABLE things ADD COLUMN colour text" }];
    await Promise.all([migrate(db as never, "test", two), migrate(db as never, "test", two)]);
    await expect(migrate(db as never, "test", [...two, { version: 3, name: "broken", sql: "CREATE TABLE half (id integer); SELECT nonsense" }])).rejects.toThrow();
    expect((await sql<{ t: string | null }>`SELECT to_regclass('half')::text AS t`.execute(db)).rows[0]?.t).toBeNull();
    expect((await sql`SELECT version FROM schema_migrations WHERE part = 'test' ORDER BY 1`.execute(db)).rows).toEqual([{ version: 1 }, { version: 2 }]);
    await expect(migrate(db as never, "test", migrations)).rejects.toThrow("the database of part test is at version 2, this program knows 1");
  });
});

describe("a folder", () => {
  test("inside a transaction the database itself is refused instead of waited for; detached work may use it", async () => {
    await using owner = await openFolder("guard");
    const { db } = owner;
    await expect(transaction(db, () => db.selectFrom("things").selectAll().execute())).rejects.toThrow(/use the transaction that was handed in/);
    let later: Promise<unknown> | undefined;
    await transaction(db, () => {
      later = detached(() => Promise.resolve().then(() => db.selectFrom("things").selectAll().execute()));
      return Promise.resolve();
    });
    expect(await later).toEqual([]);
  });

  test("belongs to one living process: another opener hears who has it, and gets it afterwards", async () => {
    const dataDir = join(scratch, "locked");
    const first = await openDatabase<Tables>({ dataDir, template });
    await expect(openDatabase({ dataDir, template })).rejects.toThrow(`${dataDir} is in use by process ${process.pid}: stop that process, or choose another folder`);
    await first.destroy();
    await first.destroy();
    await expect(first.selectFrom("things").selectAll().execute()).rejects.toThrow(/closed|destroyed/);
    await (await openDatabase({ dataDir, template })).destroy();
  });

  test("a lock of a process that is gone, of an earlier one with the same number, or cut off while written, is taken over", async () => {
    const file = join(scratch, "stale.lock");
    const boot = (await readFile("/proc/sys/kernel/random/boot_id", "utf8").catch(() => "x")).trim();
    for (const left of [JSON.stringify({ pid: 2 ** 22 - 1, host: hostname(), birth: "", nonce: "n" }), JSON.stringify({ pid: process.pid, host: hostname(), birth: `${boot}:1`, nonce: "n" }), "{\"pid\":"]) {
      await writeFile(file, left);
      await (await lockFolder(file, scratch))[Symbol.asyncDispose]();
    }
    await writeFile(file, JSON.stringify({ pid: 1, host: "another-machine", birth: "", nonce: "n" }));
    await expect(lockFolder(file, scratch)).rejects.toThrow(/process 1 on another-machine/);
  });

  test("of ten who want a stale lock one gets it", async () => {
    const file = join(scratch, "race.lock");
    await writeFile(file, JSON.stringify({ pid: 2 ** 22 - 1, host: hostname(), birth: "", nonce: "n" }));
    const results = await Promise.allSettled(Array.from({ length: 10 }, () => lockFolder(file, scratch)));
    const won = results.filter((each) => each.status === "fulfilled");
    expect(won).toHaveLength(1);
    await won[0]?.value[Symbol.asyncDispose]();
  });

  test("a half-made folder of a killed first start is begun anew", async () => {
    const dataDir = join(scratch, "half");
    await mkdir(join(dataDir, "postgres.new"), { recursive: true });
    await writeFile(join(dataDir, "postgres.new", "PG_VERSION"), "1");
    await (await openDatabase({ dataDir, template })).destroy();
  });

  test("killed at any moment, it comes back with everything that was acknowledged, and nothing half", async () => {
    const bundle = join(scratch, "writer.mjs");
    await build({ entryPoints: [new URL("./writer.ts", import.meta.url).pathname], outfile: bundle, bundle: true, platform: "node", format: "esm", target: "node20", external: ["@electric-sql/pglite", "pg", "kysely"], logLevel: "silent" });
    const source = await readFile(bundle, "utf8");
    // The bundle stands outside of the workspace: its packages are named by their place.
    await writeFile(bundle, source.replace(/from "(@electric-sql\/pglite|pg|kysely)"/g, (_, name: string) => `from ${JSON.stringify(import.meta.resolve(name))}`));
    const dataDir = join(scratch, "killed");
    let acknowledged = 0;
    for (const round of [1, 2, 3]) {
      const child = spawn(process.execPath, [bundle, dataDir, template], { stdio: ["ignore", "pipe", "inherit"] });
      let text = "";
      child.stdout.on("data", (chunk: Buffer) => {
        text += chunk.toString();
        if (text.split("\n").length > 20 * round) child.kill("SIGKILL");
      });
      await once(child, "exit");
      acknowledged = Math.max(acknowledged, ...text.split("\n").slice(0, -1).map(Number).filter((each) => !Number.isNaN(each)));
    }
    expect(acknowledged).toBeGreaterThan(20);
    const db = await openDatabase<{ pairs: { n: number; half: number } }>({ dataDir, template });
    const rows = await db.selectFrom("pairs").select(["n", ({ fn }) => fn.countAll<number>().as("count")]).groupBy("n").execute();
    await db.destroy();
    expect(rows.every(({ count }) => count === 2)).toBe(true);
    expect(new Set(rows.map(({ n }) => n)).size).toBeGreaterThanOrEqual(acknowledged);
  }, 60_000);
});

test("a template spares the initialisation", async () => {
  const folder = join(scratch, "template");
  await buildTemplate(folder, { test: migrations });
  const db = await openDatabase<Tables>({ dataDir: join(scratch, "from-template"), template: folder });
  expect(await db.selectFrom("things").selectAll().execute()).toEqual([]);
  expect((await sql`SELECT current_setting('shared_buffers') AS size`.execute(db)).rows).toEqual([{ size: "8MB" }]);
  await db.destroy();
});

async function openFolder(name: string): Promise<AsyncDisposable & { db: Database<Tables> }> {
  const db = await openDatabase<Tables>({ dataDir: join(scratch, name), template });
  await migrate(db as never, "test", migrations);
  return { db, [Symbol.asyncDispose]: () => db.destroy() };
}
