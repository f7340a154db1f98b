import type { Container, ContainerProcess } from "../container/container.ts";
import { DeaError, textOf } from "../errors.ts";
import { type Clock, elapsed, sleep } from "../ports.ts";
import { type Deadlines, inPhase } from "./phases.ts";

/** Pause before what could not be ended or removed is tried again; it grows up to a minute. */
const firstRetryMs = 1_000;
const longestRetryMs = 60_000;

/** What an instance has to get rid of. Read anew at each try: the start may still be adding to it. */
export interface Remains {
  container: Container | undefined;
  /** Its main process may still run. */
  process: ContainerProcess | undefined;
}

export interface ClearAwayOptions {
  remains(): Remains;
  /** Work of the start that went past its deadline and may still add something. */
  pending(): Promise<unknown>;
  graceMs: number;
  deadlines: Deadlines;
  clock: Clock;
  /** Ends the tries: the executor leaves. */
  signal: AbortSignal;
  /** Runs once between the end of the processes and the end of the container: the last look at its files. */
  beforeDestroy(container: Container): Promise<void>;
  /** Told once, when the deadlines are over and something is left. The tries go on. */
  onLeft(what: string): void;
}

/** Ends the processes within the grace and the deadline of `kill`. Throws DEA_TIMEOUT, DEA_CONTAINER. */
export async function endProcesses(container: Container, { graceMs, deadlines, clock, graceSignal }: { graceMs: number; deadlines: Deadlines; clock: Clock; graceSignal?: AbortSignal }): Promise<void> {
  await inPhase("kill", { ms: graceMs + deadlines.kill, clock }, () => container.stop(graceSignal ? { graceMs, signal: graceSignal } : { graceMs }));
}

/** Ends and removes all of an instance, however long it takes, and says so when it takes too long. Settles when nothing is left or the signal aborts. */
export async function clearAway(options: ClearAwayOptions): Promise<void> {
  const { remains, pending, deadlines, clock, signal, onLeft } = options;
  let { graceMs } = options;
  let looked = false;
  let told = false;
  const overAt = elapsed(clock) + graceMs + deadlines.kill + deadlines.destroy;

  const attempt = async (): Promise<void> => {
    await inPhase("destroy", { ms: deadlines.destroy, clock }, async () => void (await pending().catch(() => {})));
    const { container, process } = remains();
    if (!container) return;
    let failure: unknown;
    // Destroying kills too: it is tried also where the processes seem to survive.
    if (process) await endProcesses(container, { graceMs, deadlines, clock }).catch((error: unknown) => (failure = error));
    graceMs = 0;
    if (!looked) await options.beforeDestroy(container);
    looked = true;
    await inPhase("destroy", { ms: deadlines.destroy, clock }, () => container.destroy()).catch((error: unknown) => {
      throw failure instanceof DeaError ? failure : error;
    });
  };

  for (let pauseMs = firstRetryMs; !signal.aborted; pauseMs = Math.min(pauseMs * 2, longestRetryMs)) {
    try {
      return await attempt();
    } catch (error) {
      if (!told && elapsed(clock) >= overAt) {
        told = true;
        onLeft(textOf(error));
      }
      await sleep(clock, told ? pauseMs : Math.max(1, Math.min(pauseMs, overAt - elapsed(clock))), signal);
    }
  }
}
