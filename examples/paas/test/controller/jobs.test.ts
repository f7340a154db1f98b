import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { CfError } from "../../controller/api/errors.ts";
import { createJobs, type Jobs } from "../../controller/api/jobs.ts";
import { controllerMigrations } from "../../controller/data/migrations.ts";
import { silentLogger, systemClock } from "../../controller/api/ports.ts";
import { resumeDeleted, sweep } from "../../controller/api/sweep.ts";
import { migrate } from "../../database.ts";
import { testDatabase, type TestDatabase } from "../support/template.ts";

let database: TestDatabase;
let jobs: Jobs;
const options = (owner = "c1") => ({ db: database.db, owner, log: silentLogger, clock: systemClock });

beforeAll(async () => {
  database = await testDatabase();
  await migrate(database.db as never, "controller", controllerMigrations);
});
beforeEach(async () => {
  jobs = await createJobs(options());
});
afterEach(() => jobs[Symbol.asyncDispose]());
afterAll(() => database[Symbol.asyncDispose]());

function gate(): { open: () => void; passed: Promise<void> } {
  let open = (): void => undefined;
  const passed = new Promise<void>((resolve) => (open = resolve));
  return { open, passed };
}

test("a job is held open until it ends, and then tells what happened", async () => {
  const { open, passed } = gate();
  const guid = await jobs.run({ operation: "app.delete", work: async (job) => { job.warn("mind the gap"); await passed; } });
  expect(await jobs.wait(guid, 20)).toMatchObject({ state: "PROCESSING" });
  const startedMs = Date.now();
  const waiting = jobs.wait(guid, 10_000);
  setTimeout(open, 50);
  expect(await waiting).toMatchObject({ state: "COMPLETE", errors: [], warnings: [{ detail: "mind the gap" }] });
  expect(Date.now() - startedMs).toBeLessThan(5_000);
  expect(await jobs.wait("unknown", 1_000)).toBeUndefined();
});

test("a failed job has exactly what a client may know", async () => {
  const known = await jobs.run({ operation: "x", work: () => Promise.reject(new CfError("UnprocessableEntity", ["one", "two"])) });
  const unknown = await jobs.run({ operation: "x", work: () => Promise.reject(new Error("password=hunter2")) });
  await jobs.idle();
  expect((await jobs.find(known))?.errors).toEqual([{ code: 10008, title: "CF-UnprocessableEntity", detail: "one" }, { code: 10008, title: "CF-UnprocessableEntity", detail: "two" }]);
  expect((await jobs.find(unknown))?.errors).toEqual([{ code: 10001, title: "CF-UnknownError", detail: "An unknown error occurred." }]);
});

test("a job that waits for a broker is not held", async () => {
  const { open, passed } = gate();
  const guid = await jobs.run({ operation: "service_instance.create", work: async (job) => { await job.polling(); await passed; } });
  const startedMs = Date.now();
  expect((await jobs.wait(guid, 10_000))?.state).toBe("POLLING");
  expect(Date.now() - startedMs).toBeLessThan(5_000);
  open();
});

test("what a crash cut off is failed at the next start of the same controller, not of another", async () => {
  for (const [guid, owner] of [["mine", "c1"], ["theirs", "c2"]] as const) await database.db.insertInto("jobs").values({ guid, owner, operation: "app.delete", state: "PROCESSING" }).execute();
  await (await createJobs(options()))[Symbol.asyncDispose]();
  expect(await jobs.find("mine")).toMatchObject({ state: "FAILED", errors: [{ code: 10001, title: "CF-UnknownError" }] });
  expect(await jobs.find("theirs")).toMatchObject({ state: "PROCESSING" });
  await database.db.updateTable("jobs").set({ updated_at: new Date(Date.now() - 61_000) }).where("guid", "=", "theirs").execute();
  await (await createJobs(options()))[Symbol.asyncDispose]();
  expect(await jobs.find("theirs")).toMatchObject({ state: "FAILED", errors: [{ code: 10001 }] });
});

