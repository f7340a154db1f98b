import { type Clock, elapsed, sleep } from "../ports.ts";
import type { HealthCheckSpec, ReadinessCheckSpec } from "./checks.ts";
import { type Address, probe } from "./probe.ts";

export type { Address } from "./probe.ts";
export type HealthCheck = Required<HealthCheckSpec>;
export type ReadinessCheck = Required<ReadinessCheckSpec>;

/** First pause between the looks at an instance that is starting; each is longer, up to `startupIntervalMs`. */
const firstPauseMs = 50;
/** A running instance fails only when this many looks in a row failed: one long garbage collection is no crash. */
const livenessAttempts = 3;
const livenessRetryMs = 1_000;
/** Pause between the looks at an instance that is not ready (Diego's). */
const unreadyIntervalMs = 2_000;

export interface Watching {
  clock: Clock;
  signal: AbortSignal;
}

/** `state-file` looks where only its caller can: in the app's folder. */
export type Look = (signal: AbortSignal) => Promise<boolean>;

export const lookOf = (check: HealthCheck, address: Address, stateFile: Look): Look =>
  check.type === "state-file" ? stateFile : ((type) => (signal) => probe({ ...check, type }, address, signal))(check.type);

/**
 * Looks until one look succeeds: true; or until the time is up or the signal aborts: false. The time begins when
 * `granted` settles: what the app waits before it gets any CPU is not counted against it.
 */
export async function waitUntilUp(check: HealthCheck, look: Look, { clock, signal, granted = Promise.resolve() }: Watching & { granted?: Promise<void> }): Promise<boolean> {
  let deadline = Number.POSITIVE_INFINITY;
  void granted.then(() => (deadline = elapsed(clock) + check.timeoutMs));
  for (let pauseMs = firstPauseMs; !signal.aborted; pauseMs = Math.min(pauseMs * 1.5, check.startupIntervalMs)) {
    if (await look(signal)) return !signal.aborted;
    const leftMs = deadline - elapsed(clock);
    if (leftMs <= 0) return false;
    // The last look comes at the deadline itself.
    await sleep(clock, Math.min(pauseMs, leftMs), signal);
  }
  return false;
}

/** Looks for ever; resolves true when the instance no longer answers, false when the signal aborts or there is nothing to look at. */
export async function waitUntilDown(check: HealthCheck, look: Look, { clock, signal }: Watching): Promise<boolean> {
  if (check.type !== "port" && check.type !== "http") return false;
  while (!signal.aborted) {
    await sleep(clock, check.intervalMs, signal);
    let failures = 0;
    while (!signal.aborted && !(await look(signal))) {
      failures += 1;
      if (failures >= livenessAttempts) return !signal.aborted;
      await sleep(clock, livenessRetryMs, signal);
    }
  }
  return false;
}

/**
 * Tells whether requests should come: true at once where there is no check to make, else each time the answer
 * changes, beginning with the first look that succeeds. One look that fails is enough: nothing is lost by it, and
 * the next look comes soon. Settles when the signal aborts.
 */
export async function followReadiness(check: ReadinessCheck, address: Address, { clock, signal }: Watching, tell: (isReady: boolean) => void): Promise<void> {
  if (check.type === "process") {
    tell(true);
    return;
  }
  let isReady = false;
  while (!signal.aborted) {
    const now = await probe(check, address, signal);
    if (signal.aborted) return;
    if (now !== isReady) tell((isReady = now));
    await sleep(clock, isReady ? check.intervalMs : Math.min(check.intervalMs, unreadyIntervalMs), signal);
  }
}
