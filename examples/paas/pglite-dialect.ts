import { AsyncLocalStorage } from "node:async_hooks";
import type { PGlite, Results } from "@electric-sql/pglite";
import {
  CompiledQuery, PostgresAdapter, PostgresIntrospector, PostgresQueryCompiler,
  type DatabaseConnection, type Dialect, type Driver, type QueryResult, type TransactionSettings,
} from "kysely";

/** Set inside a transaction: whoever asks for another connection there would wait for the transaction that waits for them. */
export const acquireGuard = new AsyncLocalStorage<{ open: boolean }>();

/** Kysely over one embedded PostgreSQL: one connection, handed from one user to the next in order. `close` runs once, at the end. */
export function pgliteDialect(lite: PGlite, close: () => Promise<void>): Dialect {
  return {
    createAdapter: () => new PostgresAdapter(),
    createDriver: () => createDriver(lite, close),
    createIntrospector: (db) => new PostgresIntrospector(db),
    createQueryCompiler: () => new PostgresQueryCompiler(),
  };
}

function createDriver(lite: PGlite, close: () => Promise<void>): Driver {
  const connection = createConnection(lite);
  const waiting: (() => void)[] = [];
  let busy = false;
  let closed: Promise<void> | undefined;

  const acquire = async (): Promise<DatabaseConnection> => {
    if (closed) throw new Error("the database is closed");
    if (acquireGuard.getStore()?.open)
      throw new Error("a query outside of the transaction was made inside of it: use the transaction that was handed in");
    if (busy) await new Promise<void>((go) => waiting.push(go));
    busy = true;
    return connection;
  };
  const release = (): Promise<void> => {
    const next = waiting.shift();
    if (next) next();
    else busy = false;
    return Promise.resolve();
  };

  return {
    init: () => Promise.resolve(),
    acquireConnection: acquire,
    releaseConnection: release,
    async beginTransaction(own, { isolationLevel, accessMode }: TransactionSettings) {
      const mode = `${isolationLevel ? ` ISOLATION LEVEL ${isolationLevel.toUpperCase()}` : ""}${accessMode ? ` ${accessMode.toUpperCase()}` : ""}`;
      await own.executeQuery(CompiledQuery.raw(`BEGIN${mode}`));
    },
    async commitTransaction(own) {
      await own.executeQuery(CompiledQuery.raw("COMMIT"));
    },
    async rollbackTransaction(own) {
      await own.executeQuery(CompiledQuery.raw("ROLLBACK"));
    },
    destroy() {
      // Those who have the connection or stand in the queue for it finish first.
      closed ??= new Promise<void>((go) => (busy ? waiting.push(go) : go())).then(close);
      return closed;
    },
  };
}

function createConnection(lite: PGlite): DatabaseConnection {
  return {
    async executeQuery<Row>({ sql, parameters }: CompiledQuery): Promise<QueryResult<Row>> {
      // Without parameters the simple protocol is used, which takes several statements: migrations need that.
      const result = parameters.length === 0
        ? ((await lite.exec(sql)).at(-1) as Results<Row> | undefined)
        : await lite.query<Row>(sql, parameters as unknown[]);
      return { rows: result?.rows ?? [], ...(result?.affectedRows !== undefined && { numAffectedRows: BigInt(result.affectedRows) }) };
    },
    // The embedded server has no cursors.
    async *streamQuery() {
      throw new Error("streaming is not supported here");
    },
  };
}
