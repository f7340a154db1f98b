import { StagingError } from "./errors.ts";
import { type Clock, systemClock } from "./ports.ts";

/** One signal for a whole job: the caller's wish to stop and the time limit, joined once at the top. Dispose it when the job has ended. */
export interface Deadline extends Disposable {
  readonly signal: AbortSignal;
  /** Milliseconds left. */
  leftMs(): number;
  /** @throws StagingError `STAGING_TIMEOUT`, `STAGING_CANCELLED` */
  check(): void;
}

/** The signal's reason is always a `StagingError`: `STAGING_TIMEOUT`, or `STAGING_CANCELLED` with the caller's reason as its cause. */
export function createDeadline(timeoutMs: number, outer?: AbortSignal, clock: Clock = systemClock): Deadline {
  const controller = new AbortController();
  const until = clock.now() + timeoutMs;
  const cancel = (): void => {
    const reason: unknown = outer?.reason;
    controller.abort(reason instanceof StagingError ? reason : new StagingError("STAGING_CANCELLED", "staging was cancelled", { cause: reason }));
  };
  // A timer cannot wait longer than 2^31 - 1 ms; asked for more it would fire at once.
  const timer = clock.after(Math.min(timeoutMs, 2_147_483_647), () =>
    controller.abort(new StagingError("STAGING_TIMEOUT", `staging took longer than ${Math.round(timeoutMs / 100) / 10} s and was ended; raise the timeout or make the build shorter`)));
  if (outer?.aborted) cancel();
  else outer?.addEventListener("abort", cancel, { once: true });
  return {
    signal: controller.signal,
    leftMs: () => Math.max(0, until - clock.now()),
    check: () => controller.signal.throwIfAborted(),
    [Symbol.dispose]() {
      timer[Symbol.dispose]();
      outer?.removeEventListener("abort", cancel);
    },
  };
}
