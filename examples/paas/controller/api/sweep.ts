import { sql } from "kysely";
import type { Database } from "../../database.ts";
import type { Clock, Logger } from "./ports.ts";
import type { ControllerTables } from "../data/schema.ts";

/**
 * Whatever was being deleted when the platform stopped can be used, and deleted, again: its job has failed by now.
 * Deletions that another controller has under way are left alone. Call it after the jobs of a crash were failed.
 */
export async function resumeDeleted(db: Database<ControllerTables>): Promise<void> {
  const underWay = (...guids: string[]) => sql`EXISTS (SELECT 1 FROM jobs WHERE jobs.state = 'PROCESSING' AND jobs.resource_guid IN (${sql.join(guids.map((each) => sql.ref(each)))}))`;
  await sql`UPDATE organizations SET deleting = false WHERE deleting AND NOT ${underWay("organizations.guid")}`.execute(db);
  await sql`UPDATE spaces SET deleting = false WHERE deleting AND NOT ${underWay("spaces.guid", "spaces.organization_guid")}`.execute(db);
  await sql`UPDATE apps SET deleting = false FROM spaces WHERE spaces.guid = apps.space_guid AND apps.deleting
    AND NOT ${underWay("apps.guid", "apps.space_guid", "spaces.organization_guid")}`.execute(db);
}

/** How long what only grows is kept, in days; the periods are the Cloud Controller's. */
export const keepDays = { jobs: 90, audit_events: 31, app_usage_events: 31 } as const;

const dayMs = 86_400_000;

export async function sweep(db: Database<ControllerTables>, nowMs: number): Promise<void> {
  for (const [table, days] of Object.entries(keepDays) as [keyof typeof keepDays, number][])
    await db.deleteFrom(table).where("created_at", "<", new Date(nowMs - days * dayMs)).execute();
}

/** Sweeps now and once a day until it is disposed. */
export function keepSwept({ db, clock, log }: { db: Database<ControllerTables>; clock: Clock; log: Logger }): AsyncDisposable {
  let stopped = false;
  let timer: Disposable | undefined;
  let running = Promise.resolve();
  const round = (): void => {
    running = sweep(db, clock.now()).catch((error: unknown) => log.warn("old rows were not removed", { error: String(error) })).then(() => {
      if (!stopped) timer = clock.after(dayMs, round);
    });
  };
  round();
  return {
    async [Symbol.asyncDispose]() {
      stopped = true;
      timer?.[Symbol.dispose]();
      await running;
    },
  };
}
