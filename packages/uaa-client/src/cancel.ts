import { UaaError } from "./errors.ts";

export function aborted(signal: AbortSignal): UaaError {
  return new UaaError("aborted", "the caller gave up", { cause: signal.reason, retryable: true });
}

/**
 * Waits for shared work on behalf of one caller: the caller may leave, the work goes on for the others.
 * Rejects with `aborted` as soon as the signal fires.
 */
export async function waitFor<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  if (signal.aborted) {
    work.catch(() => {});   // it still belongs to the others; nobody here will hear of its failure
    throw aborted(signal);
  }
  let leave = (): void => {};
  const left = new Promise<never>((_, reject) => {
    leave = () => reject(aborted(signal));
    signal.addEventListener("abort", leave, { once: true });
  });
  try {
    return await Promise.race([work, left]);
  } finally {
    signal.removeEventListener("abort", leave);
  }
}
