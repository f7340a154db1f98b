import { execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chown, mkdtemp, rm } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { sql } from "kysely";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ControllerTables } from "../../controller/data/schema.ts";
import { isUnavailable, openDatabase, transaction } from "../../database.ts";
import { startTestController } from "../support/controller.ts";

/** A real server, where this machine has one; PostgreSQL refuses to run as root, so then it runs as its own user. */
const found = ["postgres", "initdb"].every((name) => which(name));
const isRoot = process.getuid?.() === 0;
const account = isRoot ? accountOf("postgres") : undefined;
const skip = !found ? "no PostgreSQL server is installed" : isRoot && !account ? "there is no account to run PostgreSQL under" : false;

let folder: string;
let port: number;
let server: ReturnType<typeof spawn>;

async function start(): Promise<void> {
  server = spawn("postgres", ["-D", join(folder, "data"), "-p", String(port), "-k", folder, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"], { stdio: "ignore", ...account });
  for (let tries = 0; ; tries++)
    try {
      await (await openDatabase({ url: url() })).destroy();
      return;
    } catch (error) {
      if (tries > 200) throw error;
      await new Promise((go) => setTimeout(go, 50));
    }
}
async function crash(): Promise<void> {
  server.kill("SIGQUIT");
  await once(server, "exit");
}
const url = (): string => `postgres://tester@127.0.0.1:${port}/postgres`;

describe.skipIf(skip)("a server", () => {
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "opencf-pg-"));
    if (account) await chown(folder, account.uid, account.gid);
    const probe = createServer().listen(0, "127.0.0.1");
    await once(probe, "listening");
    port = (probe.address() as AddressInfo).port;
    probe.close();
    await promisify(execFile)("initdb", ["-D", join(folder, "data"), "-A", "trust", "-U", "tester", "--no-sync"], { cwd: folder, ...account });
    await start();
  });
  afterAll(async () => {
    await crash();
    await rm(folder, { recursive: true, force: true });
  });

  test("that goes away answers 503 until it is back; a job's end is written then; nothing ends the process", async () => {
    const db = await openDatabase<ControllerTables>({ url: url() });
    const platform = await startTestController({ db });
    const { admin } = platform;
    let finish = (): void => undefined;
    const job = await platform.controller.context.jobs.run({ operation: "x", work: () => new Promise((resolve) => (finish = resolve)) });
    let goOn = (): void => undefined;
    const inside = new Promise<void>((resolve) => (goOn = resolve));
    const cut = transaction(db, async (trx) => {
      await sql`SELECT 1`.execute(trx);
      goOn();
      await new Promise((go) => setTimeout(go, 1_000));
      await sql`SELECT 1`.execute(trx);
    }).catch((error: unknown) => error);
    await inside;
    await crash();
    const reply = await admin.get("/v3/organizations");
    expect([reply.status, reply.body.errors]).toEqual([503, [{ code: 10015, title: "CF-ServiceUnavailable", detail: "The database is unavailable at the moment. Try again." }]]);
    finish();
    expect(await cut).toBeInstanceOf(Error);
    await start();
    expect((await admin.get("/v3/organizations")).status).toBe(200);
    await platform.controller.context.jobs.idle();
    expect(await platform.controller.context.jobs.find(job)).toMatchObject({ state: "COMPLETE" });
    await platform[Symbol.asyncDispose]();
    await db.destroy();
  }, 60_000);

  test("deadlocked transactions are tried again", async () => {
    const db = await openDatabase<object>({ url: url() });
    await sql`CREATE TABLE dl (id integer PRIMARY KEY, n integer NOT NULL); `.execute(db);
    await sql`INSERT INTO dl VALUES (1, 0), (2, 0)`.execute(db);
    let attempts = 0;
    const both = (first: number, second: number): Promise<void> => transaction(db, async (trx) => {
      attempts++;
      await sql`UPDATE dl SET n = n + 1 WHERE id = ${first}`.execute(trx);
      await new Promise((go) => setTimeout(go, 100));
      await sql`UPDATE dl SET n = n + 1 WHERE id = ${second}`.execute(trx);
    });
    await Promise.all([both(1, 2), both(2, 1)]);
    expect((await sql<{ n: number }>`SELECT n FROM dl ORDER BY id`.execute(db)).rows).toEqual([{ n: 2 }, { n: 2 }]);
    expect(attempts).toBeGreaterThan(2);
    await db.destroy();
  });
});

test("nobody there: it says so at once, as something that may pass", async () => {
  const error = await openDatabase({ url: "postgres://x@127.0.0.1:1/x" }).then(() => undefined, (reason: unknown) => reason);
  expect(isUnavailable(error)).toBe(true);
  expect(isUnavailable(Object.assign(new Error("x"), { code: "23505" }))).toBe(false);
});

function which(name: string): boolean {
  try {
    execFileSync("which", [name], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

function accountOf(name: string): { uid: number; gid: number } | undefined {
  try {
    const id = (flag: string): number => Number(execFileSync("id", [flag, name], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }));
    return { uid: id("-u"), gid: id("-g") };
  } catch {
    return undefined;
  }
}
