import { sql } from "kysely";
import { openDatabase, transaction } from "../../database.ts";

/** Writes pairs of rows, each pair in a transaction, and says the number of each that is stored; until it is killed. */
const [, , dataDir = "", template = ""] = process.argv;
const db = await openDatabase<{ pairs: { n: number; half: number } }>({ dataDir, template });
await sql`CREATE TABLE IF NOT EXISTS pairs (n integer, half integer, filler text DEFAULT repeat('x', 2000))`.execute(db);
const { rows } = await sql<{ n: number | null }>`SELECT max(n) AS n FROM pairs`.execute(db);
for (let n = (rows[0]?.n ?? 0) + 1; ; n++) {
  await transaction(db, async (trx) => {
    await trx.insertInto("pairs").values({ n, half: 1 }).execute();
    await trx.insertInto("pairs").values({ n, half: 2 }).execute();
  });
  process.stdout.write(`${n}\n`);
  // Lets the parent be heard: the embedded server does not give way by itself.
  await new Promise((go) => setImmediate(go));
}
