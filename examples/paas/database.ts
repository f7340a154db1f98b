import { constants } from "node:fs";
import { cp, mkdir, rename, rm, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import { Kysely, PostgresDialect, sql, type Transaction } from "kysely";
import { lockFolder } from "./folder-lock.ts";
import { acquireGuard, pgliteDialect } from "./pglite-dialect.ts";

/** One step of a part's database; `sql` may hold several statements. */
export interface Migration {
  readonly version: number;
  readonly name: string;
  readonly sql: string;
}

export interface FolderDatabase {
  /** Folder of an embedded PostgreSQL; made when it does not exist. One process at a time. */
  dataDir: string;
  /** Folder made by `buildTemplate`: copied into an empty `dataDir`, which saves the seconds and the memory of a first start. */
  template?: string | undefined;
}

export interface ServerDatabase {
  /** `postgres://user:password@host:port/name`. */
  url: string;
  /** Default 10. */
  maxConnections?: number | undefined;
}

export interface DatabaseEvents {
  /** A connection broke while nobody used it. */
  onError?: (error: Error) => void;
}

export type DatabaseOptions = (FolderDatabase | ServerDatabase) & DatabaseEvents;

export type Database<Tables> = Kysely<Tables>;

/**
 * Opens the database: embedded in this process (`dataDir`), or a server (`url`). Same SQL, real transactions on both.
 * `bigint` is read as a number. Disposing (or `destroy()`) closes it.
 * @throws FolderLockedError when another living process uses the folder
 */
export async function openDatabase<Tables>(options: DatabaseOptions): Promise<Database<Tables>> {
  return await ("url" in options ? openServer<Tables>(options) : openFolder<Tables>(options));
}

/** `bigint` and `count(*)`: our numbers stay far below 2^53. */
const int8 = 20;

async function openServer<Tables>({ url, maxConnections = 10, onError }: ServerDatabase & DatabaseEvents): Promise<Database<Tables>> {
  // Loaded here: the embedded database starts without it.
  const { default: pg } = await import("pg");
  const pool = new pg.Pool({
    connectionString: url,
    max: maxConnections,
    connectionTimeoutMillis: 10_000,
    idle_in_transaction_session_timeout: 60_000,
    application_name: "opencf",
    types: { getTypeParser: ((oid: number, format?: "text") => (oid === int8 ? Number : pg.types.getTypeParser(oid, format))) as never },
  });
  pool.on("error", (error) => onError?.(error));
  // The pool listens on idle connections only: one that breaks between two queries of a transaction would end the process.
  pool.on("connect", (client) => client.on("error", () => undefined));
  return await proven(new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) }));
}

async function openFolder<Tables>({ dataDir, template }: FolderDatabase): Promise<Database<Tables>> {
  const folder = resolve(dataDir);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const lock = await lockFolder(join(folder, "lock"), folder);
  try {
    const cluster = join(folder, "postgres");
    if (!(await exists(cluster))) await makeCluster(cluster, template);
    const lite = await start(cluster);
    return await proven(new Kysely<Tables>({
      dialect: pgliteDialect(lite, async () => {
        await lite.close();
        await lock[Symbol.asyncDispose]();
      }),
    }));
  } catch (error) {
    await lock[Symbol.asyncDispose]();
    throw error;
  }
}

/** A first query: says at once that nobody is there, and Kysely closes only what was used. */
async function proven<Tables>(db: Database<Tables>): Promise<Database<Tables>> {
  try {
    await sql`SELECT 1`.execute(db);
    return db;
  } catch (error) {
    await db.destroy();
    throw error;
  }
}

/** Made beside its place and moved there whole: a kill in the middle leaves nothing half made. */
async function makeCluster(cluster: string, template: string | undefined): Promise<void> {
  const draft = `${cluster}.new`;
  await rm(draft, { recursive: true, force: true });
  if (template !== undefined && (await exists(join(template, "postgres", "PG_VERSION")))) {
    await cp(join(template, "postgres"), draft, { recursive: true, mode: constants.COPYFILE_FICLONE });
  } else {
    const lite = await start(draft, { initDbStartParams: ["--wal-segsize=1"] });
    await lite.close();
  }
  await rename(draft, cluster);
}

/**
 * Start parameters of the embedded server: its own defaults for one process without workers, and 8 MB of shared buffers
 * where it takes 128 MB by itself: the pages of a database this small stay in the system's cache anyway.
 */
