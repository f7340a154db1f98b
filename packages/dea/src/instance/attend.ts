import type { Clock } from "../ports.ts";
import type { ExitReason } from "./exit.ts";
import { healthTimeoutOf } from "./exit.ts";
import { followReadiness, type HealthCheck, lookOf, type ReadinessCheck, waitUntilDown, waitUntilUp } from "./health.ts";
import type { Address } from "./probe.ts";
import { stateFileLook } from "./state-file.ts";

export interface AttendOptions {
  check: HealthCheck;
  readiness: ReadinessCheck;
  address: Address;
  homeDir: string;
  /** It was up before: its executor was restarted. */
  isUp: boolean;
  /** Settles when the time of the start-up check begins. */
  granted: Promise<void>;
  clock: Clock;
  /** Aborts when the instance ends or nobody looks after it any more. */
  signal: AbortSignal;
  onUp(): void;
  onReadiness(isReady: boolean): void;
  /** It must not go on. */
  onFailure(reason: ExitReason): void;
}

/** The three checks of an instance, from its first instruction to its end. Settles when the start-up check has ended; the others go on until the signal aborts. */
export async function attend({ check, readiness, address, homeDir, isUp, granted, clock, signal, onUp, onReadiness, onFailure }: AttendOptions): Promise<void> {
  const watching = { clock, signal };
  const look = lookOf(check, address, stateFileLook(homeDir, check.path));
  if (!isUp) {
    if (!(await waitUntilUp(check, look, { ...watching, granted }))) {
      if (!signal.aborted) onFailure(healthTimeoutOf(check.type));
      return;
    }
    onUp();
  }
  void followReadiness(readiness, address, watching, onReadiness);
  void waitUntilDown(check, look, watching).then((down) => {
    if (down) onFailure("liveness");
  });
}
