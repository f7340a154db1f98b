import type { Container, ContainerProcess } from "../container/container.ts";
import { DeaError, textOf } from "../errors.ts";
import { type Clock, elapsed, sleep } from "../ports.ts";
import { type Deadlines, inPhase } from "./phases.ts";

/** Pause before what could not be ended or removed is tried again; it doubles up to the longest, which is longer once it was told. */
const retryMs = { first: 250, longest: 5_000, longestOnceTold: 60_000 };

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
  const killEndsAt = elapsed(clock) + options.graceMs + deadlines.kill;
  let destroyEndsAt: number | undefined;
  let { graceMs } = options;
  let killed = true;
  let looked = false;
  let told = false;

  const attempt = async (): Promise<void> => {
    destroyEndsAt ??= elapsed(clock) + deadlines.destroy;
    await inPhase("destroy", { ms: deadlines.destroy, clock }, () => pending().catch(() => {})).catch(() => {
      throw new DeaError("DEA_CONTAINER", "a step of its start does not end");
    });
    const { container, process } = remains();
    if (!container) return;
    let failure: unknown;
    // Destroying kills too: it is tried also where the processes seem to survive.
    if (process) await endProcesses(container, { graceMs, deadlines, clock }).catch((error: unknown) => (failure = error));
    graceMs = 0;
    killed = failure === undefined;
    if (!looked) {
      looked = true;
      destroyEndsAt = elapsed(clock) + deadlines.destroy;
      await options.beforeDestroy(container);
    }
    await inPhase("destroy", { ms: deadlines.destroy, clock }, () => container.destroy()).catch((error: unknown) => {
      throw failure ?? error;
    });
  };

  const over = (): boolean => elapsed(clock) >= (destroyEndsAt ?? 0) && (killed || elapsed(clock) >= killEndsAt);
  for (let pauseMs = retryMs.first; !signal.aborted; pauseMs = Math.min(pauseMs * 2, told ? retryMs.longestOnceTold : retryMs.longest)) {
    try {
      return await attempt();
    } catch (error) {
      if (!told && over()) {
        told = true;
        onLeft(textOf(error));
      }
      await sleep(clock, pauseMs, signal);
    }
  }
}
