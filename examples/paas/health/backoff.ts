/** How long a crashed instance waits, as Diego has it: three times not at all, then 30 s doubling up to 16 min; after 200 crashes it is left alone. */
export interface BackoffPolicy {
  readonly immediateRestarts: number;
  readonly firstDelayMs: number;
  readonly maxDelayMs: number;
  readonly giveUpAfter: number;
  /** Running this long forgives everything. */
  readonly forgiveAfterMs: number;
}

/** Source: cloudfoundry/bbs models/restart_calculator.go. */
export const diegoBackoff: BackoffPolicy = {
  immediateRestarts: 3,
  firstDelayMs: 30_000,
  maxDelayMs: 960_000,
  giveUpAfter: 200,
  forgiveAfterMs: 300_000,
};

/** Milliseconds between the `crashCount`-th crash and the next start; `Infinity` when there is none. */
export function restartDelayMs(crashCount: number, policy: BackoffPolicy = diegoBackoff): number {
  if (crashCount >= policy.giveUpAfter) return Infinity;
  if (crashCount < policy.immediateRestarts) return 0;
  return Math.min(policy.maxDelayMs, policy.firstDelayMs * 2 ** (crashCount - policy.immediateRestarts));
}
