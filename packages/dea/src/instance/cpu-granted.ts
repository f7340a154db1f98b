import type { Container } from "../container/container.ts";
import { type Clock, elapsed, sleep } from "../ports.ts";

/** Time between two looks. */
const lookEveryMs = 50;

/**
 * Settles when the kernel has given the container's processes their first time: on a host where many start at once that
 * is later than the command to start. At the latest after `limitMs`, or when the signal aborts.
 */
export async function whenCpuGranted(container: Container, { clock, signal, limitMs }: { clock: Clock; signal: AbortSignal; limitMs: number }): Promise<void> {
  for (const deadline = elapsed(clock) + limitMs; elapsed(clock) < deadline && !signal.aborted; ) {
    const usage = await container.usage().catch(() => undefined);
    if (!usage || usage.processes > 0) return;
    await sleep(clock, lookEveryMs, signal);
  }
}
