import type { Backend } from "./endpoint.ts";

/**
 * Whether an address works, by what requests have met there. It is one of three:
 *
 * | state | `failures` | `failedUntil` | the balancer |
 * |---|---|---|---|
 * | well | 0 | 0 | takes it |
 * | held off | > 0 | in the future | avoids it |
 * | half open | > 0 | in the past | lets one request at a time find out |
 *
 * The marks belong to the address, not to a route, and every way of balancing respects them.
 */

/** Whether the balancer may take the address: well, or half open with nobody finding out yet. */
export const isUp = (backend: Backend, nowMs: number): boolean =>
  backend.failedUntil <= nowMs && !(backend.probing && backend.failures > 0);

/**
 * A request has failed there. The hold-off doubles with each failure that follows on another. Requests that were under way together
 * count once: the address has failed one time, however many were there to see it.
 */
export function markFailed(backend: Backend, nowMs: number, baseMs: number, mostMs: number): void {
  if (backend.failures > 0 && backend.failedUntil > nowMs) return;
  backend.failures += 1;
  backend.failedUntil = nowMs + Math.min(baseMs * 2 ** Math.min(backend.failures - 1, 20), Math.max(baseMs, mostMs));
  backend.probing = false;
}

/** The address has answered, or is another's now: nothing is held against it. */
export function forgive(backend: Backend): void {
  if (backend.failures === 0 && backend.failedUntil === 0) return;
  backend.failures = 0;
  backend.failedUntil = 0;
  backend.probing = false;
}