test("a long job is kept alive, and a lost one is found without a restart", async () => {
  const beats: (() => void)[] = [];
  const clock = { now: Date.now, after: (ms: number, run: () => void): Disposable => (ms === 15_000 ? (beats.push(run), { [Symbol.dispose]: () => undefined }) : systemClock.after(ms, run)) };
  const { open, passed } = gate();
  await using own = await createJobs({ ...options("c4"), clock });
  const guid = await own.run({ operation: "x", work: () => passed });
  const past = new Date(Date.now() - 59_000);
  await database.db.insertInto("jobs").values({ guid: "lost", owner: "c5", operation: "x", state: "POLLING" }).execute();
  for (const [each, at] of [[guid, past], ["lost", new Date(Date.now() - 61_000)]] as const) await database.db.updateTable("jobs").set({ updated_at: at }).where("guid", "=", each).execute();
  beats.shift()?.();
  await expect.poll(async () => (await own.find("lost"))?.state).toBe("FAILED");
  expect((await own.find(guid))?.updated_at.getTime()).toBeGreaterThan(past.getTime() + 30_000);
  expect((await own.find(guid))?.state).toBe("PROCESSING");
  open();
});

test("stopping aborts what is under way and waits for it; nothing new is taken", async () => {
  let reason: unknown;
  const { open, passed } = gate();
  const guid = await jobs.run({
    operation: "x",
    work: ({ signal }) => {
      open();
      return new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject((reason = signal.reason) as Error)));
    },
  });
  await passed;
  await jobs[Symbol.asyncDispose]();
  expect(reason).toBeInstanceOf(CfError);
  expect(await jobs.find(guid)).toMatchObject({ state: "FAILED" });
  await expect(jobs.run({ operation: "x", work: () => Promise.resolve() })).rejects.toMatchObject({ code: "ServiceUnavailable" });
});

test("a database that is away when the work ends is asked again", async () => {
  const { open, passed } = gate();
  const { db } = database;
  let failures = 0;
  // The real database behind a line that breaks three times.
  const flaky = new Proxy(db, {
    get(target, key) {
      if (key === "updateTable" && failures > 0) {
        failures--;
        throw Object.assign(new Error("Connection terminated unexpectedly"), { code: "ECONNRESET" });
      }
      const value: unknown = Reflect.get(target, key);
      return typeof value === "function" ? (value as (...args: unknown[]) => unknown).bind(target) : value;
    },
  });
  const lines: string[] = [];
  await using shaky = await createJobs({ ...options("c3"), db: flaky, log: { ...silentLogger, error: (event) => void lines.push(event) } });
  const guid = await shaky.run({ operation: "x", work: () => passed });
  failures = 3;
  open();
  await shaky.idle();
  expect(await jobs.find(guid)).toMatchObject({ state: "COMPLETE" });
  expect(failures).toBe(0);
  expect(lines).toEqual([]);
});

test("what was being deleted when the platform died can be deleted again; another controller's deletion goes on", async () => {
  const { db } = database;
  await db.insertInto("organization_quotas").values({ guid: "q", name: "q" }).execute();
  for (const guid of ["dead", "alive"]) {
    await db.insertInto("organizations").values({ guid, name: guid, quota_guid: "q", deleting: true }).execute();
    await db.insertInto("spaces").values({ guid: `${guid}-s`, name: "s", organization_guid: guid, deleting: true }).execute();
    await db.insertInto("apps").values({ guid: `${guid}-a`, name: "a", space_guid: `${guid}-s`, deleting: true }).execute();
  }
  await db.insertInto("jobs").values({ guid: "other", operation: "organization.delete", state: "PROCESSING", owner: "elsewhere", resource_type: "organization", resource_guid: "alive" }).execute();
  await resumeDeleted(db);
  for (const table of ["organizations", "spaces", "apps"] as const)
    expect((await db.selectFrom(table).select(["guid", "deleting"]).orderBy("guid").execute()).map(({ deleting }) => deleting)).toEqual([true, false]);
});

test("old jobs and events go, young ones stay", async () => {
  const { db } = database;
  const at = (days: number): Date => new Date(Date.now() - days * 86_400_000);
  for (const [guid, days] of [["old", 91], ["young", 89]] as const) await db.insertInto("jobs").values({ guid, operation: "x", state: "COMPLETE", owner: "c1", created_at: at(days) }).execute();
  const event = { type: "t", actor_guid: "a", actor_type: "user", actor_name: "a", target_guid: "t", target_type: "app", target_name: "t" };
  for (const [guid, days] of [["e-old", 32], ["e-young", 30]] as const) await db.insertInto("audit_events").values({ ...event, guid, created_at: at(days) }).execute();
  await sweep(db, Date.now());
  expect(await jobs.find("old")).toBeUndefined();
  expect(await jobs.find("young")).toBeDefined();
  expect((await db.selectFrom("audit_events").select("guid").execute()).map(({ guid }) => guid)).toEqual(["e-young"]);
});
