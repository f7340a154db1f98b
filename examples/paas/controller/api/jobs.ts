import { randomUUID } from "node:crypto";
import { EventEmitter } from "node:events";
import { sql, type RawBuilder } from "kysely";
import { detached, isUnavailable, type Database } from "../../database.ts";
import { bodiesOf, CfError } from "./errors.ts";
import type { Clock, Logger } from "./ports.ts";
import { json, type ControllerTables, type JsonText, type RowOf } from "../data/schema.ts";

export interface JobRequest {
  /** `app.delete`, `space.apply_manifest`, ... */
  operation: string;
  /** Becomes a link of the job. */
  resource?: { type: string; guid: string };
  work: (job: RunningJob) => Promise<void>;
}

export interface RunningJob {
  readonly guid: string;
  readonly signal: AbortSignal;
  /** Shown by the command line beside the answer. */
  warn(detail: string): void;
  /** A service broker works on it: the client goes on polling. */
  polling(): Promise<void>;
}

/** Long work, whose state clients poll. What is under way when the process dies is FAILED at its next start. */
export interface Jobs extends AsyncDisposable {
  /** Writes the job and starts it; returns its guid. Call it after the transaction that prepared the work. */
  run(job: JobRequest): Promise<string>;
  find(guid: string): Promise<RowOf<"jobs"> | undefined>;
  /** As `find`, but waits up to `waitMs` for an unfinished job to end: a client that asks every three seconds hears sooner. */
  wait(guid: string, waitMs: number, signal?: AbortSignal): Promise<RowOf<"jobs"> | undefined>;
  /** Waits until all that is under way has ended. */
  idle(): Promise<void>;
}

export interface JobsOptions {
  db: Database<ControllerTables>;
  /** Name of this controller. At its start its own unfinished jobs fail at once, those of others only when nobody has kept them alive for a minute. */
  owner: string;
  log: Logger;
  clock: Clock;
}

/** A running job shows a sign of life this often; one without a sign for four terms is lost, with the controller that ran it. */
const beatMs = 15_000;
const silentMs = 60_000;

const retryDelaysMs = [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000];

/** Fails what a crash left behind, then takes new work. */
export async function createJobs({ db, owner, log, clock }: JobsOptions): Promise<Jobs> {
  const interrupted = json(new CfError("UnknownError", "The platform was restarted while the job was running. Try again.").toBodies());
  const failLost = async (lost: RawBuilder<boolean>): Promise<void> => {
    await db.updateTable("jobs").set({ state: "FAILED", errors: interrupted, updated_at: sql`now()` as never }).where("state", "in", ["PROCESSING", "POLLING"]).where(lost).execute();
  };
  // By the database's clock on both sides: those of several controllers may differ.
  const silent = sql<boolean>`updated_at < now() - make_interval(secs => ${silentMs / 1_000})`;
  await failLost(sql<boolean>`(owner = ${owner} OR ${silent})`);

  const running = new Map<string, Promise<void>>();
  let beat: Disposable | undefined;
  const nextBeat = (): void => {
    if (stopping.signal.aborted) return;
    beat = clock.after(beatMs, () => {
      const alive = [...running.keys()];
      const round = alive.length === 0 ? Promise.resolve() : db.updateTable("jobs").set({ updated_at: sql`now()` as never }).where("guid", "in", alive).where("state", "in", ["PROCESSING", "POLLING"]).execute();
      void Promise.resolve(round).then(() => failLost(silent)).catch((error: unknown) => log.warn("jobs were not looked after", { error: String(error) })).then(nextBeat);
    });
  };
  const ended = new EventEmitter().setMaxListeners(0);
  const stopping = new AbortController();
  nextBeat();

  const perform = async (guid: string, { operation, work }: JobRequest): Promise<void> => {
    const warnings: { detail: string }[] = [];
    const job: RunningJob = {
      guid,
      signal: stopping.signal,
      warn: (detail) => void warnings.push({ detail }),
      polling: async () => {
        await db.updateTable("jobs").set({ state: "POLLING", updated_at: new Date(clock.now()) }).where("guid", "=", guid).execute();
        ended.emit(guid);
      },
    };
    const started = Promise.resolve().then(() => {
      stopping.signal.throwIfAborted();
      return work(job);
    });
    const errors = await started.then(() => [], (error: unknown) => {
      if (!(error instanceof CfError)) log.error("job failed", { job: guid, operation, error: String(error) });
      // A failed job without an error crashes the command line: there is always one.
      return bodiesOf(error);
    });
    await write(guid, { state: errors.length === 0 ? "COMPLETE" : "FAILED", errors: json(errors), warnings: json(warnings) })
      .catch((error: unknown) => log.error("the end of a job was not written", { job: guid, operation, error: String(error) }));
    running.delete(guid);
    ended.emit(guid);
  };

  /** The work is done: a database that is away for a moment must not make a job look unfinished for ever. */
  const write = async (guid: string, end: { state: "COMPLETE" | "FAILED"; errors: JsonText; warnings: JsonText }): Promise<void> => {
    for (const delayMs of [...retryDelaysMs, undefined])
      try {
        await db.updateTable("jobs").set({ ...end, updated_at: new Date(clock.now()) }).where("guid", "=", guid).execute();
        return;
      } catch (error) {
        if (delayMs === undefined || !isUnavailable(error) || stopping.signal.aborted) throw error;
        await sleep(delayMs, guid, stopping.signal);
      }
  };

  const find = (guid: string): Promise<RowOf<"jobs"> | undefined> => db.selectFrom("jobs").selectAll().where("guid", "=", guid).executeTakeFirst();
  const unfinished = (job: RowOf<"jobs"> | undefined): boolean => job?.state === "PROCESSING";
  const idle = async (): Promise<void> => {
    while (running.size > 0) await Promise.all(running.values());
  };

  return {
    async run(request) {
      if (stopping.signal.aborted) throw new CfError("ServiceUnavailable", "The platform is stopping.");
      const guid = randomUUID();
      await db.insertInto("jobs").values({
        guid, operation: request.operation, state: "PROCESSING", owner,
        resource_type: request.resource?.type ?? null, resource_guid: request.resource?.guid ?? null,
      }).execute();
      running.set(guid, detached(() => Promise.resolve().then(() => perform(guid, request))));
      return guid;
    },
    find,
    async wait(guid, waitMs, signal) {
      const untilMs = clock.now() + waitMs;
      let job = await find(guid);
      while (unfinished(job) && clock.now() < untilMs && !signal?.aborted) {
        // Another controller's job is not heard ending; it is looked at now and then.
        await sleep(Math.min(untilMs - clock.now(), running.has(guid) ? waitMs : 250), guid, signal);
        job = await find(guid);
      }
      return job;
    },
    idle,
    async [Symbol.asyncDispose]() {
      beat?.[Symbol.dispose]();
      stopping.abort(new CfError("ServiceUnavailable", "The platform was stopped while the job was running. Try again."));
      await idle();
    },
  };

  function sleep(ms: number, guid: string, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        timer[Symbol.dispose]();
        ended.off(guid, done);
        signal?.removeEventListener("abort", done);
        resolve();
      };
      const timer = clock.after(ms, done);
      ended.once(guid, done);
      signal?.addEventListener("abort", done, { once: true });
    });
  }
}