const startParams = [
  "--single", "-O", "-j", "-F",
  ...["search_path=public", "exit_on_error=false", "log_checkpoints=false", "io_method=sync", "max_worker_processes=0", "max_parallel_workers=0",
    "max_parallel_workers_per_gather=0", "max_parallel_maintenance_workers=0", "shared_buffers=8MB", "wal_buffers=256kB",
    "min_wal_size=2MB", "max_wal_size=16MB"].flatMap((setting) => ["-c", setting]),
];

function start(cluster: string, extra: object = {}): Promise<PGlite> {
  return PGlite.create({ dataDir: cluster, startParams, parsers: { [int8]: Number }, ...extra });
}

const exists = (path: string): Promise<boolean> => stat(path).then(() => true, () => false);

/**
 * Makes a folder that `openDatabase` can start from: initialised, with every migration applied. Whatever was there is replaced.
 */
export async function buildTemplate(folder: string, parts: Readonly<Record<string, readonly Migration[]>>): Promise<void> {
  await rm(join(folder, "postgres"), { recursive: true, force: true });
  const db = await openDatabase<object>({ dataDir: folder });
  try {
    for (const [part, migrations] of Object.entries(parts)) await migrate(db, part, migrations);
    await sql`CHECKPOINT`.execute(db);
  } finally {
    await db.destroy();
  }
}

/**
 * Runs `work` in one transaction: all of it happens, or nothing. Inside, use only the transaction it is given;
 * using the database itself there fails at once, since with one connection it would wait for itself for ever.
 * A deadlock or serialization failure is tried again, twice: `work` must have no effects outside the database.
 */
export async function transaction<Tables, T>(db: Database<Tables>, work: (trx: Transaction<Tables>) => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    const scope = { open: true };
    try {
      return await db.transaction().execute((trx) => acquireGuard.run(scope, () => work(trx)));
    } catch (error) {
      if (attempt >= 3 || !["40001", "40P01"].includes(String((error as { code?: unknown }).code))) throw error;
    } finally {
      scope.open = false;
    }
  }
}

/** Runs `work` outside of any surrounding transaction: for what is only started in one and lives on. */
export const detached = <T>(work: () => T): T => acquireGuard.exit(work);

/** Name of the unique index or constraint that refused a row; undefined for any other error. */
export function uniqueViolation(error: unknown): string | undefined {
  const { code, constraint } = error as { code?: unknown; constraint?: unknown };
  return code === "23505" ? String(constraint ?? "") : undefined;
}

/**
 * The server cannot be reached, or is stopping or starting: the same call may do better a little later.
 * Codes: classes 08 and 57P of PostgreSQL, and those of the network.
 */
export function isUnavailable(error: unknown): boolean {
  const { code, message } = error as { code?: unknown; message?: unknown };
  if (typeof code === "string" && /^(08...|57P0[123]|53300|ECONN(REFUSED|RESET)|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH)$/.test(code)) return true;
  return typeof message === "string" && /^(Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error)/.test(message);
}

/** Name of the foreign key that refused a change; undefined for any other error. */
export function foreignKeyViolation(error: unknown): string | undefined {
  const { code, constraint } = error as { code?: unknown; constraint?: unknown };
  return code === "23503" ? String(constraint ?? "") : undefined;
}

/**
 * Brings one part's tables up to date: every step not yet applied, in order, in one transaction, one process at a time.
 * @throws when the database knows a later version than this program does
 */
export async function migrate(db: Database<never> | Database<object>, part: string, migrations: readonly Migration[]): Promise<void> {
  await transaction(db as Database<object>, async (trx) => {
    await sql`SELECT pg_advisory_xact_lock(${migrationLock})`.execute(trx);
    await sql`CREATE TABLE IF NOT EXISTS schema_migrations (
      part text NOT NULL, version integer NOT NULL, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (part, version))`.execute(trx);
    const { rows } = await sql<{ version: number }>`SELECT version FROM schema_migrations WHERE part = ${part}`.execute(trx);
    const applied = new Set(rows.map(({ version }) => version));
    const newest = Math.max(0, ...migrations.map(({ version }) => version));
    const later = [...applied].filter((version) => version > newest);
    if (later.length > 0) throw new Error(`the database of part ${part} is at version ${Math.max(...later)}, this program knows ${newest}: run a newer one`);
    for (const { version, name, sql: text } of [...migrations].sort((a, b) => a.version - b.version)) {
      if (applied.has(version)) continue;
      await sql.raw(text).execute(trx);
      await sql`INSERT INTO schema_migrations (part, version, name) VALUES (${part}, ${version}, ${name})`.execute(trx);
    }
  });
}

/** Any number that no other user of the same server is likely to take. */
const migrationLock = 7_236_641_118;

