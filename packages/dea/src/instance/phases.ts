import { deferred } from "../deferred.ts";
import { DeaError } from "../errors.ts";
import { type Clock, sleep } from "../ports.ts";

/**
 * The steps between "accepted" and "nothing of it is left", in order: `queue` waits for its turn, `create` makes the
 * container, `download` fetches and verifies the droplet (beside `create`), `unpack` unpacks it, `run` lasts until the
 * kernel gives the app its first time, `health` until the first check passes; `term` is the grace after TERM, `kill`
 * lasts until nobody is left, `destroy` until the container is gone.
 */
export type Phase = "queue" | "create" | "download" | "unpack" | "run" | "health" | "term" | "kill" | "destroy";

export interface PhaseRow {
  /** Default deadline in milliseconds. */
  limitMs: number;
  /** What happens when it is over. `force`: the next step follows at once; `report`: the end is told, with what is left, and tried on. */
  then: "crash" | "force" | "report";
}

/**
 * Deadline of each phase. For `health` and `term` the number is what an instance gets that does not say otherwise
 * (`healthCheck.timeoutMs`, `graceMs`); 60 s and 10 s are Cloud Foundry's (dea_ng `default_health_check_timeout`, warden's stop).
 */
export const phases: Readonly<Record<Phase, PhaseRow>> = {
  queue: { limitMs: 900_000, then: "crash" },
  create: { limitMs: 120_000, then: "crash" },
  download: { limitMs: 600_000, then: "crash" },
  unpack: { limitMs: 600_000, then: "crash" },
  run: { limitMs: 60_000, then: "crash" },
  health: { limitMs: 60_000, then: "crash" },
  term: { limitMs: 10_000, then: "force" },
  kill: { limitMs: 30_000, then: "report" },
  destroy: { limitMs: 120_000, then: "report" },
};

export type Deadlines = Readonly<Record<Phase, number>>;

/** The table with some numbers changed. Throws DEA_INVALID_SPEC for a name that is none and for what is no time. */
export function deadlinesOf(changes: Partial<Record<Phase, number>> = {}): Deadlines {
  for (const [name, ms] of Object.entries(changes)) {
    if (!Object.hasOwn(phases, name)) throw new DeaError("DEA_INVALID_SPEC", `no such phase: ${name}`);
    const least = name === "term" ? 0 : 1;
    if (!Number.isFinite(ms) || ms < least) throw new DeaError("DEA_INVALID_SPEC", `deadlinesMs.${name} must be a time of ${least} ms or more, not ${ms}`);
  }
  return { ...(Object.fromEntries(Object.entries(phases).map(([name, { limitMs }]) => [name, limitMs])) as Record<Phase, number>), ...changes };
}

export interface PhaseBounds {
  ms: number;
  clock: Clock;
  signal?: AbortSignal;
  /** Time the work has to end once the signal has aborted. Default: what is left of its own. */
  afterAbortMs?: number;
}

/**
 * Runs one phase under its deadline: past it the work's signal aborts, and DEA_TIMEOUT is thrown at once, whether the
 * work hears the signal or not. An outer signal is handed on, and the work decides what to make of it, within
 * `afterAbortMs`: then the signal's reason is thrown.
 */
export async function inPhase<T>(phase: Phase, { ms, clock, signal: outer, afterAbortMs }: PhaseBounds, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const over = new AbortController();
  const late = new DeaError("DEA_TIMEOUT", `${phase} took longer than ${ms / 1000} s`, { retryable: true, phase });
  const timers: Disposable[] = [];
  const ends = deferred<never>();
  ends.promise.catch(() => {});
  timers.push(clock.after(ms, () => {
    over.abort(late);
    ends.reject(late);
  }));
  const onAbort = (): void => {
    if (afterAbortMs !== undefined) timers.push(clock.after(afterAbortMs, () => ends.reject(outer?.reason as Error)));
  };
  if (outer?.aborted) onAbort();
  else outer?.addEventListener("abort", onAbort, { once: true });
  const job = work(outer ? AbortSignal.any([outer, over.signal]) : over.signal);
  job.catch(() => {});
  try {
    return await Promise.race([job, ends.promise]);
  } catch (error) {
    throw over.signal.aborted ? late : error;
  } finally {
    outer?.removeEventListener("abort", onAbort);
    for (const timer of timers) timer[Symbol.dispose]();
  }
}

/** Waits until the work has settled, however, but no longer than this. */
export async function settledWithin(work: Promise<unknown>, { ms, clock, signal }: PhaseBounds): Promise<void> {
  const enough = new AbortController();
  const limit = signal ? AbortSignal.any([signal, enough.signal]) : enough.signal;
  await Promise.race([work.catch(() => {}), sleep(clock, ms, limit)]);
  enough.abort();
}
