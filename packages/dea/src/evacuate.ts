import type { ManagedInstance } from "./instance/instance.ts";
import { type Clock, elapsed, type Logger, sleep } from "./ports.ts";

export interface EvacuateInput {
  instances: ReadonlyMap<string, ManagedInstance>;
  timeoutMs: number;
  signal: AbortSignal | undefined;
  clock: Clock;
  log: Logger;
}

/** Pause between looks for instances that came to life meanwhile (dea_ng `evacuation_handler`). */
const lookAgainMs = 5_000;

/**
 * Marks all that lives as leaving and waits until nothing is here any more. Ends by its deadline whatever happens, and
 * says what it leaves behind (dea_ng: an evacuation could hang for ever when the bus was gone).
 */
export async function evacuateAll({ instances, timeoutMs, signal, clock, log }: EvacuateInput): Promise<{ left: readonly ManagedInstance[] }> {
  const deadline = elapsed(clock) + timeoutMs;
  const here = (): ManagedInstance[] => [...instances.values()].filter(({ present }) => present);
  for (let left = here(); ; left = here()) {
    for (const instance of left) instance.evacuate();
    const over = elapsed(clock) >= deadline || (signal?.aborted ?? false);
    if (left.length === 0 || over) {
      if (left.length > 0) log.warn("dea.evacuate.left", { instances: left.map(told) });
      return { left };
    }
    await Promise.race([Promise.allSettled(left.map(({ gone }) => gone)), sleep(clock, Math.min(lookAgainMs, deadline - elapsed(clock)), signal)]);
  }
}

/** What an operator needs to find it: never more than fits a line. */
export const told = ({ id, state, spec, exit }: ManagedInstance): object => ({ instance: id, app: spec.appId, index: spec.index, state, ...(exit?.left === undefined ? {} : { left: exit.left }) });
